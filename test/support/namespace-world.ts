/**
 * A namesystem with fakes around it: a block side that does what a test says, and a store in memory that
 * answers misses from what has been folded into it. `run` is the shell's loop without journal or sockets.
 */
import { type Millis, millis } from '../../base/brand.ts'
import { Prng } from '../../base/prng.ts'
import type {
  BlockLocations,
  BlockSide,
  TargetChoice,
  TargetRefusal,
  TargetRequest,
} from '../../namenode/core/block-side.ts'
import type {
  BlockRow,
  DatanodeRow,
  InodeRow,
  NamespaceChange,
  Transaction,
} from '../../namenode/core/changes.ts'
import { compareNames } from '../../namenode/core/names.ts'
import { genesisChanges, Namesystem, toCachedReply } from '../../namenode/core/namesystem.ts'
import type { Outcome } from '../../namenode/core/outcome.ts'
import type {
  Caller,
  Loaded,
  Miss,
  ReplicaLocation,
  ReplyOf,
  Request,
} from '../../namenode/core/requests.ts'
import {
  type BlockId,
  type DatanodeUuid,
  datanodeUuid,
  type GenerationStamp,
  type InodeId,
  storageUuid,
  type TxId,
} from '../../protocol/ids.ts'
import { type Settings, settings } from '../../protocol/settings.ts'
import type { SafeModeState } from '../../protocol/states.ts'

export const defaultSettings = Object.fromEntries(
  Object.entries(settings).map(([name, { default: value }]) => [name, value]),
) as unknown as Settings

export const superuser: Caller = {
  user: 'hdfs',
  groups: ['supergroup'],
  isSuperuser: true,
  host: '10.0.0.1',
}

/** An ordinary user in groups of their own. */
export function user(name: string, ...groups: string[]): Caller {
  return { user: name, groups, isSuperuser: false, host: '10.0.0.2' }
}

export function location(index: number): ReplicaLocation {
  return { datanode: datanodeUuid(`dn-${index}`), storage: storageUuid(`DS-${index}`) }
}

/** Does what the test says, and remembers what the namespace told it. */
export class FakeBlocks implements BlockSide {
  safeMode: SafeModeState = 'off'
  targets: readonly ReplicaLocation[] = [location(1), location(2), location(3)]
  refusals: readonly TargetRefusal[] = []
  /** Committed blocks have a replica at once, unless a test turns this off. */
  isReplicating = true
  readonly rows = new Map<BlockId, BlockRow>()
  readonly replication = new Map<BlockId, number>()
  readonly expected = new Map<BlockId, readonly ReplicaLocation[]>()
  /** A datanode can be asked for recoveries. */
  hasPrimary = true
  /** The datanode that was asked last goes on with it. */
  isPrimaryAlive = true
  /** The namenode has just started: datanodes have not reported everything. */
  isStarting = false
  readonly recoveries: { block: BlockRow; recoveryStamp: GenerationStamp }[] = []
  readonly requests: TargetRequest[] = []
  readonly deleted: BlockId[] = []

  blockPut(row: BlockRow, replication: number): void {
    this.rows.set(row.id, row)
    if (replication > 0) this.replication.set(row.id, replication)
  }

  blockDeleted(id: BlockId): void {
    this.rows.delete(id)
    this.deleted.push(id)
  }

  replicationChanged(ids: readonly BlockId[], replication: number): void {
    for (const id of ids) this.replication.set(id, replication)
  }

  readonly datanodes = new Map<DatanodeUuid, DatanodeRow>()
  /** Goals that the next tick finds reached. */
  reached: readonly DatanodeRow[] = []

  datanodePut(row: DatanodeRow): void {
    this.datanodes.set(row.uuid, row)
  }

  datanodeDeleted(uuid: DatanodeUuid): void {
    this.datanodes.delete(uuid)
  }

  datanodeRow(uuid: DatanodeUuid): DatanodeRow | undefined {
    return this.datanodes.get(uuid)
  }

  datanodeNamed(text: string): { uuid: DatanodeUuid; name: string } {
    return { uuid: datanodeUuid(text), name: `${text}:9866` }
  }

  reachedGoals(): readonly DatanodeRow[] {
    return this.reached
  }

  datanodeRows(): Iterable<DatanodeRow> {
    return this.datanodes.values()
  }

  chooseTargets(request: TargetRequest): TargetChoice {
    this.requests.push(request)
    return { targets: this.targets, refusals: this.refusals }
  }

  expectLocations(
    id: BlockId,
    _stamp: GenerationStamp,
    locations: readonly ReplicaLocation[],
  ): void {
    this.expected.set(id, locations)
  }

  expectedLocations(id: BlockId): readonly ReplicaLocation[] {
    return this.expected.get(id) ?? []
  }

  locate(row: BlockRow): BlockLocations {
    return { locations: this.expected.get(row.id) ?? [], isCorrupt: false }
  }

  isRecoverable(id: BlockId): boolean {
    return this.hasPrimary && this.expectedLocations(id).length > 0
  }

  isRecoveryLed(): boolean {
    return this.isPrimaryAlive
  }

  reopenLocations(row: BlockRow): readonly ReplicaLocation[] {
    return this.isReplicating ? this.locate(row).locations : []
  }

  finalizedReplicaCount(): number {
    return this.isReplicating ? 3 : 0
  }

  agreedDigest(): bigint | undefined {
    return undefined
  }

  mayBeReportedLater(): boolean {
    return this.isStarting
  }

  orderRecovery(block: BlockRow, recoveryStamp: GenerationStamp): boolean {
    if (this.hasPrimary) this.recoveries.push({ block, recoveryStamp })
    return this.hasPrimary
  }
}

/** Rows as SQLite would hold them. */
export class MemoryStore {
  readonly inodes = new Map<InodeId, InodeRow>()
  readonly entries = new Map<InodeId, Map<string, InodeId>>()
  readonly blocks = new Map<BlockId, BlockRow>()
  readonly datanodes = new Map<DatanodeUuid, DatanodeRow>()
  loads = 0

  fold({ changes }: Transaction): void {
    for (const change of changes) this.#fold(change)
  }

  load(miss: Miss): Loaded {
    this.loads += 1
    switch (miss.kind) {
      case 'inode':
        return { kind: 'inode', id: miss.id, inode: this.inodes.get(miss.id) }
      case 'entry': {
        const id = this.entries.get(miss.parent)?.get(miss.name)
        return { ...miss, inode: id === undefined ? undefined : this.inodes.get(id) }
      }
      case 'blocks-of-inode':
        return { ...miss, blocks: this.blocksOf(miss.inode) }
      case 'block':
        return { ...miss, block: this.blocks.get(miss.id) }
      case 'children': {
        const after = [...(this.entries.get(miss.parent) ?? [])]
          .filter(([name]) => compareNames(name, miss.startAfter) > 0)
          .sort(([left], [right]) => compareNames(left, right))
        const children = after.slice(0, miss.limit).flatMap(([name, id]) => {
          const inode = this.inodes.get(id)
          return inode === undefined ? [] : [{ name, inode }]
        })
        const { kind, parent, startAfter } = miss
        return { kind, parent, startAfter, children, isEnd: after.length <= miss.limit }
      }
    }
  }

  blocksOf(inode: InodeId): BlockRow[] {
    return [...this.blocks.values()]
      .filter((row) => row.inode === inode)
      .sort((left, right) => left.index - right.index)
  }

  #fold(change: NamespaceChange): void {
    switch (change.kind) {
      case 'datanode.put':
        this.datanodes.set(change.datanode.uuid, change.datanode)
        break
      case 'datanode.delete':
        this.datanodes.delete(change.uuid)
        break
      case 'inode.put':
        this.inodes.set(change.inode.id, change.inode)
        break
      case 'inode.delete':
        this.inodes.delete(change.id)
        break
      case 'entry.put': {
        const names = this.entries.get(change.parent) ?? new Map<string, InodeId>()
        names.set(change.name, change.inode)
        this.entries.set(change.parent, names)
        break
      }
      case 'entry.delete':
        this.entries.get(change.parent)?.delete(change.name)
        break
      case 'block.put':
        this.blocks.set(change.block.id, change.block)
        break
      case 'block.delete':
        this.blocks.delete(change.id)
        break
      case 'ids.allocated':
        break
    }
  }
}

/** Everything a test needs, with clocks it moves by hand. */
export class NamespaceWorld {
  readonly blocks = new FakeBlocks()
  readonly store = new MemoryStore()
  readonly journal: Transaction[] = []
  readonly settings: Settings
  namesystem: Namesystem
  now = millis(1_000_000)
  wall = millis(1_700_000_000_000)
  readonly #isForgetful: boolean
  #foldedCount = 0

  /** @param options `isForgetful`: every request starts with nothing in memory. */
  constructor(options: { isForgetful?: boolean; settings?: Partial<Settings> } = {}) {
    this.#isForgetful = options.isForgetful === true
    const resident = this.#isForgetful ? { 'dfs.namenode.resident-inodes': 0 } : {}
    this.settings = { ...defaultSettings, ...resident, ...options.settings }
    this.namesystem = this.emptyNamesystem()
    this.commit(genesisChanges({ user: 'hdfs', group: 'supergroup', wall: this.wall }))
  }

  get lastTxid(): TxId {
    return this.journal.length as TxId
  }

  pass(ms: number): void {
    this.now = millis(this.now + ms)
    this.wall = millis(this.wall + ms)
  }

  /** Proposes, loading misses, until there is an outcome to act on. */
  propose<R extends Request>(
    request: R,
    caller: Caller = superuser,
  ): Exclude<Outcome<ReplyOf<R>>, { kind: 'miss' }> {
    let page: Loaded | undefined
    for (let round = 0; round < 10_000; round += 1) {
      const outcome = this.namesystem.propose(this.now, this.wall, caller, request, page)
      if (outcome.kind !== 'miss') return outcome
      page = this.load(outcome.misses) ?? page
    }
    throw new Error(`${request.kind} keeps missing`)
  }

  /** As the shell answers: commits the plan and replies, or throws the refusal. */
  run<R extends Request>(request: R, caller: Caller = superuser): ReplyOf<R> {
    if (this.#isForgetful) this.forget()
    let outcome = this.propose(request, caller)
    if (outcome.kind === 'wait') {
      outcome = this.propose({ ...request, isLastTry: true }, caller)
    }
    if (outcome.kind === 'wait') throw new Error(`${request.kind} waits on its last try`)
    const answered =
      outcome.kind === 'plan' && caller.request !== undefined
        ? toCachedReply(request.kind, outcome.reply)
        : undefined
    if (outcome.changes.length > 0) {
      this.commit(
        outcome.changes,
        caller.request && answered && { request: caller.request, reply: answered },
      )
    }
    this.namesystem.follow(outcome.effects)
    if (outcome.kind === 'refuse') throw outcome.error
    return outcome.reply
  }

  /** Loads rows from the store; returns the page among them. */
  load(misses: readonly Miss[]): Loaded | undefined {
    let page: Loaded | undefined
    for (const miss of misses) {
      const loaded = this.store.load(miss)
      this.namesystem.provide(loaded)
      if (loaded.kind === 'children') page = loaded
    }
    return page
  }

  /** One tick with everything it needs; returns the number of changes. */
  tick(): number {
    const { misses, changes, effects } = this.namesystem.tick(this.now, this.wall)
    if (changes.length > 0) this.commit(changes)
    this.namesystem.follow(effects)
    this.load(misses)
    return changes.length + misses.length
  }

  /** Ticks until nothing is left to do. */
  settle(): void {
    for (let round = 0; round < 10_000; round += 1) if (this.tick() === 0) return
    throw new Error('the namesystem does not come to rest')
  }

  commit(changes: readonly NamespaceChange[], answered?: Transaction['answered']): void {
    const transaction: Transaction = {
      txid: (this.journal.length + 1) as TxId,
      epoch: 1,
      wallTime: this.wall,
      changes,
      answered,
    }
    this.journal.push(transaction)
    this.namesystem.apply(transaction)
  }

  /** Brings the store up to `through`, by default to everything. */
  fold(through: number = this.journal.length): void {
    for (; this.#foldedCount < through; this.#foldedCount += 1) {
      const transaction = this.journal[this.#foldedCount]
      if (transaction !== undefined) this.store.fold(transaction)
    }
    this.namesystem.folded(this.#foldedCount as TxId)
  }

  /** Lets every row leave that may (two rounds of the clock). */
  evict(): void {
    for (let round = 0; round < 3; round += 1) {
      this.namesystem.evict(this.#foldedCount as TxId)
    }
  }

  /** Folds and evicts everything: the next request misses all its rows. */
  forget(): void {
    this.fold()
    this.evict()
  }

  /** A namenode that starts over what is folded and replays the rest of the journal. */
  restart(): void {
    const folded = this.journal.slice(0, this.#foldedCount)
    const totals = replayed(this.emptyNamesystem(), folded)
    const open = [...this.store.inodes.values()].filter(({ lease }) => lease !== undefined)
    this.namesystem = this.emptyNamesystem()
    this.namesystem.restore({
      nextIds: totals.nextIds(),
      totals: totals.status().totals,
      openFiles: open,
      datanodes: [...this.store.datanodes.values()],
      now: this.now,
    })
    for (const transaction of this.journal.slice(this.#foldedCount)) {
      this.namesystem.apply(transaction)
    }
    this.namesystem.folded(this.#foldedCount as TxId)
  }

  /** A namesystem that knows nothing, with the same fakes around it. */
  emptyNamesystem(): Namesystem {
    return new Namesystem({ settings: this.settings, blocks: this.blocks, prng: new Prng(1) })
  }
}

/** `namesystem` after these transactions. */
export function replayed(namesystem: Namesystem, journal: readonly Transaction[]): Namesystem {
  for (const transaction of journal) namesystem.apply(transaction)
  return namesystem
}

export type { Millis }
