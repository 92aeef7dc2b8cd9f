import { constants } from 'node:fs'
import { join } from 'node:path'
import { type Millis, millis } from '../../base/brand.ts'
import type { Logger } from '../../base/log.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { blockDigestBytes, decodeBlockDigest } from '../format/block-digest.ts'
import {
  beingWrittenDirectoryName,
  finalizedDirectoryName,
  parseBlockFileName,
  parseMetaFileName,
} from '../format/block-file.ts'
import { metaHeader } from '../format/block-meta.ts'
import { errnoOf, type FileSystem } from './files.ts'
import { completeCut } from './replica-cut.ts'
import { recoverPrefix } from './replica-repair.ts'
import type { ReplicaFiles, Volume } from './volume.ts'

/** Files looked at together; each waits for the disk. */
const scanBatch = 64

/** A replica that a scan found on disk. */
export interface FoundReplica {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly state: 'finalized' | 'rwr'
  readonly storage: StorageUuid
  readonly files: ReplicaFiles
  readonly digest: bigint | undefined
  readonly verifiedAt: Millis
}

interface DirectoryContents {
  readonly directory: string
  readonly data: readonly BlockId[]
  /** The newest stamp of each block's meta files here. */
  readonly stampByBlock: ReadonlyMap<BlockId, GenerationStamp>
}

/**
 * Lists the replicas of a volume and settles what a crash left half done: copies are gone (the volume
 * emptied their directory), a finalization between its two renames and a cut are completed, a replica that was
 * being written is cut to the prefix its checksums vouch for and becomes `rwr`.
 */
export async function scanVolume(volume: Volume, logger: Logger): Promise<FoundReplica[]> {
  const found: FoundReplica[] = []
  const rbw = await readContents(volume.disk, volume.poolPath(beingWrittenDirectoryName))
  for (const directory of await finalizedDirectories(volume)) {
    const contents = await readContents(volume.disk, directory)
    await adoptStrays(volume, rbw, contents)
    found.push(
      ...(await finalizedReplicas(volume, await readContents(volume.disk, directory), logger)),
    )
  }
  const final = new Set(found.map((replica) => replica.blockId))
  for (const [blockId, generationStamp] of rbw.stampByBlock) {
    if (final.has(blockId)) continue
    const replica = await unfinishedReplica(volume, { blockId, generationStamp }, logger)
    if (replica !== undefined) found.push(replica)
  }
  // What is reported from now on must survive a power failure, also if its entry was not synced when written.
  await volume.syncer.sync(rbw.directory)
  return found
}

/**
 * Of two replicas of one block on different volumes, returns the one to drop: the older stamp, else
 * the unfinished one, else the shorter.
 */
export function worseReplica(one: FoundReplica, other: FoundReplica): FoundReplica {
  if (one.generationStamp !== other.generationStamp) {
    return one.generationStamp < other.generationStamp ? one : other
  }
  if (one.state !== other.state) return one.state === 'rwr' ? one : other
  return one.length < other.length ? one : other
}

async function finalizedDirectories(volume: Volume): Promise<string[]> {
  const found: string[] = []
  const root = volume.poolPath(finalizedDirectoryName)
  for (const upper of await subdirectories(volume.disk, root)) {
    for (const lower of await subdirectories(volume.disk, upper)) found.push(lower)
  }
  return found
}

async function subdirectories(disk: FileSystem, directory: string): Promise<string[]> {
  const entries = await disk.listDirectory(directory)
  return entries
    .filter((entry) => entry.isDirectory() && /^subdir\d+$/.test(entry.name))
    .map((entry) => join(directory, entry.name))
    .sort()
}

async function readContents(disk: FileSystem, directory: string): Promise<DirectoryContents> {
  const data: BlockId[] = []
  const stampByBlock = new Map<BlockId, GenerationStamp>()
  const entries = await disk.listDirectory(directory)
  for (const name of entries.map((entry) => entry.name).sort()) {
    const block = parseBlockFileName(name)
    if (block !== undefined) data.push(block)
    const meta = parseMetaFileName(name)
    if (meta === undefined) continue
    const known = stampByBlock.get(meta.blockId)
    if (known === undefined || known < meta.generationStamp) {
      stampByBlock.set(meta.blockId, meta.generationStamp)
    }
  }
  return { directory, data, stampByBlock }
}

/** Both files of a finalization were durable before its first rename, so its second one may be made up for. */
async function adoptStrays(
  volume: Volume,
  rbw: DirectoryContents,
  finalized: DirectoryContents,
): Promise<void> {
  const inFinalized = new Set(finalized.data)
  const inRbw = new Set(rbw.data)
  for (const blockId of finalized.data) {
    const stamp = rbw.stampByBlock.get(blockId)
    if (finalized.stampByBlock.has(blockId) || stamp === undefined) continue
    await volume.disk.renameFile(
      volume.files('rbw', blockId, stamp).meta,
      volume.files('finalized', blockId, stamp).meta,
    )
  }
  for (const [blockId, stamp] of finalized.stampByBlock) {
    if (inFinalized.has(blockId) || !inRbw.has(blockId)) continue
    await volume.disk.renameFile(
      volume.files('rbw', blockId, stamp).data,
      volume.files('finalized', blockId, stamp).data,
    )
  }
  await volume.syncer.sync(finalized.directory)
}

async function finalizedReplicas(
  volume: Volume,
  contents: DirectoryContents,
  logger: Logger,
): Promise<FoundReplica[]> {
  const found: FoundReplica[] = []
  for (let at = 0; at < contents.data.length; at += scanBatch) {
    const batch = contents.data.slice(at, at + scanBatch).map(async (blockId) => {
      const generationStamp = contents.stampByBlock.get(blockId)
      if (generationStamp === undefined) {
        logger.warn('replica-without-meta', { blockId, directory: contents.directory })
        return undefined
      }
      const files = volume.files('finalized', blockId, generationStamp)
      if (files.directory !== contents.directory) {
        logger.warn('replica-misplaced', { blockId, directory: contents.directory })
        return undefined
      }
      const size = await volume.disk.pathBytes(files.data)
      const { storage } = volume
      const stored = await storedDigest(files, size)
      // Final replicas have a digest, unless they are of an earlier release, or were being cut.
      if (stored.digest === undefined) await settleCut({ files, blockId, length: size }, logger)
      const { modifiedAt } = stored
      // A time in the future says nothing: the clock, then or now, is wrong.
      const verifiedAt = millis(modifiedAt <= volume.wallTime() ? modifiedAt : 0)
      const start = { blockId, generationStamp, length: size, digest: stored.digest, verifiedAt }
      return { ...start, state: 'finalized', storage, files } as const
    })
    for (const replica of await Promise.all(batch)) if (replica !== undefined) found.push(replica)
  }
  return found
}

/** Damage that does not let a cut be completed is for the scrubber to report. */
async function settleCut(
  { files, blockId, length }: Pick<FoundReplica, 'files' | 'blockId' | 'length'>,
  logger: Logger,
): Promise<void> {
  try {
    if (await completeCut(files, blockId, length)) logger.info('cut-completed', { blockId, length })
  } catch (error) {
    if (!isDfsError(error)) throw error
    logger.warn('cut-not-completed', { blockId, reason: error.message })
  }
}

/** The digest in a meta file, and when the file was last changed: written, or touched by the scrubber. */
export async function storedDigest(
  files: ReplicaFiles,
  length: number,
): Promise<{ readonly digest: bigint | undefined; readonly modifiedAt: number }> {
  const { disk } = files
  const descriptor = await disk.openFile(files.meta, constants.O_RDONLY)
  try {
    const record = Buffer.alloc(blockDigestBytes)
    const read = await disk.readAt(descriptor, record, metaHeader.blockDigest)
    const modifiedAt = await disk.fileModifiedAt(descriptor)
    return { digest: decodeBlockDigest(record.subarray(0, read), length), modifiedAt }
  } finally {
    await disk.closeFile(descriptor)
  }
}

const unverified = { digest: undefined, verifiedAt: millis(0) } as const

async function unfinishedReplica(
  volume: Volume,
  { blockId, generationStamp }: { blockId: BlockId; generationStamp: GenerationStamp },
  logger: Logger,
): Promise<FoundReplica | undefined> {
  const files = volume.files('rbw', blockId, generationStamp)
  const { storage } = volume
  try {
    const length = await recoverPrefix(files, blockId)
    return { blockId, generationStamp, length, state: 'rwr', storage, files, ...unverified }
  } catch (error) {
    const isDamaged = isDfsError(error, 'CORRUPTION')
    if (!isDamaged && errnoOf(error) !== 'ENOENT') throw error
    const reason = isDamaged ? error.message : 'one of its files is missing'
    // The header is written with the first flushed bytes: nothing that was flushed is lost here.
    logger.warn('unfinished-replica-dropped', { blockId, reason })
    await Promise.all([volume.disk.removeFile(files.data), volume.disk.removeFile(files.meta)])
    return undefined
  }
}
