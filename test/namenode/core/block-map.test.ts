import fc from 'fast-check'
import t from 'tap'
import {
  BlockMap,
  isBeingWritten,
  isGoing,
  type ReplicaFlags,
  storageOf,
} from '../../../namenode/core/block-map.ts'
import { BlockScan } from '../../../namenode/core/block-scan.ts'
import { type BlockId, blockId, generationStamp } from '../../../protocol/ids.ts'

interface Model {
  readonly replicas: Map<number, ReplicaFlags>
  stamp: number
}

/** Ids on three pages, so that pages come and go. */
const id = fc.oneof(
  fc.integer({ min: 1020, max: 1026 }),
  fc.integer({ min: 5_000_000_000, max: 5_000_000_003 }),
)
type Step =
  | { readonly kind: 'add'; readonly id: number; readonly stamp: number }
  | { readonly kind: 'remove'; readonly id: number }
  | { readonly kind: 'put'; readonly id: number; readonly storage: number; flags: ReplicaFlags }
  | { readonly kind: 'drop'; readonly id: number; readonly storage: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), id, stamp: fc.integer({ min: 1, max: 2 ** 50 }) }),
  fc.record({ kind: fc.constant('remove' as const), id }),
  fc.record({
    kind: fc.constant('put' as const),
    id,
    storage: fc.integer({ min: 1, max: 7 }),
    flags: fc.record({ isGoing: fc.boolean(), isBeingWritten: fc.boolean() }),
  }),
  fc.record({
    kind: fc.constant('drop' as const),
    id,
    storage: fc.integer({ min: 1, max: 7 }),
  }),
)

function applyStep(map: BlockMap, model: Map<number, Model>, one: Step): void {
  const key = blockId(one.id)
  const at = map.find(key)
  const known = model.get(one.id)
  if (one.kind === 'add') {
    if (at !== undefined) return
    map.setVersion(map.add(key, 'complete'), generationStamp(one.stamp), one.stamp)
    model.set(one.id, { replicas: new Map(), stamp: one.stamp })
  }
  if (at === undefined || known === undefined) return
  if (one.kind === 'remove') {
    map.remove(at)
    model.delete(one.id)
  }
  if (one.kind === 'put') {
    const isNew = map.putReplica(at, one.storage, one.flags)
    if (isNew === known.replicas.has(one.storage)) throw new Error('newness')
    known.replicas.set(one.storage, one.flags)
  }
  if (one.kind === 'drop') {
    if (map.removeReplica(at, one.storage) !== known.replicas.delete(one.storage)) {
      throw new Error('presence')
    }
  }
}

function contents(map: BlockMap): Map<number, Model> {
  const found = new Map<number, Model>()
  for (let position = 0; position < map.slotLimit; position += 1) {
    const at = map.usedSlot(position)
    if (at === undefined) continue
    const replicas = new Map<number, ReplicaFlags>()
    for (const word of map.replicas(at)) {
      const flags = { isGoing: isGoing(word), isBeingWritten: isBeingWritten(word) }
      replicas.set(storageOf(word), flags)
    }
    found.set(map.id(at), { replicas, stamp: map.generationStamp(at) })
  }
  return found
}

t.test('BlockMap holds what a map of maps would, whatever is added and removed', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const map = new BlockMap()
      const model = new Map<number, Model>()
      for (const one of steps) {
        applyStep(map, model, one)
        map.invariants()
      }
      const found = contents(map)
      if (found.size !== model.size) throw new Error('size')
      for (const [key, { replicas, stamp }] of model) {
        const actual = found.get(key)
        if (actual?.stamp !== stamp || actual.replicas.size !== replicas.size)
          throw new Error('row')
        for (const [storage, flags] of replicas) {
          const there = actual.replicas.get(storage)
          if (there?.isGoing !== flags.isGoing) throw new Error('going')
          if (there.isBeingWritten !== flags.isBeingWritten) throw new Error('written')
        }
      }
      for (let storage = 1; storage <= 7; storage += 1) {
        const slots = map.pageIndexes().flatMap((index) => map.slotsOn(storage, index))
        const ids = new Set(slots.map((at) => map.id(at)))
        for (const [key, { replicas }] of model) {
          if (ids.has(blockId(key)) !== replicas.has(storage)) throw new Error('slotsOn')
        }
      }
    }),
    { numRuns: 300, seed: 3 },
  )
  t.end()
})

t.test('BlockMap frees a page with its last block and uses it again', (t) => {
  const map = new BlockMap()
  const first = map.add(blockId(1), 'complete')
  const { slotLimit } = map
  map.putReplica(first, 3, { isGoing: true, isBeingWritten: true })
  map.remove(first)
  t.equal(map.idLimit, 0)
  const next = map.add(blockId(1_000_001), 'unverified')
  t.equal(map.slotLimit, slotLimit)
  t.same(map.replicas(next), [])
  t.same([map.entryCount, map.rowCount], [1, 0])
  t.ok(map.idLimit > 1_000_001)
  t.throws(() => map.add(blockId(1_000_001), 'complete'), { name: 'AssertionError' })
  t.end()
})

t.test('BlockScan does bounded work a call and serves later requests in the next pass', (t) => {
  const map = new BlockMap()
  for (let index = 0; index < 3000; index += 1) {
    const at = map.add(blockId(index), 'complete')
    map.putReplica(at, 1 + (index % 3), { isGoing: false, isBeingWritten: false })
  }
  const scan = new BlockScan(map)
  const visited: BlockId[] = []
  const run = (entries: number, visits: number): number => {
    const before = visited.length
    scan.run(entries, visits, (at) => visited.push(map.id(at)))
    return visited.length - before
  }
  t.equal(run(1000, 1000), 0, 'nothing was asked for')
  scan.requestStorages([2])
  t.equal(run(300, 1000), 100)
  scan.requestStorages([3])
  scan.requestStorages([1])
  t.equal(run(10_000, 50), 50)
  t.equal(scan.isIdle, false)
  for (let call = 0; call < 3; call += 1) run(10_000, 10_000)
  t.equal(visited.length, 1000 + 2000)
  t.equal(new Set(visited).size, 3000)
  scan.requestAll()
  scan.requestStorages([1])
  for (let call = 0; call < 40; call += 1) run(500, 100)
  t.equal(scan.isIdle, true)
  t.equal(visited.length, 6000)
  t.end()
})
