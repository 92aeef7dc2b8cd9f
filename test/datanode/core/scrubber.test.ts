import fc from 'fast-check'
import t from 'tap'
import { type Millis, millis } from '../../../base/brand.ts'
import { Prng } from '../../../base/prng.ts'
import { Scrubber, type ScrubSubject, scrubLimits } from '../../../datanode/core/scrubber.ts'
import { type BlockId, blockId, generationStamp } from '../../../protocol/ids.ts'

const dayMs = 24 * 3_600_000
const periodMs = 14 * dayMs
const mebibyte = 1024 * 1024

/** A volume: its replicas, and the plan that reads them. */
class Volume {
  readonly replicas = new Map<BlockId, ScrubSubject>()
  readonly plan = new Scrubber({
    periodMs,
    find: (id) => this.replicas.get(id),
    usedBytes: () => [...this.replicas.values()].reduce((sum, { length }) => sum + length, 0),
  })

  put(id: number, length: number, verifiedAt: number): BlockId {
    const block = blockId(id)
    const at = millis(verifiedAt)
    this.replicas.set(block, { generationStamp: generationStamp(1001), length, verifiedAt: at })
    return block
  }

  /** Takes what is due at `now` and calls it right. */
  verifyNext(now: Millis, isBusy = false): { block: BlockId; bytesPerSecond: number } | undefined {
    const order = this.plan.tick(now, isBusy)
    if (order === undefined) return undefined
    const { blockId: block, length, bytesPerSecond } = order
    this.put(block, length, now)
    this.plan.add(block, now)
    return { block, bytesPerSecond }
  }
}

t.test('tick() takes the oldest first, and nothing before half of the period', async (t) => {
  const volume = new Volume()
  volume.put(1, 100, 3000)
  volume.put(2, 100, 1000)
  volume.put(3, 100, 2000)
  volume.plan.load(
    [...volume.replicas].map(([block, { verifiedAt }]) => ({ blockId: block, verifiedAt })),
  )
  const due = periodMs / 2
  t.equal(volume.plan.dueAt, due + 1000)
  t.equal(volume.verifyNext(millis(due + 999)), undefined)
  t.equal(volume.verifyNext(millis(due + 1000))?.block, 2)
  t.equal(volume.verifyNext(millis(due + 1000)), undefined)
  t.equal(volume.plan.oldestAgeMs(millis(due + 1000)), due - 1000)
  const rest = [1, 2, 3].map(() => volume.verifyNext(millis(due + 5000))?.block)
  t.same(rest, [3, 1, undefined], 'the first one has its turn half a period later')
})

t.test('a suspect goes first, however fresh it is, and at full speed', async (t) => {
  const volume = new Volume()
  volume.plan.add(volume.put(1, 100, 0), millis(0))
  volume.plan.add(volume.put(2, 100, periodMs - 1), millis(periodMs - 1))
  volume.plan.suspect(blockId(2))
  volume.plan.suspect(blockId(99))
  t.equal(volume.plan.dueAt, 0)
  const now = millis(periodMs)
  t.same(volume.verifyNext(now), { block: 2, bytesPerSecond: scrubLimits.bytesPerSecondMax })
  t.equal(volume.verifyNext(now)?.block, 1)
  t.equal(volume.verifyNext(now), undefined, 'a suspect that is gone is nothing')
  for (let id = 0; id <= scrubLimits.suspectsMax; id += 1) volume.plan.suspect(blockId(1000 + id))
  t.equal(volume.plan.tick(now, false), undefined, 'and the list is bounded')
})

t.test('entries of replicas that are gone or were written since are skipped', async (t) => {
  const volume = new Volume()
  for (const id of [1, 2, 3]) volume.plan.add(volume.put(id, 100, id), millis(id))
  volume.replicas.delete(blockId(1))
  volume.plan.add(volume.put(2, 100, 5000), millis(5000))
  const now = millis(periodMs)
  const order = [1, 2, 3].map(() => volume.verifyNext(now)?.block)
  t.same(order, [3, 2, undefined], 'once each')
  for (let id = 0; id < 3 * scrubLimits.uselessEntriesMin; id += 1) {
    volume.plan.add(blockId(10_000 + id), now)
  }
  t.equal(volume.plan.oldestAgeMs(millis(periodMs + 7)), 7, 'short-lived blocks leave no trace')
})

t.test('the rate follows from what is stored, within bounds', async (t) => {
  const volume = new Volume()
  const { bytesPerSecondMin, bytesPerSecondMax } = scrubLimits
  t.equal(volume.plan.rate(), bytesPerSecondMin)
  volume.plan.add(volume.put(1, 10e12, 0), millis(0))
  t.equal(Math.round(volume.plan.rate()), Math.round(10e12 / (3.5 * 86_400)), '10 TB: 33 MB/s')
  const at = (now: number, isBusy: boolean): number => {
    const fresh = new Volume()
    fresh.plan.add(fresh.put(1, 10e12, 0), millis(0))
    return (fresh.verifyNext(millis(now), isBusy)?.bytesPerSecond ?? 0) / fresh.plan.rate()
  }
  t.equal(at(periodMs / 2, false), 1)
  t.equal(at(periodMs / 2, true), 1 / 4, 'it gives way')
  t.equal(at(periodMs + 1, true), 4, 'unless it is late')
  volume.put(2, 1e15, 0)
  t.equal(volume.plan.rate(), bytesPerSecondMax)
  t.equal(volume.verifyNext(millis(periodMs + 1))?.bytesPerSecond, bytesPerSecondMax)
})

t.test('every byte is verified within the period, whatever is written and deleted', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), (seed) => {
      const prng = new Prng(seed)
      const volume = new Volume()
      let now = 0
      let nextId = 1
      let isReached = true
      while (now < 3 * periodMs) {
        if (prng.below(4) === 0 && volume.replicas.size < 200) {
          const block = volume.put(nextId, prng.below(512) * 64 * mebibyte, now)
          volume.plan.add(block, millis(now))
          nextId += 1
        }
        if (prng.below(8) === 0) {
          const [first] = volume.replicas.keys()
          if (first !== undefined) volume.replicas.delete(first)
        }
        const isBusy = prng.below(3) === 0
        const done = volume.verifyNext(millis(Math.floor(now)), isBusy)
        const length = done === undefined ? 0 : (volume.replicas.get(done.block)?.length ?? 0)
        now += done === undefined ? prng.below(dayMs / 4) : (1000 * length) / done.bytesPerSecond
        isReached &&= volume.plan.oldestAgeMs(millis(Math.floor(now))) <= periodMs
      }
      return isReached
    }),
    { numRuns: 30 },
  )
  t.pass('30 histories of six weeks')
})

t.test('what was verified in the future counts as due', (t) => {
  const volume = new Volume()
  const future = 3 * periodMs
  volume.plan.add(volume.put(1, 100, future), millis(future))
  const now = millis(periodMs)
  t.equal(volume.verifyNext(now)?.block, 1)
  t.equal(volume.verifyNext(now), undefined, 'once')
  t.equal(volume.verifyNext(millis(now + periodMs / 2))?.block, 1, 'and again in its turn')
  t.end()
})

t.test('a wall clock that was set back does not break the order', async (t) => {
  const volume = new Volume()
  volume.plan.add(volume.put(1, 100, 10_000), millis(10_000))
  volume.plan.add(volume.put(2, 100, 4000), millis(4000))
  const order = [1, 2, 3].map(() => volume.verifyNext(millis(periodMs))?.block)
  t.same(order, [1, 2, undefined])
})
