/** What a mount can be told beside where and of what. */
export interface MountSettings {
  readonly readOnly: boolean
  /** All users of the machine; without, the driver's default: the kernel's all, libfuse's the mounting user alone. */
  readonly allowOther: boolean | undefined
  /** Everything is shown as this user's or group's. */
  readonly uid: number | undefined
  readonly gid: number | undefined
  /** Bytes of unpublished files, and of what is read ahead, that are kept in memory; what is written beyond goes to local files. */
  readonly cacheBytes: number
  /** How long the kernel answers for attributes and names itself. */
  readonly attributesMs: number
  readonly entriesMs: number
  /** Options that mount(8) itself understands. */
  readonly kernelOptions: readonly string[]
}

export const defaultMountSettings: MountSettings = {
  readOnly: false,
  allowOther: undefined,
  uid: undefined,
  gid: undefined,
  cacheBytes: 64 * 1024 * 1024,
  attributesMs: 1000,
  entriesMs: 1000,
  kernelOptions: [],
}
