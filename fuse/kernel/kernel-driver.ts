import { close, openSync, read, realpathSync, statSync, writeFileSync, writevSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { MountSettings } from '../mount-settings.ts'
import { command, deviceOf, repairStale } from '../mount-table.ts'
import type { MountedTree } from '../mounted-tree.ts'
import { requestBytesMax, transferBytesMax } from './protocol.ts'
import { KernelSession } from './session.ts'

/** Requests waited for at once; each takes a thread of libuv's pool while it waits. */
const readers = 2
/** Writes under way, whose bytes are kept until they are carried out: the bound on memory for them. */
const buffersMax = 24

/** A mount in the kernel's table. */
export interface KernelMount {
  /** Resolves when the mount is gone, whoever took it away. */
  readonly ended: Promise<void>
  /** Takes it away. */
  unmount(): Promise<void>
}

/** Why this machine and user cannot mount without libfuse, or undefined when they can. */
export function kernelDriverObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'the kernel driver is for Linux'
  if (process.getuid?.() !== 0) return 'the kernel driver needs root'
  try {
    statSync('/dev/fuse')
    return undefined
  } catch {
    return 'this machine has no /dev/fuse (modprobe fuse)'
  }
}

/**
 * Mounts a tree at `directory` by speaking FUSE's protocol on `/dev/fuse`, for all users of this machine unless the settings
 * say otherwise. What a mount left behind there that is dead is taken away before.
 *
 * @param uri the cluster's, shown in the table of mounts
 * @throws Error with what mount(8) said
 */
export async function mountKernel(
  directory: string,
  tree: MountedTree,
  { uri, settings }: { readonly uri: string; readonly settings: MountSettings },
): Promise<KernelMount> {
  await repairStale(directory, ['umount', '-l'])
  const device = openSync('/dev/fuse', 'r+')
  try {
    const options = [
      ...['fd=3', 'rootmode=40000', 'user_id=0', 'group_id=0', 'default_permissions'],
      `max_read=${transferBytesMax}`,
      ...(settings.allowOther === false ? [] : ['allow_other']),
      settings.readOnly ? 'ro' : 'rw',
      ...settings.kernelOptions,
    ]
    const parameters = ['-i', '-t', 'fuse.trefoil', '-o', options.join(','), uri, directory]
    await command('mount', parameters, device)
  } catch (error) {
    close(device)
    throw error
  }
  const session = new KernelSession(tree, settings)
  const connection = new DeviceLoop(device, session)
  void session.started.then(() => {
    readLargePieces(directory)
  })
  let isOver = false
  const ended = connection.ended.then(() => {
    isOver = true
  })
  return {
    ended,
    async unmount() {
      if (isOver) return
      // A directory in use is detached and its connection ended, so that nobody waits for this process.
      await command('umount', [directory]).catch(() => command('umount', ['-f', '-l', directory]))
      await ended
    },
  }
}

/**
 * Has the kernel ask for as much at once as one request can carry when a file is read in order: it begins with an eighth of that. Where
 * `/sys` cannot be written, as in containers, it stays so.
 */
function readLargePieces(directory: string): void {
  try {
    // The directory itself is ours: to look at it would be a request to this process.
    const at = resolve(directory)
    const device = deviceOf(join(realpathSync(dirname(at)), basename(at)))
    if (device === undefined) return
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, `${transferBytesMax / 1024}`)
  } catch {
    // Reading is slower then, and nothing else.
  }
}

/** Reads requests from the device until the mount is gone, and writes the replies. */
class DeviceLoop {
  readonly ended: Promise<void>
  readonly #device: number
  readonly #session: KernelSession
  readonly #free: Buffer[] = []
  readonly #waiting: ((buffer: Buffer) => void)[] = []
  #made = 0

  constructor(device: number, session: KernelSession) {
    this.#device = device
    this.#session = session
    const loops = Array.from({ length: readers }, () => this.#loop())
    this.ended = Promise.all(loops).then(
      () =>
        new Promise((resolve) => {
          close(device, () => {
            resolve()
          })
        }),
    )
  }

  async #loop(): Promise<void> {
    for (;;) {
      const buffer = await this.#take()
      const length = await this.#read(buffer)
      if (length === undefined) return
      void this.#serve(buffer, length)
    }
  }

  async #serve(buffer: Buffer, length: number): Promise<void> {
    await this.#session.handle(buffer.subarray(0, length), (reply) => {
      this.#write(reply)
    })
    this.#give(buffer)
  }

  /** Bytes of the next request; undefined when the mount is gone. */
  #read(buffer: Buffer): Promise<number | undefined> {
    return new Promise((resolve) => {
      read(this.#device, buffer, 0, buffer.length, null, (error, length) => {
        if (error === null) resolve(length)
        // A request that was interrupted before it was read, and signals: there are others.
        else if (['ENOENT', 'EINTR', 'EAGAIN'].includes(error.code ?? ''))
          resolve(this.#read(buffer))
        else resolve(undefined)
      })
    })
  }

  #write(reply: readonly Buffer[]): void {
    try {
      writevSync(this.#device, reply)
    } catch {
      // ENOENT: the caller was killed meanwhile. ENODEV: the mount is gone, which the readers notice.
    }
  }

  #take(): Promise<Buffer> {
    const free = this.#free.pop()
    if (free !== undefined) return Promise.resolve(free)
    if (this.#made < buffersMax) {
      this.#made += 1
      return Promise.resolve(Buffer.allocUnsafeSlow(requestBytesMax))
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  #give(buffer: Buffer): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(buffer)
    else next(buffer)
  }
}
