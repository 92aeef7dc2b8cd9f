/**
 * A namenode's block side with simulated datanodes around it: each has disks with replicas, reports
 * what happens to them and executes orders. Time moves only when a test says so, so every run of the
 * same steps gives the same orders.
 */
import { assert } from '../../base/assert.ts'
import { millis } from '../../base/brand.ts'
import { Prng } from '../../base/prng.ts'
import { BlockManager } from '../../namenode/core/block-manager.ts'
import type { BlockRow } from '../../namenode/core/changes.ts'
import type { DatanodeOrder } from '../../namenode/core/orders.ts'
import type { ReplicaLocation } from '../../namenode/core/requests.ts'
import type { Topology } from '../../namenode/core/topology.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import {
  type BlockId,
  blockId,
  datanodeUuid,
  type GenerationStamp,
  generationStamp,
  inodeId,
  storageUuid,
} from '../../protocol/ids.ts'
import { type Settings, settings as settingRows } from '../../protocol/settings.ts'
import type { BlockState, ReplicaState } from '../../protocol/states.ts'

export interface DiskReplica {
  stamp: number
  length: number
  state: ReplicaState
  /** Its bytes are wrong, which only a reader can see. */
  isRotten: boolean
}

const gibibyte = 1024 ** 3

export function defaultSettings(overrides: Partial<Settings> = {}): Settings {
  const defaults = Object.fromEntries(
    Object.entries(settingRows).map(([name, row]) => [name, row.default]),
  )
  return { ...defaults, ...overrides } as Settings
}

export function blockRow(
  id: number,
  state: BlockState = 'complete',
  version: { stamp?: number; length?: number } = {},
): BlockRow {
  return {
    id: blockId(id),
    inode: inodeId(20_000),
    index: 0,
    generationStamp: generationStamp(version.stamp ?? 1001),
    length: version.length ?? 1000,
    state,
  }
}

export class SimulatedDatanode {
  readonly uuid
  readonly storage
  readonly host: string
  readonly disk = new Map<BlockId, DiskReplica>()
  isUp = true
  capacity = 100 * gibibyte
  used = 0
  transfers = 0

  constructor(name: string, host: string) {
    this.uuid = datanodeUuid(name)
    this.storage = storageUuid(`DS-${name}`)
    this.host = host
  }

  get location(): ReplicaLocation {
    return { datanode: this.uuid, storage: this.storage }
  }

  report(): ListedReplica[] {
    return [...this.disk].map(([id, { stamp, length, state }]) => ({
      blockId: id,
      generationStamp: generationStamp(stamp),
      length,
      state,
    }))
  }
}

export interface WorldOptions {
  readonly datanodes?: number
  readonly hosts?: readonly string[]
  readonly settings?: Partial<Settings>
  readonly topology?: Topology
  readonly seed?: number
  /** Rows are still to be loaded: no finishedLoading() yet. */
  readonly isLoading?: boolean
}

export class BlockWorld {
  readonly manager: BlockManager
  readonly nodes: SimulatedDatanode[] = []
  /** Every order given, in order, as text: equal seeds must give equal ones. */
  readonly orders: string[] = []
  /** Orders that would have destroyed the last good replica of a live block. */
  readonly crimes: string[] = []
  /** Set to make copies fail without a trace. */
  isCopyLost: (source: SimulatedDatanode, target: SimulatedDatanode) => boolean = () => false
  readonly rows = new Map<BlockId, { row: BlockRow; replication: number }>()
  now = 1_000_000

  constructor(options: WorldOptions = {}) {
    this.manager = new BlockManager({
      settings: defaultSettings(options.settings),
      prng: new Prng(options.seed ?? 1),
      topology: options.topology ?? (() => '/default-rack'),
    })
    if (options.isLoading !== true) this.manager.finishedLoading()
    this.manager.tick(millis(this.now))
    const count = options.datanodes ?? 0
    for (let index = 0; index < count; index += 1) {
      this.add(`dn${index}`, options.hosts?.[index] ?? `host${index}`)
    }
  }

  at(index: number): SimulatedDatanode {
    const node = this.nodes[index]
    assert(node !== undefined, `datanode ${index} must exist`)
    return node
  }

  add(name: string, host: string): SimulatedDatanode {
    const node = new SimulatedDatanode(name, host)
    this.nodes.push(node)
    this.register(node)
    return node
  }

  register(node: SimulatedDatanode): void {
    node.isUp = true
    this.manager.register(millis(this.now), {
      uuid: node.uuid,
      ipAddress: node.host,
      hostName: node.host,
      transferPort: 9866 + this.nodes.indexOf(node),
      infoPort: 9864,
      ipcPort: 9867,
      softwareVersion: '3.5.0',
    })
    this.heartbeat(node)
    this.fullReport(node)
  }

  fullReport(node: SimulatedDatanode): readonly BlockId[] {
    return this.manager.blockReport(millis(this.now), node.uuid, node.storage, node.report())
  }

  event(
    node: SimulatedDatanode,
    kind: 'receiving' | 'received' | 'deleted',
    id: number,
    version: { stamp?: number; length?: number } = {},
  ): readonly BlockId[] {
    return this.manager.incrementalReport(millis(this.now), node.uuid, node.storage, [
      {
        kind,
        blockId: blockId(id),
        generationStamp: generationStamp(version.stamp ?? 1001),
        length: version.length ?? 1000,
      },
    ])
  }

  /** Puts a finalized replica on a disk and reports it. */
  store(node: SimulatedDatanode, row: BlockRow): void {
    node.disk.set(row.id, {
      stamp: row.generationStamp,
      length: row.length,
      state: 'finalized',
      isRotten: false,
    })
    this.event(node, 'received', row.id, { stamp: row.generationStamp, length: row.length })
  }

  /** A complete block with replicas on these datanodes. */
  block(id: number, replication: number, holders: readonly number[]): BlockRow {
    const open = blockRow(id, 'under-construction')
    this.manager.blockPut(open, replication)
    const pipeline = holders.map((index) => this.at(index))
    this.manager.expectLocations(
      open.id,
      open.generationStamp,
      pipeline.map(({ location }) => location),
    )
    const row = blockRow(id)
    this.rows.set(row.id, { row, replication })
    for (const node of pipeline) this.store(node, row)
    this.manager.blockPut(row, replication)
    return row
  }

  deleteBlock(row: BlockRow): void {
    this.rows.delete(row.id)
    this.manager.blockDeleted(row.id)
  }

  heartbeat(node: SimulatedDatanode): readonly DatanodeOrder[] {
    return this.manager.heartbeat(millis(this.now), node.uuid, {
      storages: [
        {
          storage: node.storage,
          isFailed: false,
          capacity: node.capacity,
          used: node.used,
          remaining: node.capacity - node.used,
          blockPoolUsed: node.used,
          nonDfsUsed: 0,
        },
      ],
      transfers: node.transfers,
      copies: 0,
      failedVolumes: 0,
    })
  }

  /** One second: every datanode that is up heartbeats and does what it is told; then a tick. */
  second(): void {
    this.now += 1000
    for (const node of this.nodes) {
      if (!node.isUp) continue
      for (const order of this.heartbeat(node)) this.execute(node, order)
    }
    this.manager.tick(millis(this.now))
  }

  seconds(count: number): void {
    for (let index = 0; index < count; index += 1) this.second()
  }

  crash(node: SimulatedDatanode): void {
    node.isUp = false
    this.manager.disconnected(millis(this.now), node.uuid)
  }

  /** Comes back with its disks; blocks it was writing wait for recovery. */
  restart(node: SimulatedDatanode): void {
    for (const replica of node.disk.values()) if (replica.state === 'rbw') replica.state = 'rwr'
    this.register(node)
  }

  execute(node: SimulatedDatanode, order: DatanodeOrder): void {
    this.orders.push(`${this.now} ${node.uuid} ${JSON.stringify(order)}`)
    switch (order.kind) {
      case 'register':
        this.register(node)
        break
      case 'invalidate':
        for (const { id, generationStamp: stamp } of order.blocks) this.#delete(node, id, stamp)
        break
      case 'transfer':
        for (const { datanode } of order.targets) this.#copy(node, order.block.id, datanode)
        break
      case 'recover':
        break
    }
  }

  /** Good replicas on the disks of datanodes, up or not. */
  holders(id: BlockId, isUpOnly = false): SimulatedDatanode[] {
    const row = this.rows.get(id)?.row
    return this.nodes.filter((node) => {
      const replica = node.disk.get(id)
      return (
        (node.isUp || !isUpOnly) &&
        replica?.state === 'finalized' &&
        !replica.isRotten &&
        replica.stamp === row?.generationStamp &&
        replica.length === row.length
      )
    })
  }

  #delete(node: SimulatedDatanode, id: BlockId, stamp: GenerationStamp): void {
    const replica = node.disk.get(id)
    if (replica?.stamp !== stamp) return
    const holders = this.holders(id)
    if (this.rows.has(id) && holders.length === 1 && holders[0] === node) {
      this.crimes.push(`${this.now}: ${node.uuid} deletes the last good replica of ${id}`)
    }
    node.disk.delete(id)
    this.event(node, 'deleted', id, { stamp, length: replica.length })
  }

  #copy(source: SimulatedDatanode, id: BlockId, target: string): void {
    const to = this.nodes.find((node) => node.uuid === target)
    const replica = source.disk.get(id)
    if (to?.isUp !== true || replica === undefined || this.isCopyLost(source, to)) return
    if (to.disk.has(id)) {
      this.crimes.push(`${this.now}: ${to.uuid} is sent a second replica of ${id}`)
      return
    }
    to.disk.set(id, { ...replica })
    this.event(to, 'received', id, { stamp: replica.stamp, length: replica.length })
  }
}
