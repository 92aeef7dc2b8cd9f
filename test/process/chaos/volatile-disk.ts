/**
 * A process that serves a {@link VolatileTree} as a mounted file system, over the kernel's FUSE protocol on /dev/fuse. The
 * parent's `lose-power` message ends it at once, and with it everything that was not synced. As root, on Linux.
 *
 *     node volatile-disk.js MOUNT-POINT DIRECTORY-BELOW
 */
import { spawnSync } from 'node:child_process'
import { openSync, read, writeSync } from 'node:fs'
import { Prng } from '../../../base/prng.ts'
import {
  attributesAnswer,
  dataAnswer,
  directoryAnswer,
  entryAnswer,
  errnos,
  FuseRequest,
  initAnswer,
  newAnswer,
  openAnswer,
  operations,
  requestBytesMax,
  setattrFields,
  statfsAnswer,
  writeAnswer,
} from './fuse-messages.ts'
import { type VolatileNode, VolatileTree } from './volatile-tree.ts'

/** What the parent may say. */
export type DiskCommand =
  | { readonly kind: 'lose-power'; readonly seed: number }
  /** From now on every write and sync takes this much longer. */
  | { readonly kind: 'slow'; readonly delayMs: number }

/** Requests that are read from the kernel at the same time; each occupies a thread. */
const readers = 4
const writeBackEveryMs = 1_000
/** As ext4 and the kernel's flusher do. */
const namesSafeAfterMs = 5_000
const bytesSafeAfterMs = 30_000
const regularFile = 0o100000
const directoryType = 0o040000
const exclusiveFlag = 0o200
const noReplaceFlag = 1

const [mountPoint = '', below = ''] = process.argv.slice(2)
const tree = new VolatileTree(below)
const device = openSync('/dev/fuse', 'r+')
let delayMs = 0

/** process.exit would wait for the threads that wait for the kernel's next request. */
function vanish(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('a killed process runs no further')
}

function mount(): void {
  const options = `fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,max_read=1048576`
  const { status, stderr } = spawnSync(
    'mount',
    ['-i', '-t', 'fuse', '-o', options, 'volatile-disk', mountPoint],
    { stdio: ['ignore', 'ignore', 'pipe', device], encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`cannot mount ${mountPoint}: ${stderr}`)
}

function errnoOf(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const known = Object.entries(errnos).find(([name]) => name === code)
  if (known === undefined) process.stderr.write(`${String(error)}\n`)
  return known?.[1] ?? errnos.EIO
}

function setAttributes(request: FuseRequest): VolatileNode {
  const { inode } = request
  const valid = request.u32(0)
  if ((valid & setattrFields.size) !== 0) tree.truncate(inode, request.u64(16))
  const node = tree.node(inode)
  if ((valid & setattrFields.mode) !== 0)
    node.mode = (node.mode & ~0o7777) | (request.u32(68) & 0o7777)
  if ((valid & setattrFields.mtime) !== 0) node.mtimeMs = request.u64(40) * 1000
  return node
}

function create(request: FuseRequest): Buffer {
  const [name = ''] = request.names(16)
  const there = tree.lookUp(request.inode, name)
  const isExclusive = (request.u32(0) & exclusiveFlag) !== 0
  const node =
    there !== undefined && !isExclusive
      ? there
      : tree.add(request.inode, name, regularFile | (request.u32(4) & 0o7777), false)
  tree.open(node.inode)
  return entryAnswer(request, node, true)
}

function rename(request: FuseRequest, namesAt: number, flags: number): Buffer {
  const [name = '', toName = ''] = request.names(namesAt)
  const toDirectory = request.u64(0)
  if ((flags & ~noReplaceFlag) !== 0) return newAnswer(request, 0, errnos.EINVAL)
  const isThere = tree.lookUp(toDirectory, toName) !== undefined
  if (isThere && (flags & noReplaceFlag) !== 0) return newAnswer(request, 0, errnos.EEXIST)
  tree.rename(request.inode, name, toDirectory, toName)
  return newAnswer(request, 0)
}

function listDirectory(request: FuseRequest): Buffer {
  const entries = [...tree.directory(request.inode).entries].map(
    ([name, inode]) => [name, tree.node(inode)] as const,
  )
  return directoryAnswer(request, entries, { start: request.u64(8), bytesMax: request.u32(16) })
}

/** The answer to a request; undefined when the kernel waits for none. */
function handle(request: FuseRequest): Buffer | undefined {
  const { inode } = request
  switch (request.operation) {
    case operations.init:
      return initAnswer(request)
    case operations.forget:
    case operations.batchForget:
    case operations.interrupt:
      return undefined
    case operations.lookup: {
      const node = tree.lookUp(inode, request.names(0)[0] ?? '')
      return node === undefined ? newAnswer(request, 0, errnos.ENOENT) : entryAnswer(request, node)
    }
    case operations.getattr:
      return attributesAnswer(request, tree.node(inode))
    case operations.setattr:
      return attributesAnswer(request, setAttributes(request))
    case operations.mkdir: {
      const mode = directoryType | (request.u32(0) & 0o7777)
      return entryAnswer(request, tree.add(inode, request.names(8)[0] ?? '', mode, true))
    }
    case operations.link:
      return entryAnswer(request, tree.link(request.u64(0), inode, request.names(8)[0] ?? ''))
    case operations.create:
      return create(request)
    case operations.open:
      tree.open(inode)
      return openAnswer(request)
    case operations.opendir:
      tree.directory(inode)
      return openAnswer(request)
    case operations.read:
      return dataAnswer(request, tree.read(inode, request.u64(8), request.u32(16)))
    case operations.write: {
      const length = request.u32(16)
      tree.write(inode, request.u64(8), request.data(40, length))
      return writeAnswer(request, length)
    }
    case operations.readdir:
      return listDirectory(request)
    case operations.statfs:
      return statfsAnswer(request, tree.space())
    default:
      return newAnswer(request, 0, changeOrSync(request))
  }
}

/** Operations that answer nothing but whether they worked. */
function changeOrSync(request: FuseRequest): number {
  const { inode } = request
  switch (request.operation) {
    case operations.unlink:
      tree.remove(inode, request.names(0)[0] ?? '', false)
      return 0
    case operations.rmdir:
      tree.remove(inode, request.names(0)[0] ?? '', true)
      return 0
    case operations.release:
      tree.release(inode)
      return 0
    case operations.fsync:
      tree.syncFile(inode)
      return 0
    case operations.fsyncdir:
      tree.syncDirectory(inode)
      return 0
    case operations.flush:
    case operations.access:
    case operations.releasedir:
    case operations.destroy:
      return 0
    case operations.fallocate:
      return errnos.EOPNOTSUPP
    default:
      return errnos.ENOSYS
  }
}

function answer(request: FuseRequest): Buffer | undefined {
  try {
    if (request.operation === operations.rename) return rename(request, 8, 0)
    if (request.operation === operations.rename2) return rename(request, 16, request.u32(8))
    return handle(request)
  } catch (error) {
    return newAnswer(request, 0, errnoOf(error))
  }
}

function send(bytes: Buffer): void {
  try {
    writeSync(device, bytes)
  } catch (error) {
    // The caller was killed meanwhile and waits no longer.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

function isSlowed({ operation }: FuseRequest): boolean {
  return delayMs > 0 && (operation === operations.write || operation === operations.fsync)
}

function serve(buffer: Buffer): void {
  read(device, buffer, 0, buffer.length, null, (error, length) => {
    if (error !== null) {
      // The file system was unmounted.
      if (error.code === 'ENODEV') vanish()
      if (error.code !== 'EINTR' && error.code !== 'EAGAIN' && error.code !== 'ENOENT') throw error
      serve(buffer)
      return
    }
    const request = new FuseRequest(buffer.subarray(0, length))
    const bytes = answer(request)
    if (bytes !== undefined && isSlowed(request)) setTimeout(() => send(bytes), delayMs)
    else if (bytes !== undefined) send(bytes)
    serve(buffer)
  })
}

process.on('message', (command: DiskCommand) => {
  if (command.kind === 'slow') delayMs = command.delayMs
  else {
    tree.losePower(new Prng(command.seed))
    vanish()
  }
})
process.on('disconnect', vanish)
setInterval(() => {
  tree.writeBackOlderThan(namesSafeAfterMs, bytesSafeAfterMs, Date.now())
}, writeBackEveryMs)

mount()
for (let index = 0; index < readers; index += 1) serve(Buffer.allocUnsafeSlow(requestBytesMax))
process.send?.({ kind: 'ready' })
