/**
 * Bit flips at rest: in block and meta files of finalized replicas and in nothing else, and never so many that bytes could
 * be lost. A replica may rot when two others of the same stamp and length are on other disks, once per block and run.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Prng } from '../../../base/prng.ts'
import {
  blockFileName,
  currentDirectoryName,
  finalizedDirectoryName,
  parseMetaFileName,
} from '../../../datanode/format/block-file.ts'

interface Replica {
  readonly blockId: number
  /** Block, stamp and length: equal for replicas that hold the same bytes. */
  readonly identity: string
  readonly data: string
  readonly meta: string
}

const othersMin = 2

/** Finalized replicas in a data directory; none when its disk is without power. */
function finalizedReplicas(directory: string): Replica[] {
  const current = join(directory, currentDirectoryName)
  if (!existsSync(current)) return []
  return readdirSync(current)
    .map((pool) => join(current, pool, finalizedDirectoryName))
    .filter((finalized) => existsSync(finalized))
    .flatMap((finalized) => readdirSync(finalized, { recursive: true, withFileTypes: true }))
    .flatMap((entry) => {
      const parsed = entry.isFile() ? parseMetaFileName(entry.name) : undefined
      if (parsed === undefined) return []
      const { blockId, generationStamp } = parsed
      const data = join(entry.parentPath, blockFileName(blockId))
      const length = statSync(data, { throwIfNoEntry: false })?.size
      if (length === undefined || length === 0) return []
      const identity = `${blockId}/${generationStamp}/${length}`
      return [{ blockId, identity, data, meta: join(entry.parentPath, entry.name) }]
    })
}

/**
 * Flips one bit of one replica on the disk `victim`, if there is one that may rot.
 *
 * @param flipped blocks that rotted in this run already; the new one is added
 * @returns what was done
 */
export function flipSomeBit(
  prng: Prng,
  disks: { readonly victim: string; readonly others: readonly string[] },
  flipped: Set<number>,
): string {
  const copies = new Map<string, number>()
  for (const directory of disks.others) {
    for (const { identity } of finalizedReplicas(directory))
      copies.set(identity, (copies.get(identity) ?? 0) + 1)
  }
  const candidates = finalizedReplicas(disks.victim).filter(
    ({ blockId, identity }) => !flipped.has(blockId) && (copies.get(identity) ?? 0) >= othersMin,
  )
  if (candidates.length === 0) return 'no replica may rot'
  const replica = prng.pick(candidates)
  flipped.add(replica.blockId)
  const file = prng.chance(1, 4) ? replica.meta : replica.data
  return `flipped bit ${flipBit(file, prng)} of ${file}`
}

/** Flips a bit as a disk does: times stay as they are. */
function flipBit(file: string, prng: Prng): number {
  const descriptor = openSync(file, 'r+')
  try {
    const { size, atime, mtime } = fstatSync(descriptor)
    const bit = prng.below(size * 8)
    const byte = Buffer.alloc(1)
    readSync(descriptor, byte, 0, 1, bit >> 3)
    byte[0] = (byte[0] ?? 0) ^ (1 << (bit & 7))
    writeSync(descriptor, byte, 0, 1, bit >> 3)
    futimesSync(descriptor, atime, mtime)
    fsyncSync(descriptor)
    return bit
  } finally {
    closeSync(descriptor)
  }
}
