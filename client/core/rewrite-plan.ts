/**
 * Which blocks of a file are written anew when bytes in its middle change, and into which pieces. Blocks never change, so
 * a new block takes the place of every one that is touched; how much is written for how little is decided here:
 *
 * - A block up to twice the unit is written anew as a whole.
 * - A larger one is cut, where it is touched, into sixteenths, and so on down to the unit: the first small change of a
 *   block of 128 MiB writes all of it, the next one near by a unit, and blocks become many only where small changes are.
 * - What is new from end to end is not cut: a file that is overwritten in order has large blocks again.
 */
import type { Range, RangeSet } from '../../base/range-set.ts'

/** Pieces that a block is cut into at a time. */
const fanOut = 16

/** What is to change. */
export interface RewriteTask<Block extends Range> {
  /** The blocks that hold changed bytes or bytes behind the new end, and the last one; in order. */
  readonly blocks: readonly Block[]
  readonly lengthBefore: number
  readonly length: number
  /** Bytes with new content, below `length`. */
  readonly changed: RangeSet
  /** The longest block that may be made. */
  readonly blockBytes: number
  /** How small blocks are cut for small changes. */
  readonly unitBytes: number
}

/** Blocks that give way to new ones of the lengths `pieces`. */
export interface RewriteEdit<Block extends Range> {
  /** Byte of the file where the first of them starts. */
  readonly offset: number
  readonly removed: readonly Block[]
  readonly pieces: readonly number[]
}

/** Bytes that become one block, unless they are cut or joined. */
interface Segment extends Range {
  /** All of it has new content. */
  readonly isFresh: boolean
}

/** The edits of a file's list of blocks, in order. */
export function planRewrite<Block extends Range>(
  task: RewriteTask<Block>,
): readonly RewriteEdit<Block>[] {
  const { lengthBefore, length } = task
  const edits = runsOf(task).map((run): RewriteEdit<Block> => {
    const segments = run.flatMap((block) => segmentsOf(task, block))
    const isLast = run.at(-1)?.end === lengthBefore
    if (isLast && length > lengthBefore) segments.push(growthOf(task))
    return { offset: run[0]?.start ?? 0, removed: run, pieces: piecesOf(task, segments) }
  })
  const isGrowthPlanned = edits.some(({ removed }) => removed.at(-1)?.end === lengthBefore)
  if (length <= lengthBefore || isGrowthPlanned) return edits
  const pieces = piecesOf(task, [growthOf(task)])
  return [...edits, { offset: lengthBefore, removed: [], pieces }]
}

/** Touched blocks, neighbours together. */
function runsOf<Block extends Range>(task: RewriteTask<Block>): readonly Block[][] {
  const runs: Block[][] = []
  for (const block of task.blocks) {
    if (!isTouched(task, block)) continue
    const run = runs.at(-1)
    if (run?.at(-1)?.end === block.start) run.push(block)
    else runs.push([block])
  }
  return runs
}

function isTouched(
  { changed, length, lengthBefore, unitBytes }: RewriteTask<Range>,
  { start, end }: Range,
): boolean {
  if (end > length || changed.overlaps(start, end)) return true
  // A file that grows by little at a time shall not get a block for each.
  return length > lengthBefore && end === lengthBefore && end - start < unitBytes
}

function growthOf({ lengthBefore, length }: RewriteTask<Range>): Segment {
  return { start: lengthBefore, end: length, isFresh: true }
}

function segmentsOf(task: RewriteTask<Range>, block: Range): readonly Segment[] {
  const end = Math.min(block.end, task.length)
  return block.start >= end ? [] : cut(task, { start: block.start, end })
}

function cut(task: RewriteTask<Range>, { start, end }: Range): readonly Segment[] {
  const { changed, unitBytes } = task
  const isFresh = changed.covers(start, end)
  const length = end - start
  if (isFresh || length <= 2 * unitBytes || !changed.overlaps(start, end)) {
    return [{ start, end, isFresh }]
  }
  const step = Math.max(1, Math.ceil(length / fanOut / unitBytes)) * unitBytes
  const segments: Segment[] = []
  for (let at = start; at < end; at += step) {
    segments.push(...cut(task, { start: at, end: Math.min(at + step, end) }))
  }
  return segments
}

/** Lengths of the blocks for adjacent segments: small ones and fresh ones joined, and none above the block size. */
function piecesOf(
  { blockBytes, unitBytes }: RewriteTask<Range>,
  all: readonly Segment[],
): number[] {
  const joined: Segment[] = []
  for (const segment of all) {
    const last = joined.at(-1)
    const isFresh = last?.isFresh === true && segment.isFresh
    const joinedMax = isFresh ? Number.POSITIVE_INFINITY : unitBytes
    if (last !== undefined && segment.end - last.start <= joinedMax) {
      joined[joined.length - 1] = { start: last.start, end: segment.end, isFresh }
    } else joined.push(segment)
  }
  return joined.flatMap(({ start, end }) => {
    const pieces: number[] = []
    for (let at = start; at < end; at += blockBytes) pieces.push(Math.min(blockBytes, end - at))
    return pieces
  })
}
