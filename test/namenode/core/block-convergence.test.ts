import fc from 'fast-check'
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import type { ListedReplica } from '../../../protocol/block-list.ts'
import { blockId } from '../../../protocol/ids.ts'
import { BlockWorld, blockRow, type SimulatedDatanode } from '../../support/block-world.ts'

const firstId = 1_073_741_825

type Step =
  | { readonly kind: 'create'; readonly replication: number; readonly received: number }
  | { readonly kind: 'delete'; readonly pick: number }
  | { readonly kind: 'reopen'; readonly pick: number }
  | { readonly kind: 'replication'; readonly pick: number; readonly replication: number }
  | { readonly kind: 'crash'; readonly node: number; readonly isWiped: boolean }
  | { readonly kind: 'restart'; readonly node: number }
  | { readonly kind: 'rot'; readonly pick: number; readonly node: number }
  | { readonly kind: 'snapshot'; readonly node: number }
  | { readonly kind: 'deliver' }
  | { readonly kind: 'repeat'; readonly pick: number; readonly node: number }
  | { readonly kind: 'loseOrders'; readonly node: number }
  | { readonly kind: 'loseCopies'; readonly isLosing: boolean }
  | { readonly kind: 'seconds'; readonly count: number }

const index = fc.nat({ max: 5 })
const pick = fc.nat({ max: 40 })
const replication = fc.integer({ min: 1, max: 4 })

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      replication,
      received: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reopen' as const), pick }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('replication' as const), pick, replication }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      node: index,
      isWiped: fc.integer({ min: 0, max: 3 }).map((value) => value === 0),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('restart' as const), node: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rot' as const), pick, node: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('snapshot' as const), node: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('deliver' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('repeat' as const), pick, node: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('loseOrders' as const), node: index }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('loseCopies' as const), isLosing: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('seconds' as const),
      count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constant(15), fc.constant(70)),
    }),
  },
)

class Run {
  readonly world: BlockWorld
  #nextId = firstId
  #nextStamp = 1001
  #snapshot: { node: SimulatedDatanode; replicas: ListedReplica[]; at: number } | undefined

  constructor(seed: number, racks: number) {
    this.world = new BlockWorld({
      datanodes: 6,
      seed,
      topology: (host) => `/rack${Number(host.slice(-1)) % racks}`,
      settings: { 'dfs.namenode.mass-failure.percent': 99 },
    })
    this.world.second()
  }

  apply(step: Step): void {
    const { world } = this
    switch (step.kind) {
      case 'create':
        this.#create(step.replication, step.received)
        break
      case 'delete': {
        const picked = this.#pick(step.pick)
        if (picked !== undefined) world.deleteBlock(picked.row)
        break
      }
      case 'reopen':
        this.#reopen(step.pick)
        break
      case 'replication': {
        const picked = this.#pick(step.pick)
        if (picked === undefined) break
        world.rows.set(picked.row.id, { ...picked, replication: step.replication })
        world.manager.replicationChanged([picked.row.id], step.replication)
        break
      }
      case 'crash': {
        const node = world.at(step.node)
        if (node.isUp) world.crash(node)
        if (step.isWiped) node.disk.clear()
        break
      }
      case 'restart': {
        const node = world.at(step.node)
        if (!node.isUp) world.restart(node)
        break
      }
      case 'rot':
        this.#rot(step.pick, world.at(step.node))
        break
      case 'snapshot': {
        const node = world.at(step.node)
        if (node.isUp) this.#snapshot = { node, replicas: node.report(), at: world.now }
        break
      }
      case 'deliver':
        this.#deliver()
        break
      case 'repeat': {
        const node = world.at(step.node)
        const id = this.#pick(step.pick)?.row.id
        const replica = id === undefined ? undefined : node.disk.get(id)
        if (id === undefined || replica?.state !== 'finalized' || !node.isUp) break
        if (world.manager.datanode(node.uuid)?.liveness === 'dead') break
        world.event(node, 'received', id, replica)
        break
      }
      case 'loseOrders': {
        const node = world.at(step.node)
        if (node.isUp) world.heartbeat(node)
        break
      }
      case 'loseCopies':
        world.isCopyLost = (_, target) => step.isLosing && target.host.endsWith('1')
        break
      case 'seconds':
        world.seconds(step.count)
        break
    }
    world.manager.invariants()
  }

  /** Everything comes back, and there is time. */
  heal(): void {
    const { world } = this
    world.isCopyLost = () => false
    for (const node of world.nodes) if (!node.isUp) world.restart(node)
    world.seconds(100)
    for (const node of world.nodes) world.fullReport(node)
    world.seconds(100)
  }

  #create(replication: number, received: number): void {
    const { world } = this
    const { targets } = world.manager.chooseTargets({
      count: replication,
      blockSizeBytes: 1 << 20,
      clientHost: '',
      excluded: new Set(),
      favored: [],
      existing: [],
    })
    if (targets.length === 0) return
    const [id, stamp] = [this.#nextId, this.#nextStamp]
    this.#nextId += 1
    this.#nextStamp += 1
    const open = blockRow(id, 'under-construction', { stamp, length: 0 })
    world.manager.blockPut(open, replication)
    world.manager.expectLocations(open.id, open.generationStamp, targets)
    const row = blockRow(id, 'complete', { stamp, length: 1000 + (id % 7) })
    world.rows.set(row.id, { row, replication })
    const nodes = targets.map(({ datanode }) => world.nodes.find(({ uuid }) => uuid === datanode))
    // Some of the pipeline report before the block is complete, the others right after.
    for (const [position, node] of nodes.entries()) {
      if (position < received && node !== undefined) world.store(node, row)
    }
    world.manager.blockPut(row, replication)
    for (const [position, node] of nodes.entries()) {
      if (position >= received && node !== undefined) world.store(node, row)
    }
  }

  /** An append: the live holders get a new stamp and length, the others become stale. */
  #reopen(pick: number): void {
    const { world } = this
    const picked = this.#pick(pick)
    if (picked === undefined) return
    const known = world.manager.locate(picked.row, '').locations
    const writers = world
      .holders(picked.row.id, true)
      .filter(({ uuid }) => known.some(({ datanode }) => datanode === uuid))
      .filter(({ uuid }) => world.manager.datanode(uuid)?.liveness === 'live')
    if (writers.length === 0) return
    const [stamp, length] = [this.#nextStamp, picked.row.length + 10]
    this.#nextStamp += 1
    const open = { ...blockRow(picked.row.id, 'under-construction', { stamp, length }) }
    world.manager.blockPut(open, picked.replication)
    world.manager.expectLocations(
      open.id,
      open.generationStamp,
      writers.map(({ location }) => location),
    )
    const row = blockRow(picked.row.id, 'complete', { stamp, length })
    world.rows.set(row.id, { row, replication: picked.replication })
    for (const node of writers) world.store(node, row)
    world.manager.blockPut(row, picked.replication)
  }

  /** A reader finds a bad replica; never the last good one. */
  #rot(pick: number, node: SimulatedDatanode): void {
    const { world } = this
    const id = this.#pick(pick)?.row.id
    const replica = id === undefined ? undefined : node.disk.get(id)
    if (id === undefined || replica === undefined || world.holders(id).length < 2) return
    replica.isRotten = true
    world.manager.reportBadReplica(id, undefined, node.location)
  }

  /** A full report arrives that was put together up to half a minute ago. */
  #deliver(): void {
    const snapshot = this.#snapshot
    this.#snapshot = undefined
    if (snapshot === undefined || !snapshot.node.isUp) return
    if (this.world.now - snapshot.at > 20_000) return
    const { node, replicas } = snapshot
    this.world.manager.blockReport(millis(this.world.now), node.uuid, node.storage, replicas)
  }

  #pick(pick: number): { row: ReturnType<typeof blockRow>; replication: number } | undefined {
    return this.world.rows.get(blockId(firstId + pick))
  }
}

function play(seed: number, racks: number, steps: readonly Step[]): Run {
  const run = new Run(seed, racks)
  for (const one of steps) run.apply(one)
  run.heal()
  return run
}

function problems(run: Run): string[] {
  const { world } = run
  const found = [...world.crimes]
  let missing = 0
  for (const [id, { replication }] of world.rows) {
    const holders = world.holders(id)
    if (holders.length === 0) missing += 1
    else if (holders.length !== replication) {
      found.push(`block ${id}: ${holders.length} replicas of ${replication}`)
    }
    if (holders.length > 0) {
      const racks = new Set(holders.map(({ uuid }) => world.manager.datanode(uuid)?.rack))
      const rackCount = new Set(world.manager.datanodes('live').map(({ rack }) => rack)).size
      if (rackCount > 1 && replication > 1 && racks.size < 2) found.push(`block ${id}: one rack`)
    }
  }
  for (const node of world.nodes) {
    for (const id of node.disk.keys()) {
      const isLost = world.holders(id).length === 0 && world.rows.has(id)
      const isWanted = world.holders(id).includes(node)
      if (!isWanted && !isLost) found.push(`${node.uuid} still has garbage of ${id}`)
    }
  }
  const stats = world.manager.stats()
  if (stats.missingBlocks !== missing) found.push(`missing ${stats.missingBlocks}, not ${missing}`)
  if (stats.underReplicatedBlocks !== 0)
    found.push(`under-replicated: ${stats.underReplicatedBlocks}`)
  if (stats.pendingCopies !== 0) found.push(`pending copies: ${stats.pendingCopies}`)
  if (stats.pendingDeletionReplicas !== 0) found.push('deletions are left')
  return found
}

t.test('whatever happens to reports and datanodes, every block ends with its replicas', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(step, { minLength: 5, maxLength: 60 }),
      (seed, racks, steps) => {
        const found = problems(play(seed, racks, steps))
        if (found.length > 0) throw new Error(found.join('\n'))
      },
    ),
    {
      numRuns: Number(process.env['BLOCK_RUNS'] ?? 150),
      seed: Number(process.env['BLOCK_SEED'] ?? 20261122),
    },
  )
  t.end()
})

t.test('the same steps from the same seed give the same orders', (t) => {
  const steps = fc.sample(fc.array(step, { minLength: 60, maxLength: 60 }), { seed: 7, numRuns: 5 })
  for (const [seed, list] of steps.entries()) {
    t.same(play(seed, 2, list).world.orders, play(seed, 2, list).world.orders)
  }
  t.end()
})
