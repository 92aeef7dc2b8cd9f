import { spawn } from 'node:child_process'
import { close, openSync, read, statSync, writevSync } from 'node:fs'
import { MountError } from '../errno.ts'
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
    return 'this machine has no /dev/fuse'
  }
}

/**
 * Mounts a tree at `directory` by speaking FUSE's protocol on `/dev/fuse`, for all users of this machine.
 * What a mount left behind there that is dead is taken away before.
 *
 * @throws Error with what mount(8) said
 */
export async function mountKernel(directory: string, tree: MountedTree): Promise<KernelMount> {
  await repairStale(directory)
  const device = openSync('/dev/fuse', 'r+')
  try {
    const options = `fd=3,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,max_read=${transferBytesMax}`
    await command('mount', ['-i', '-t', 'fuse', '-o', options, 'trefoil', directory], device)
  } catch (error) {
    close(device)
    throw error
  }
  const connection = new DeviceLoop(device, new KernelSession(tree))
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

/** A mount whose process died answers ENOTCONN for ever; it can only be taken away. */
async function repairStale(directory: string): Promise<void> {
  try {
    statSync(directory)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'ENOTCONN' && code !== 'ECONNABORTED') throw error
    await command('umount', ['-l', directory])
  }
}

/** Runs a program, `device` being its descriptor 3, and fails with what it wrote when it fails. */
function command(name: string, parameters: readonly string[], device?: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, parameters, {
      stdio: ['ignore', 'ignore', 'pipe', device ?? 'ignore'],
    })
    let text = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    child.once('error', reject)
    child.once('close', (status) => {
      if (status === 0) resolve()
      else reject(new MountError('EIO', `${name} failed: ${text.trim()}`))
    })
  })
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
