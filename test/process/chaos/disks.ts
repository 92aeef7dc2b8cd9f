/**
 * The disks of a run, one for each daemon: a small ext4 file system in a file, mounted through a loop device, so that it can
 * be full; and on top of it a {@link VolatileTree}, so that it can lose power. Without root, plain directories.
 */
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type HostResources, runTool } from './host.ts'
import { Supervised } from './processes.ts'
import type { DiskCommand } from './volatile-disk.ts'

/** What a disk is made of. */
export const diskKinds = ['plain', 'ext4', 'volatile'] as const

export type DiskKind = (typeof diskKinds)[number]

const here = dirname(fileURLToPath(import.meta.url))
const imageBytes = 16 * 2 ** 30
/** Blocks are small here: without it ext4 would run out of inodes before bytes. */
const inodeCount = 200_000

export class Disk {
  readonly kind: DiskKind
  readonly name: string
  /** Where the daemon keeps its data. */
  readonly path: string
  readonly #resources: HostResources
  readonly #below: string
  readonly #server: Supervised

  constructor(resources: HostResources, name: string, kind: DiskKind) {
    this.#resources = resources
    this.kind = kind
    this.name = name
    this.path = join(resources.directory, 'disks', name)
    this.#below = kind === 'volatile' ? join(resources.directory, 'below', name) : this.path
    mkdirSync(this.path, { recursive: true })
    mkdirSync(this.#below, { recursive: true })
    this.#server = new Supervised(resources, {
      name: `disk-of-${name}`,
      prefix: [],
      command: [
        process.execPath,
        join(here, 'volatile-disk.js'),
        this.path,
        join(this.#below, 'store'),
      ],
      hasChannel: true,
    })
    if (kind !== 'plain') this.#mountImage()
  }

  /** Puts the volatile layer on top, at first and after a loss of power. */
  async start(): Promise<void> {
    if (this.kind !== 'volatile') return
    this.#resources.addMount(this.path)
    const ready = new Promise<void>((resolve, reject) => {
      this.#server.onMessage = () => resolve()
      this.#server.onUnexpectedExit = ({ ending, log }) =>
        reject(new Error(`the disk of ${this.name} did not start: ${ending}\n${log}`))
    })
    this.#server.start()
    await ready
    this.#server.onUnexpectedExit = undefined
  }

  /** The disk is gone at once, and with it what was not synced. */
  async losePower(seed: number): Promise<void> {
    await this.#server.endBy({ kind: 'lose-power', seed } satisfies DiskCommand)
  }

  /** Takes the dead file system away; nobody may have files open there. */
  unmount(): void {
    runTool('umount', this.path)
    this.#resources.removeMount(this.path)
  }

  /** Makes every write and sync slower. */
  slow(delayMs: number): void {
    this.#server.send({ kind: 'slow', delayMs } satisfies DiskCommand)
  }

  /** Fills the disk up but for `leaveBytes`; what it returns gives the space back. */
  fill(leaveBytes: number): () => void {
    const filler = join(this.#below, 'filler')
    const { bavail, bsize } = statfsSync(this.#below)
    const length = Math.max(bsize, bavail * bsize - leaveBytes)
    runTool('fallocate', '-l', `${length}`, filler)
    return () => rmSync(filler)
  }

  #mountImage(): void {
    const folder = join(this.#resources.directory, 'images')
    const image = join(folder, this.name)
    mkdirSync(folder, { recursive: true })
    runTool('truncate', '-s', `${imageBytes}`, image)
    runTool('mkfs.ext4', '-q', '-m', '0', '-N', `${inodeCount}`, image)
    this.#resources.addMount(this.#below)
    runTool('mount', '-o', 'loop', image, this.#below)
  }
}
