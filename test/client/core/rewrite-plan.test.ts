import fc from 'fast-check'
import t from 'tap'
import { RangeSet } from '../../../base/range-set.ts'
import { planRewrite, type RewriteTask } from '../../../client/core/rewrite-plan.ts'

const unit = 16
const blockBytes = 256

/** Blocks of these lengths, one after the other. */
function placed(lengths: readonly number[]): { start: number; end: number }[] {
  let at = 0
  return lengths.map((length) => {
    const block = { start: at, end: at + length }
    at += length
    return block
  })
}

function plan(
  lengths: readonly number[],
  length: number,
  changed: readonly (readonly [number, number])[],
) {
  const blocks = placed(lengths)
  const lengthBefore = blocks.at(-1)?.end ?? 0
  const set = new RangeSet(changed.map(([start, end]) => ({ start, end })))
  set.add(Math.min(lengthBefore, length), length)
  const task = { blocks, lengthBefore, length, changed: set, blockBytes, unitBytes: unit }
  return planRewrite(task).map(({ offset, removed, pieces }) => [offset, removed.length, ...pieces])
}

t.test('a small block is written anew as a whole, its neighbours stay', async (t) => {
  t.same(plan([32, 32, 32], 96, [[40, 41]]), [[32, 1, 32]])
})

t.test('a large block is cut where it is touched', async (t) => {
  t.same(plan([256], 256, [[20, 21]]), [[0, 1, ...Array<number>(16).fill(16)]])
  const huge = [4096]
  const [edit = []] = plan(huge, 4096, [[300, 301]])
  const pieces = edit.slice(2)
  t.ok(pieces.every((piece) => piece <= blockBytes))
  t.ok(pieces.includes(unit), 'down to the unit')
  t.ok(pieces.length < 64, 'and not where nothing is touched')
})

t.test('what is overwritten from end to end gets whole blocks again', async (t) => {
  const many = Array<number>(20).fill(16)
  t.same(plan(many, 320, [[0, 320]]), [[0, 20, 256, 64]])
})

t.test(
  'a file that grows fills up its small last block, and goes on behind a larger one',
  async (t) => {
    t.same(plan([64, 8], 80, []), [[64, 1, 16]])
    t.same(plan([64], 70, []), [[64, 0, 6]])
    t.same(plan([64], 70, [[0, 1]]), [[0, 1, ...[16, 16, 16, 16], 6]])
    t.same(plan([], 300, []), [[0, 0, 256, 44]])
  },
)

t.test('a file that shrinks loses what is behind its end', async (t) => {
  t.same(plan([32, 32, 32], 64, []), [[64, 1]])
  t.same(plan([32, 32, 32], 40, []), [[32, 2, 8]])
  t.same(plan([32, 32], 0, []), [[0, 2]])
})

t.test('nothing to do is nothing', async (t) => {
  t.same(plan([32, 32], 64, []), [])
})

t.test('every plan keeps the bytes where they are, and its blocks in bounds', async () => {
  const lengths = fc.array(fc.integer({ min: 1, max: blockBytes }), { maxLength: 6 })
  const ranges = fc.array(fc.tuple(fc.nat(900), fc.integer({ min: 1, max: 300 })), { maxLength: 5 })
  fc.assert(
    fc.property(lengths, fc.nat(1200), ranges, (all, length, parts) => {
      const blocks = placed(all)
      const lengthBefore = blocks.at(-1)?.end ?? 0
      const changed = new RangeSet(parts.map(([start, size]) => ({ start, end: start + size })))
      changed.cut(length)
      changed.add(Math.min(lengthBefore, length), length)
      const task: RewriteTask<{ start: number; end: number }> = {
        ...{ blocks, lengthBefore, length, changed, blockBytes, unitBytes: unit },
      }
      const edits = planRewrite(task)
      const removed = new Set(edits.flatMap((edit) => edit.removed))
      const isKeptRight = blocks.every(
        (block) =>
          removed.has(block) || (block.end <= length && !changed.overlaps(block.start, block.end)),
      )
      const isEditRight = edits.every(({ offset, removed: gone, pieces }, index) => {
        const end = gone.at(-1)?.end ?? offset
        const isLast = end === lengthBefore
        const wanted = isLast ? length - offset : end - offset
        const total = pieces.reduce((sum, piece) => sum + piece, 0)
        const next = edits[index + 1]
        return (
          (gone[0]?.start ?? offset) === offset &&
          total === Math.max(0, Math.min(wanted, length - offset)) &&
          pieces.every((piece) => piece > 0 && piece <= blockBytes) &&
          (next === undefined || next.offset >= end)
        )
      })
      return isKeptRight && isEditRight
    }),
    { numRuns: 3000 },
  )
})
