/** Numbers of FUSE's kernel protocol, version 7.33 as `include/uapi/linux/fuse.h` has it. All integers are in the machine's order: little endian. */

export const protocolMajor = 7
/** Newer kernels speak what this minor version says. */
export const protocolMinor = 33
export const rootNodeId = 1
/** Largest payload of a read or write request. */
export const transferBytesMax = 1024 * 1024
/** What precedes the payload of the largest request, rounded up to a page. */
export const requestBytesMax = transferBytesMax + 4096

export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  copyFileRange: 47,
} as const

/** Bits of `fuse_setattr_in.valid`. */
export const setattrBits = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  handle: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSetBits: 1 << 11,
} as const

/** Bits of the INIT request and reply. */
export const initBits = {
  asyncRead: 1 << 0,
  atomicTruncate: 1 << 3,
  bigWrites: 1 << 5,
  /** The umask comes with what is made, unapplied. */
  dontMask: 1 << 6,
  autoInvalidateData: 1 << 12,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDirectIo: 1 << 15,
  parallelDirectoryOperations: 1 << 18,
  /** The kernel asks for access control lists and checks rights by them. */
  posixAcl: 1 << 20,
  maxPages: 1 << 22,
  /** Set-user-id bits go when the requests say so; without it the kernel asks for security.capability before every write. */
  handleKillprivV2: 1 << 28,
} as const

/** What this program asks of a kernel that offers it. */
export const wantedInitBits = Object.values(initBits).reduce((bits, bit) => bits | bit, 0)

/** Bit of `fuse_write_in.write_flags`: pages of a mapping or the like, at any offset, through any handle of the file. */
export const writeCache = 1
/** Another one: the writer may not keep set-user-id and set-group-id bits. */
export const writeKillSetBits = 1 << 2
/** Bit of `fuse_open_in.open_flags`: opening with O_TRUNC takes set-user-id and set-group-id bits away. */
export const openKillSetBits = 1

/** Bit of `fuse_open_out.open_flags`: pages of the file that the kernel has are still right (FOPEN_KEEP_CACHE). */
export const openKeepsCache = 1 << 1

/** Bits of `fuse_fallocate_in.mode`, as fallocate(2) has them; without any, a file is made long enough. */
export const fallocateBits = {
  keepSize: 1 << 0,
  punchHole: 1 << 1,
  zeroRange: 1 << 4,
} as const

/** Bits of `fuse_rename2_in.flags`. */
export const renameBits = { noReplace: 1 << 0, exchange: 1 << 1 } as const
