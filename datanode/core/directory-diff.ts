/**
 * Compares the files of one directory with the replicas that should be there. Pure: the shell lists
 * directories, looks again at what is suspicious while nobody changes the block, and acts.
 *
 *     replica map                          directory
 *     finalized here, both files           fine
 *     finalized here, a file missing  -->  gone            the namenode is told, what is left is left
 *     finalized here, wrong length    -->  wrong-length    reported corrupt
 *     not here, both files fit        -->  unknown         becomes a replica again
 *     not here, anything else         -->  incomplete      said, not touched
 *     on another volume               -->  duplicate       said, not touched
 *     replica files in a directory that is not their own  -->  misplaced    said, not touched
 *     any other name                  -->  foreign         said, not touched
 *
 * 1. Nothing is ever deleted for what a scan found (D24).
 * 2. A difference counts only when it is still there under the block's lock: a listing is older than the map.
 */
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { ReplicaInfo } from './replica.ts'

export const scanFindings = [
  'gone',
  'wrong-length',
  'unknown',
  'incomplete',
  'duplicate',
  'misplaced',
  'foreign',
] as const
export type ScanFinding = (typeof scanFindings)[number]

/** Files of one block in a directory. */
export interface BlockFiles {
  readonly hasData: boolean
  /** Stamps of its meta files. */
  readonly stamps: readonly GenerationStamp[]
}

/** What the map says of a block when its files are looked at. */
export type KnownReplica = Pick<ReplicaInfo, 'state' | 'storage' | 'generationStamp' | 'length'>

/** Sizes of the files of a block at the stamp in question; `undefined` for one that is not there. */
export interface FileSizes {
  readonly dataBytes: number | undefined
  readonly metaBytes: number | undefined
  /** What the meta file of a block of `dataBytes` must measure; `undefined` when its head is unreadable. */
  readonly metaBytesWanted: number | undefined
}

/** Blocks of a directory whose files and replicas do not fit at first sight: they are looked at again. */
export function suspiciousBlocks(
  found: ReadonlyMap<BlockId, BlockFiles>,
  known: Iterable<KnownReplica & { readonly blockId: BlockId }>,
  sizes: ReadonlyMap<BlockId, number>,
): BlockId[] {
  const suspicious: BlockId[] = []
  const seen = new Set<BlockId>()
  for (const { blockId, generationStamp, length } of known) {
    seen.add(blockId)
    const files = found.get(blockId)
    const isWhole =
      files !== undefined &&
      files.hasData &&
      files.stamps.length === 1 &&
      files.stamps[0] === generationStamp &&
      sizes.get(blockId) === length
    if (!isWhole) suspicious.push(blockId)
  }
  for (const blockId of found.keys()) if (!seen.has(blockId)) suspicious.push(blockId)
  return suspicious
}

/** Judges the files of one block in its own directory on volume `storage`; `undefined` when all is well. */
export function judgeBlock(
  storage: StorageUuid,
  known: KnownReplica | undefined,
  sizes: FileSizes,
): ScanFinding | undefined {
  const { dataBytes, metaBytes, metaBytesWanted } = sizes
  const isHere = known?.storage === storage
  if (isHere && known.state !== 'finalized') {
    // Its files are in another directory, or on their way: whoever writes it looks after it.
    return undefined
  }
  if (isHere) {
    if (dataBytes === undefined || metaBytes === undefined) return 'gone'
    const fits = dataBytes === known.length && metaBytes === metaBytesWanted
    return fits ? undefined : 'wrong-length'
  }
  if (dataBytes === undefined && metaBytes === undefined) return undefined
  if (known !== undefined) return 'duplicate'
  const isComplete = dataBytes !== undefined && metaBytes !== undefined
  return isComplete && metaBytes === metaBytesWanted ? 'unknown' : 'incomplete'
}
