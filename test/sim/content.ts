import type { Prng } from '../../base/prng.ts'
import type { SimConfig } from './config.ts'
import { lengthOf, type Stretch, sliceOf } from './replica-disk.ts'

/** What a file holds: one list of stretches per block. */
export type Content = readonly (readonly Stretch[])[]

/** How safe a writer wants everything up to the end of a packet. */
export type Safety = 'none' | 'hflush' | 'hsync'

/** A packet to be written: `offset` in the block. */
export interface DrawnPacket extends Stretch {
  readonly safety: Safety
}

const chunkBytes = 512
/** Packets below this are with the kernel before they are acknowledged. */
const flushedPacketBytesMax = 32 * 1024

/** Draws the packets of a new file: up to `blocksMax` blocks, the last one shorter. */
export function drawPackets(prng: Prng, config: SimConfig): readonly (readonly DrawnPacket[])[] {
  const { blockBytes, blocksMax } = config
  const blocks: (readonly DrawnPacket[])[] = []
  const fullBlocks = prng.below(blocksMax)
  for (let index = 0; index < fullBlocks; index += 1) {
    blocks.push(drawBlock(prng, config, 0, blockBytes))
  }
  const tailBytes = prng.below(blockBytes)
  if (tailBytes > 0) blocks.push(drawBlock(prng, config, 0, tailBytes))
  return blocks
}

/** Draws packets for `[start, end)` of a block: whole chunks each, but for the ends. */
export function drawBlock(
  prng: Prng,
  { packetBytes, safetyPercent }: SimConfig,
  start: number,
  end: number,
): readonly DrawnPacket[] {
  const packets: DrawnPacket[] = []
  const source = prng.next()
  for (let offset = start; offset < end; ) {
    const isSafe = prng.chance(safetyPercent, 100)
    const safety: Safety = isSafe ? (prng.chance(1, 2) ? 'hsync' : 'hflush') : 'none'
    const wanted = isSafe ? 1 + prng.below(flushedPacketBytesMax - chunkBytes) : packetBytes
    // The first packet of an append only fills up the chunk that is there.
    const used = offset % chunkBytes
    const whole =
      used > 0 ? chunkBytes - used : Math.max(1, Math.floor(wanted / chunkBytes)) * chunkBytes
    const length = Math.min(used > 0 ? whole : isSafe ? wanted : whole, end - offset)
    packets.push({ offset, length, source, from: offset - start, isRotten: false, safety })
    offset += length
  }
  return packets
}

export function contentLength(content: Content): number {
  return content.reduce((sum, block) => sum + lengthOf(block), 0)
}

/** The first `length` bytes of a content. */
export function beginningOf(content: Content, length: number): Content {
  const blocks: (readonly Stretch[])[] = []
  let left = length
  for (const block of content) {
    if (left === 0) break
    const kept = Math.min(left, lengthOf(block))
    blocks.push(sliceOf(block, 0, kept))
    left -= kept
  }
  return blocks
}

/** What is behind the first `length` bytes of a content. */
export function restOf(content: Content, length: number): Content {
  const blocks: (readonly Stretch[])[] = []
  let left = length
  for (const block of content) {
    const cut = Math.min(left, lengthOf(block))
    if (cut < lengthOf(block)) blocks.push(sliceOf(block, cut, lengthOf(block)))
    left -= cut
  }
  return blocks
}

/** Bytes of one origin without a gap, wherever the borders of blocks and packets are. */
interface Run {
  readonly source: number
  readonly from: number
  length: number
}

/** What a content says, independent of blocks and packets. */
export function runsOf(content: Content): readonly Readonly<Run>[] {
  const runs: Run[] = []
  for (const block of content) {
    for (const { source, from, length } of block) {
      const last = runs.at(-1)
      if (last?.source === source && last.from + last.length === from) last.length += length
      else runs.push({ source, from, length })
    }
  }
  return runs
}

/** True when `part` is how `whole` begins, or all of it. */
export function isPrefix(part: Content, whole: Content): boolean {
  const length = contentLength(part)
  if (length > contentLength(whole)) return false
  const expected = runsOf(beginningOf(whole, length))
  return runsOf(part).every((run, index) => {
    const other = expected[index]
    return run.source === other?.source && run.from === other.from && run.length === other.length
  })
}

export function isSame(left: Content, right: Content): boolean {
  return contentLength(left) === contentLength(right) && isPrefix(left, right)
}

/** For messages. */
export function describeContent(content: Content): string {
  return runsOf(content)
    .map(({ source, from, length }) => `${source}@${from}+${length}`)
    .join(' ')
}
