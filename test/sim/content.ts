import type { Prng } from '../../base/prng.ts'
import { lengthOf, type Stretch } from './replica-disk.ts'

/** What a file holds: one list of stretches per block. */
export type Content = readonly (readonly Stretch[])[]

const chunkBytes = 512

/** Sizes of what is written. */
export interface ContentShape {
  readonly blockBytes: number
  readonly blocksMax: number
  /** Bytes of all packets but the last of a block; a multiple of the chunk. */
  readonly packetBytes: number
}

/** Draws the content of a new file: up to `blocksMax` blocks, the last one shorter. */
export function drawContent(prng: Prng, shape: ContentShape): Content {
  const { blockBytes, blocksMax, packetBytes } = shape
  const fullBlocks = prng.below(blocksMax)
  const blocks: Stretch[][] = []
  for (let index = 0; index < fullBlocks; index += 1) {
    blocks.push(drawBlock(prng, blockBytes, packetBytes))
  }
  const tailBytes = prng.below(blockBytes / chunkBytes) * chunkBytes
  if (tailBytes > 0) blocks.push(drawBlock(prng, tailBytes, packetBytes))
  return blocks
}

function drawBlock(prng: Prng, bytes: number, packetBytes: number): Stretch[] {
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
