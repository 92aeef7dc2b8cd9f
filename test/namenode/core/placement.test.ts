import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { Prng } from '../../../base/prng.ts'
import { type DatanodeRecord, DatanodeRegistry } from '../../../namenode/core/datanode-registry.ts'
import {
  choosePlacement,
  type Placement,
  type PlacementRequest,
} from '../../../namenode/core/placement.ts'
import { defaultRack, distance, parseTopology } from '../../../namenode/core/topology.ts'
import { datanodeUuid, storageUuid } from '../../../protocol/ids.ts'
import { defaultSettings } from '../../support/block-world.ts'

const mebibyte = 1024 * 1024
const gibibyte = 1024 * mebibyte

interface NodeOptions {
  readonly rack?: string
  readonly remaining?: number
  readonly transfers?: number
  readonly storages?: number
}

class Fleet {
  readonly registry: DatanodeRegistry
  readonly prng: Prng
  readonly #racks = new Map<string, string>()

  constructor(seed = 1) {
    this.prng = new Prng(seed)
    this.registry = new DatanodeRegistry({
      settings: defaultSettings(),
      topology: (host) => this.#racks.get(host) ?? defaultRack,
    })
  }

  add(host: string, options: NodeOptions = {}): DatanodeRecord {
    this.#racks.set(host, options.rack ?? defaultRack)
    const { node } = this.registry.register(millis(0), {
      uuid: datanodeUuid(host),
      ipAddress: `ip-${host}`,
      hostName: host,
      transferPort: 9866,
      infoPort: 9864,
      ipcPort: 9867,
      softwareVersion: '3.5.0',
    })
    const count = options.storages ?? 1
    this.registry.heartbeat(millis(0), node, {
      storages: Array.from({ length: count }, (_, index) => ({
        storage: storageUuid(`DS-${host}-${index}`),
        isFailed: false,
        capacity: 100 * gibibyte,
        used: 0,
        remaining: options.remaining ?? 50 * gibibyte,
        blockPoolUsed: 0,
        nonDfsUsed: 0,
      })),
      transfers: options.transfers ?? 0,
      copies: 0,
      failedVolumes: 0,
    })
    return node
  }

  choose(request: Partial<PlacementRequest> = {}, now = 0): Placement {
    return choosePlacement(
      this.registry.nodes(),
      {
        count: 3,
        blockSizeBytes: 128 * mebibyte,
        clientHost: '',
        excluded: new Set(),
        favored: [],
        existing: [],
        ...request,
      },
      {
        prng: this.prng,
        rackCount: this.registry.rackCount,
        silenceMs: (node) => this.registry.silenceMs(millis(now), node),
        incomingBytes: () => 0,
      },
    )
  }

  hosts(request: Partial<PlacementRequest> = {}): string[] {
    return this.choose(request).targets.map(({ node }) => node.descriptor.hostName)
  }

  /** How often each host is the only target in `count` draws. */
  tally(count: number, request: Partial<PlacementRequest> = {}): Map<string, number> {
    const tally = new Map<string, number>()
    for (let index = 0; index < count; index += 1) {
      const [host = ''] = this.hosts({ ...request, count: 1 })
      tally.set(host, (tally.get(host) ?? 0) + 1)
    }
    return tally
  }
}

function rackFleet(seed: number): Fleet {
  const fleet = new Fleet(seed)
  for (const rack of ['/a', '/b', '/c']) {
    for (const index of [1, 2, 3]) fleet.add(`${rack.slice(1)}${index}`, { rack })
  }
  return fleet
}

t.test('choosePlacement() never puts two replicas on one datanode', (t) => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const fleet = rackFleet(seed)
    const hosts = fleet.hosts({ count: 9 })
    t.equal(new Set(hosts).size, 9)
  }
  const small = new Fleet()
  small.add('only')
  t.same(small.hosts(), ['only'], 'fewer datanodes than replicas: fewer replicas')
  t.end()
})

t.test('choosePlacement() spreads over racks: second elsewhere, third with the second', (t) => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const hosts = rackFleet(seed).hosts()
    const racks = hosts.map((host) => host.slice(0, 1))
    t.not(racks[0], racks[1])
    t.equal(racks[1], racks[2])
  }
  t.end()
})

t.test('choosePlacement() limits how many further replicas one rack gets', (t) => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const racks = rackFleet(seed)
      .hosts({ count: 6 })
      .map((host) => host.slice(0, 1))
    for (const rack of ['a', 'b', 'c']) {
      t.ok(racks.filter((other) => other === rack).length <= 3, '(6 - 1) / 3 + 2')
    }
  }
  t.end()
})

t.test('choosePlacement() continues where existing replicas stand', (t) => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const fleet = rackFleet(seed)
    const [a1, a2, b1] = ['a1', 'a2', 'b1'].map((host) => fleet.registry.find(datanodeUuid(host)))
    if (a1 === undefined || a2 === undefined || b1 === undefined) throw new Error('no fleet')
    const [second = ''] = fleet.hosts({ count: 1, existing: [a1] })
    t.not(second.slice(0, 1), 'a', 'the second goes to another rack')
    const [third = ''] = fleet.hosts({ count: 1, existing: [a1, a2] })
    t.not(third.slice(0, 1), 'a', 'two on one rack: the third leaves it')
    const [apart = ''] = fleet.hosts({ count: 1, existing: [a1, b1] })
    t.ok(['b2', 'b3'].includes(apart), 'two racks: the third joins the second')
  }
  t.end()
})

t.test("choosePlacement() starts on the writer's own datanode, by name or by address", (t) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    t.equal(rackFleet(seed).hosts({ clientHost: 'b2' })[0], 'b2')
    t.equal(rackFleet(seed).hosts({ clientHost: 'ip-c3' })[0], 'c3')
  }
  const excluded = new Set([datanodeUuid('b2')])
  t.notOk(rackFleet(1).hosts({ clientHost: 'b2', excluded }).includes('b2'))
  t.end()
})

t.test('choosePlacement() prefers favored datanodes, and does without them', (t) => {
  const fleet = rackFleet(1)
  t.same(fleet.hosts({ favored: ['a1', 'a2:9866', 'ip-c1:9866'] }).sort(), ['a1', 'a2', 'c1'])
  t.equal(fleet.hosts({ favored: ['nowhere', 'a1:1'] }).length, 3)
  t.end()
})

t.test('choosePlacement() weighs free space and load', (t) => {
  const bySpace = new Fleet()
  bySpace.add('empty', { remaining: 90 * gibibyte })
  bySpace.add('fullish', { remaining: 10 * gibibyte })
  const space = bySpace.tally(1000)
  t.ok((space.get('empty') ?? 0) > 5 * (space.get('fullish') ?? 0))
  t.ok((space.get('fullish') ?? 0) > 20, 'a fuller datanode is used, too')

  const byLoad = new Fleet()
  byLoad.add('idle', { transfers: 0 })
  byLoad.add('busy', { transfers: 40 })
  const load = byLoad.tally(1000)
  t.ok((load.get('idle') ?? 0) > 5 * (load.get('busy') ?? 0))
  t.end()
})

t.test('choosePlacement() picks a storage with room, and counts what is promised', (t) => {
  const fleet = new Fleet()
  const node = fleet.add('one', { storages: 2 })
  const [small, large] = [...node.storages.values()]
  if (small === undefined || large === undefined) throw new Error('two storages')
  small.remaining = 127 * mebibyte
  for (let index = 0; index < 20; index += 1) {
    t.equal(fleet.choose({ count: 1 }).targets[0], large)
  }
  large.remaining = 128 * mebibyte
  t.equal(fleet.choose({ count: 1 }).targets.length, 1, 'exactly enough is enough')
  large.scheduledCount = 1
  t.same(fleet.choose({ count: 1 }).refusals, [
    { datanode: 'one:9866', reason: 'full: 127 MiB free, 128 MiB needed' },
  ])
  t.end()
})

t.test('choosePlacement() gives every refusal its reason', (t) => {
  const fleet = new Fleet()
  fleet.add('good')
  fleet.add('full', { remaining: 12 * mebibyte })
  fleet.add('excluded')
  const existing = fleet.add('existing')
  fleet.add('dead').liveness = 'dead'
  fleet.add('stale').liveness = 'stale'
  fleet.add('disconnected').liveness = 'disconnected'
  fleet.add('leaving').adminState = 'decommission-in-progress'
  fleet.add('silent').hasHeartbeat = false
  fleet.add('broken', { storages: 0 })
  const { targets, refusals } = fleet.choose(
    { excluded: new Set([datanodeUuid('excluded')]), existing: [existing] },
    74_500,
  )
  t.same(
    targets.map(({ node }) => node.descriptor.hostName),
    ['good'],
  )
  t.same(Object.fromEntries(refusals.map(({ datanode, reason }) => [datanode, reason])), {
    'full:9866': 'full: 12 MiB free, 128 MiB needed',
    'excluded:9866': 'excluded by the client',
    'existing:9866': 'already has a replica',
    'dead:9866': 'dead: silent for 74 s',
    'stale:9866': 'stale: silent for 74 s',
    'disconnected:9866': 'disconnected',
    'leaving:9866': 'decommission-in-progress',
    'silent:9866': 'no heartbeat yet',
    'broken:9866': 'no working storage',
  })
  t.same(fleet.choose({ count: 1 }).refusals, [], 'nothing to explain when all were found')
  t.end()
})

t.test('choosePlacement() repeats its choice for the same seed', (t) => {
  t.same(rackFleet(9).hosts({ count: 5 }), rackFleet(9).hosts({ count: 5 }))
  const differing = new Set(
    Array.from({ length: 20 }, (_, seed) => rackFleet(seed).hosts().join(' ')),
  )
  t.ok(differing.size > 5)
  t.end()
})

t.test('parseTopology() reads host and rack, and refuses everything else', (t) => {
  const topology = parseTopology('# racks\n\nhost1 /a\n HOST2\t/dc1/b \nhost1 /c\n')
  t.equal(topology('host1'), '/c', 'the last line counts')
  t.equal(topology('Host2'), '/dc1/b')
  t.equal(topology('other'), defaultRack)
  for (const bad of ['host', 'host rack', 'host /', 'host /a/', 'host /a more']) {
    t.throws(() => parseTopology(`ok /a\n${bad}`), {
      code: 'INVALID_ARGUMENT',
      message: `Line 2 of the rack table must be "host /rack", got "${bad}"`,
    })
  }
  t.end()
})

t.test('distance() tells own host, own rack and elsewhere apart', (t) => {
  const there = { hosts: ['h1', '10.0.0.1'], rack: '/a' }
  t.equal(distance({ host: '10.0.0.1', rack: '/b' }, there), 0)
  t.equal(distance({ host: 'h2', rack: '/a' }, there), 1)
  t.equal(distance({ host: 'h2', rack: '/b' }, there), 2)
  t.end()
})
