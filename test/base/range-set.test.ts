import fc from 'fast-check'
import t from 'tap'
import { RangeSet } from '../../base/range-set.ts'

const size = 40
const bounds = fc.tuple(fc.nat(size), fc.nat(size))
const change = fc.tuple(fc.constantFrom('add', 'cut'), bounds)

t.test('a range set is the set of the numbers in it', async () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), bounds, (changes, [from, to]) => {
      const set = new RangeSet()
      const model = new Set<number>()
      for (const [kind, [start, end]] of changes) {
        if (kind === 'add') {
          set.add(start, end)
          for (let at = start; at < end; at += 1) model.add(at)
        } else {
          set.cut(end)
          for (const at of [...model]) if (at >= end) model.delete(at)
        }
      }
      const wanted = Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index)
      const isIn = wanted.map((at) => model.has(at))
      const pieces = [...set.pieces(from, to)]
      const told = pieces.flatMap((piece) =>
        Array<boolean>(piece.end - piece.start).fill(piece.isIn),
      )
      const isAlternating = pieces.every(
        (piece, index) => index === 0 || piece.isIn !== pieces[index - 1]?.isIn,
      )
      return (
        told.join() === isIn.join() &&
        isAlternating &&
        set.covers(from, to) === isIn.every(Boolean) &&
        set.overlaps(from, to) === isIn.some(Boolean) &&
        set.isEmpty === (model.size === 0) &&
        set.ranges.every(({ start, end }) => start < end) &&
        set.ranges.every(({ start }, index) => start > (set.ranges[index - 1]?.end ?? -1))
      )
    }),
    { numRuns: 2000 },
  )
})

t.test('clear() empties it', async (t) => {
  const set = new RangeSet([{ start: 1, end: 2 }])
  t.equal(set.count, 1)
  set.clear()
  t.ok(set.isEmpty)
})
