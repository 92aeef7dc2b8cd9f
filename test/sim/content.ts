import type { Prng } from '../../base/prng.ts'
import { lengthOf, type Stretch } from './replica-disk.ts'

/** What a file holds: one list of stretches per block. */
export type Content = readonly (readonly Stretch[])[]

/** Bytes of all packets but the last of a block; a multiple of the chunk. */
const packetBytes = 256 * 1024
const chunkBytes = 512

/** Draws the content of a new file: up to `blocksMax` blocks of `blockBytes`, the last one shorter. */
export function drawContent(prng: Prng, blockBytes: number, blocksMax: number): Content {
  const fullBlocks = prng.below(blocksMax)
  const blocks: Stretch[][] = []
  for (let index = 0; index < fullBlocks; index += 1) blocks.push(drawBlock(prng, blockBytes))
  const tailBytes = prng.below(blockBytes / chunkBytes) * chunkBytes
  if (tailBytes > 0) blocks.push(drawBlock(prng, tailBytes))
  return blocks
}

function drawBlock(prng: Prng, bytes: number): Stretch[] {
  const stretches: Stretch[] = []
  for (let offset = 0; offset < bytes; offset += packetBytes) {
    const length = Math.min(packetBytes, bytes - offset)
    const digest = prng.next()
    stretches.push({ offset, length, digest, checksum: digest })
  }
  return stretches
}

export function contentLength(content: Content): number {
  return content.reduce((sum, block) => sum + lengthOf(block), 0)
}

/** The digests of a content in file order: two contents are equal when these are. */
export function digestsOf(content: Content): readonly number[] {
  return content.flatMap((block) => block.map(({ digest }) => digest))
}

/** True when `part` is how `whole` begins, or all of it. */
export function isPrefix(part: Content, whole: Content): boolean {
  const expected = digestsOf(whole)
  return digestsOf(part).every((digest, index) => digest === expected[index])
}

export function isSame(left: Content, right: Content): boolean {
  return digestsOf(left).length === digestsOf(right).length && isPrefix(left, right)
}
