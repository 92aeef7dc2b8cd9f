import { constants } from 'node:fs'
import { join } from 'node:path'
import type { TimerHandle, Timers } from '../../base/clock.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import {
  type BlockFiles,
  type FileSizes,
  judgeBlock,
  type ScanFinding,
  scanFindings,
  suspiciousBlocks,
} from '../core/directory-diff.ts'
import type { ReplicaInfo } from '../core/replica.ts'
import {
  finalizedDirectory,
  finalizedDirectoryName,
  parseBlockFileName,
  parseMetaFileName,
} from '../format/block-file.ts'
import { decodeMetaHeader, metaFileBytes, metaHeader } from '../format/block-meta.ts'
import { errnoOf, readExactlyAt } from './files.ts'
import { storedDigest } from './replica-scan.ts'
import type { ReplicaShelf } from './replica-shelf.ts'
import type { ReplicaFiles, Volume } from './volume.ts'

/** Directories of finalized replicas per volume, at most: a pass is spread over its period by their number. */
const directoriesPerPass = 1024
/** Of each kind, this many findings of a pass are logged one by one; the others are counted. */
const loggedFindingsMax = 20

export interface DirectoryScannerOptions {
  readonly shelf: ReplicaShelf
  readonly volume: Volume
  /** Time from one pass over all directories to the next. */
  readonly periodMs: number
  readonly timers: Timers
  readonly onCorrupt: (blockId: BlockId, reason: string) => void
}

/** What scanning one volume has found so far, by kind. */
export type ScanTotals = Readonly<Record<ScanFinding, number>>

/** Compares the files of one volume with its replicas, one directory at a time. */
export class DirectoryScanner {
  readonly #options: DirectoryScannerOptions
  readonly #totals: Record<ScanFinding, number>
  #logged = new Map<ScanFinding, number>()
  #pending: string[] = []
  #blocksByDirectory = new Map<string, BlockId[]>()
  #timer: TimerHandle | undefined
  #running: Promise<void> | undefined
  readonly #looks = new Set<Promise<void>>()
  #isClosed = false

  constructor(options: DirectoryScannerOptions) {
    this.#options = options
    const zero = scanFindings.map((finding) => [finding, 0] as const)
    this.#totals = Object.fromEntries(zero) as Record<ScanFinding, number>
  }

  totals(): ScanTotals {
    return { ...this.#totals }
  }

  /** Begins; the first directory is looked at after its share of the period. */
  start(): void {
    this.#arm()
  }

  /** Passes over all directories now. */
  async scanAll(): Promise<void> {
    this.#pending = []
    await this.#next()
    while (this.#pending.length > 0 && !this.#isClosed) await this.#next()
  }

  /** Somebody missed a file of the block's replica: looks for it now. */
  lookAt(blockId: BlockId): void {
    if (this.#isClosed) return
    const looking = this.#guarded(() => this.#look(blockId, { hasData: false, stamps: [] }))
    this.#looks.add(looking)
    void looking.then(() => this.#looks.delete(looking))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#running
    await Promise.all(this.#looks)
  }

  #arm(): void {
    const { timers, periodMs, volume } = this.#options
    if (this.#isClosed || volume.isFailed) return
    this.#timer = timers.after(Math.max(1, periodMs / directoriesPerPass), () => {
      this.#running = this.#next().finally(() => this.#arm())
    })
  }

  #next(): Promise<void> {
    return this.#guarded(async () => {
      const { volume } = this.#options
      if (volume.version === undefined || volume.isFailed) return
      const directory = this.#pending.pop()
      if (directory === undefined) await this.#list()
      else await this.#scan(directory)
    })
  }

  /** What the disk refuses ends the step; the observed disk has judged it already. */
  async #guarded(step: () => Promise<void>): Promise<void> {
    const { volume, shelf } = this.#options
    try {
      await step()
    } catch (error) {
      if (errnoOf(error) === undefined && !isDfsError(error)) throw error
      const reason = error instanceof Error ? error.message : String(error)
      shelf.logger.warn('directory-scan-failed', { storage: volume.storage, reason })
    }
  }

  /** Begins a pass. */
  async #list(): Promise<void> {
    const { volume } = this.#options
    if (volume.version === undefined || volume.isFailed) return
    const root = volume.poolPath(finalizedDirectoryName)
    this.#logged = new Map()
    const directories = new Set<string>()
    for (const upper of await this.#children(root)) {
      for (const lower of await this.#children(upper)) directories.add(lower)
    }
    // A directory that is gone as a whole takes its replicas with it.
    this.#blocksByDirectory = this.#finalizedByDirectory()
    for (const directory of this.#blocksByDirectory.keys()) directories.add(directory)
    this.#pending = [...directories].sort().reverse()
  }

  async #children(directory: string): Promise<string[]> {
    const children: string[] = []
    for (const entry of await this.#options.volume.disk.listDirectory(directory)) {
      const path = join(directory, entry.name)
      if (entry.isDirectory() && /^subdir\d+$/.test(entry.name)) children.push(path)
      else this.#note('foreign', path)
    }
    return children
  }

  async #scan(directory: string): Promise<void> {
    const { volume } = this.#options
    const { disk } = volume
    const found = new Map<BlockId, { hasData: boolean; stamps: GenerationStamp[] }>()
    const sizes = new Map<BlockId, number>()
    const at = (blockId: BlockId): { hasData: boolean; stamps: GenerationStamp[] } => {
      const known = found.get(blockId) ?? { hasData: false, stamps: [] }
      found.set(blockId, known)
      return known
    }
    for (const { name } of await this.#entries(directory)) {
      const path = join(directory, name)
      const data = parseBlockFileName(name)
      const meta = parseMetaFileName(name)
      const blockId = data ?? meta?.blockId
      if (blockId === undefined) this.#note('foreign', path)
      else if (volume.poolPath(finalizedDirectory(blockId)) !== directory) {
        this.#note('misplaced', path)
      } else if (meta !== undefined) at(blockId).stamps.push(meta.generationStamp)
      else {
        at(blockId).hasData = true
        const bytes = await disk.pathBytes(path).catch(() => undefined)
        if (bytes !== undefined) sizes.set(blockId, bytes)
      }
    }
    const known = this.#stillHere(this.#blocksByDirectory.get(directory) ?? [])
    for (const blockId of suspiciousBlocks(found, known, sizes)) {
      await this.#look(blockId, found.get(blockId) ?? { hasData: false, stamps: [] })
    }
  }

  async #entries(directory: string): ReturnType<Volume['disk']['listDirectory']> {
    const { volume } = this.#options
    try {
      return await volume.disk.listDirectory(directory)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      return []
    }
  }

  /** Blocks with finalized replicas, as a pass begins; what changes meanwhile is seen when it is looked at. */
  #finalizedByDirectory(): Map<string, BlockId[]> {
    const { shelf, volume } = this.#options
    const byDirectory = new Map<string, BlockId[]>()
    for (const { blockId, state } of shelf.map.values(volume.storage)) {
      if (state !== 'finalized') continue
      const directory = volume.poolPath(finalizedDirectory(blockId))
      const blocks = byDirectory.get(directory)
      if (blocks === undefined) byDirectory.set(directory, [blockId])
      else blocks.push(blockId)
    }
    return byDirectory
  }

  #stillHere(blocks: readonly BlockId[]): ReplicaInfo[] {
    const { shelf, volume } = this.#options
    return blocks.flatMap((blockId) => {
      const replica = shelf.map.find(blockId)
      const isHere = replica?.storage === volume.storage && replica.state === 'finalized'
      return isHere ? [replica] : []
    })
  }

  /** Looks at the files of a block while nobody changes it, and acts on what is still wrong. */
  async #look(blockId: BlockId, listed: BlockFiles): Promise<void> {
    const { shelf, volume } = this.#options
    await shelf.mutex.run(blockId, async () => {
      const known = shelf.map.find(blockId)
      const isHere = known?.storage === volume.storage
      const stamp = isHere ? known.generationStamp : listed.stamps.toSorted((a, b) => b - a)[0]
      if (stamp === undefined) {
        if (listed.hasData) this.#note('incomplete', `block ${blockId}`)
        return
      }
      const files = volume.files('finalized', blockId, stamp)
      const finding = judgeBlock(volume.storage, known, await sizesOf(files, blockId))
      if (finding === undefined) return
      this.#note(finding, files.data)
      if (finding === 'gone') await this.#gone(blockId)
      if (finding === 'wrong-length') {
        this.#options.onCorrupt(blockId, `"${files.data}" or its meta file has a wrong length`)
      }
      if (finding === 'unknown') await this.#adopt(blockId, stamp, files)
    })
  }

  /** Forgets a replica without files, unless its whole disk is gone. */
  async #gone(blockId: BlockId): Promise<void> {
    const { shelf, volume } = this.#options
    await volume.check()
    const replica = shelf.map.find(blockId)
    if (volume.isFailed || replica === undefined) return
    shelf.notify('deleted', shelf.map.remove(blockId))
  }

  async #adopt(
    blockId: BlockId,
    generationStamp: GenerationStamp,
    files: ReplicaFiles,
  ): Promise<void> {
    const { shelf, volume } = this.#options
    const length = await files.disk.pathBytes(files.data)
    const { digest } = await storedDigest(files, length)
    if (shelf.map.find(blockId) !== undefined) return
    const { storage } = volume
    const replica = shelf.map.adopt(
      { blockId, generationStamp, length, storage, digest },
      'finalized',
    )
    shelf.notify('received', replica)
  }

  #note(finding: ScanFinding, path: string): void {
    const { shelf, volume } = this.#options
    this.#totals[finding] += 1
    const logged = (this.#logged.get(finding) ?? 0) + 1
    this.#logged.set(finding, logged)
    if (logged > loggedFindingsMax) return
    shelf.logger.warn('directory-differs', { finding, path, storage: volume.storage })
  }
}

async function sizesOf(files: ReplicaFiles, blockId: BlockId): Promise<FileSizes> {
  const { disk } = files
  const [dataBytes, metaBytes] = await Promise.all(
    [files.data, files.meta].map((path) =>
      disk.pathBytes(path).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return undefined
        throw error
      }),
    ),
  )
  if (dataBytes === undefined || metaBytes === undefined) {
    return { dataBytes, metaBytes, metaBytesWanted: undefined }
  }
  const descriptor = await disk.openFile(files.meta, constants.O_RDONLY)
  try {
    const header = Buffer.alloc(metaHeader.sizeOf)
    await readExactlyAt(disk, descriptor, header, 0, files.meta)
    const layout = decodeMetaHeader(header, blockId, files.meta)
    return { dataBytes, metaBytes, metaBytesWanted: metaFileBytes(layout, dataBytes) }
  } catch (error) {
    if (!isDfsError(error)) throw error
    return { dataBytes, metaBytes, metaBytesWanted: undefined }
  } finally {
    await disk.closeFile(descriptor)
  }
}
