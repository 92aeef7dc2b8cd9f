/**
 * Names and places of block files under one data directory, as HDFS lays them out
 * (org.apache.hadoop.hdfs.server.datanode.DatanodeUtil, Block). See docs/formats/block-files.md.
 *
 *     <data directory>/in_use.lock
 *     <data directory>/current/VERSION
 *     <data directory>/current/<block pool>/finalized/subdirX/subdirY/blk_<id>
 *     <data directory>/current/<block pool>/finalized/subdirX/subdirY/blk_<id>_<stamp>.meta
 *     <data directory>/current/<block pool>/rbw/...     being written
 *     <data directory>/current/<block pool>/tmp/...     being copied here; emptied at start
 *
 * X and Y are bits 16-20 and 8-12 of the block id: ids are sequential, so 256 neighbours share a
 * directory and, being finalized together, its sync.
 */
import { type BlockId, blockId, type GenerationStamp, generationStamp } from '../../protocol/ids.ts'

const fanOut = 32
export const finalizedDirectoryName = 'finalized'
export const beingWrittenDirectoryName = 'rbw'
export const beingCopiedDirectoryName = 'tmp'
export const lockFileName = 'in_use.lock'
export const currentDirectoryName = 'current'
export const versionFileName = 'VERSION'

const blockName = /^blk_(\d{1,16})$/
const metaName = /^blk_(\d{1,16})_(\d{1,16})\.meta$/

export function blockFileName(id: BlockId): string {
  return `blk_${id}`
}

export function metaFileName(id: BlockId, stamp: GenerationStamp): string {
  return `blk_${id}_${stamp}.meta`
}

/** Returns the directory of a finalized replica, relative to the block pool's. */
export function finalizedDirectory(id: BlockId): string {
  const upper = Math.floor(id / 65536) % fanOut
  const lower = Math.floor(id / 256) % fanOut
  return `${finalizedDirectoryName}/subdir${upper}/subdir${lower}`
}

/** Returns the block a data file belongs to, or `undefined` for any other name. */
export function parseBlockFileName(name: string): BlockId | undefined {
  const digits = blockName.exec(name)?.[1]
  const value = Number(digits)
  return digits !== undefined && Number.isSafeInteger(value) ? blockId(value) : undefined
}

/** Returns the block and stamp a meta file belongs to, or `undefined` for any other name. */
export function parseMetaFileName(
  name: string,
): { readonly blockId: BlockId; readonly generationStamp: GenerationStamp } | undefined {
  const [, id, stamp] = metaName.exec(name) ?? []
  if (id === undefined || stamp === undefined) return undefined
  if (!Number.isSafeInteger(Number(id)) || !Number.isSafeInteger(Number(stamp))) return undefined
  return { blockId: blockId(Number(id)), generationStamp: generationStamp(Number(stamp)) }
}
