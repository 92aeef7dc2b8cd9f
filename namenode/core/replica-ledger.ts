/**
 * Who holds which replica of which block, and how good it is: the block map, the open blocks and the
 * corrupt replicas kept consistent with each other, with rows and with reports.
 *
 * A replica is in exactly one of three places, and a datanode has at most one per block:
 *
 *     block is complete, replica fits            → word in the block map
 *     block is complete, replica does not fit    → corrupt replicas (never counted, not deleted in haste)
 *     block is open, or row unknown and disputed → open blocks, with its own stamp and length
 *
 * Reports may come before the row (`unverified`), after it, twice, or overtaken by others; rows may
 * change under the replicas. Every path ends in `#place`, which judges one replica against one row.
 */
import { assert } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import { BlockMap, isBeingWritten, isGoing, type Slot, storageOf } from './block-map.ts'
import type { BlockRow } from './changes.ts'
import { type CorruptReason, CorruptReplicas } from './corrupt-replicas.ts'
import type { DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import { type OpenBlock, OpenBlocks, type OpenReplicaState } from './open-blocks.ts'
import type { BlockReference } from './requests.ts'

/** A replica as reported, or as remembered from an earlier report. */
export interface ReportedReplica extends ListedReplica {
  /** Its bytes were found not to match their checksums. */
  readonly isKnownCorrupt?: boolean
}

export type ReportOutcome =
  | 'changed'
  | 'unchanged'
  /** No such block: the replica may go once all rows are known. */
  | 'garbage'
  /** It was told to go and is still there. */
  | 'undeleted'

export interface FullReportOutcome {
  readonly changed: readonly BlockId[]
  readonly garbage: readonly BlockReference[]
  readonly undeleted: readonly BlockReference[]
}

export interface RowOutcome {
  readonly before: 'absent' | 'open' | 'complete'
  /** The pipeline of a block that just became complete. */
  readonly expected: readonly StorageRecord[]
  /** Storages whose ordered deletion no longer applies, because the block was reopened. */
  readonly reprieved: readonly StorageRecord[]
}

/** Whether a block without a row may still get one, so that its replicas are no garbage yet. */
export type EarlyTest = (id: BlockId) => boolean

const noStorages: readonly StorageRecord[] = []

/** Block map, open blocks and corrupt replicas as one consistent whole. */
export class ReplicaLedger {
  readonly map = new BlockMap()
  readonly open = new OpenBlocks()
  readonly corrupt = new CorruptReplicas()
  readonly #registry: DatanodeRegistry
  #safeCount = 0

  constructor(registry: DatanodeRegistry) {
    this.#registry = registry
  }

  /** Rows that are open, or have at least one replica: what start-up safe mode waits for. */
  get safeCount(): number {
    return this.#safeCount
  }

  /** Takes over a row and judges the replicas known so far against it; replication 0 is "not known yet". */
  putRow(row: BlockRow, replication: number): RowOutcome {
    const at = this.map.find(row.id) ?? this.#add(row.id)
    const kind = this.map.kind(at)
    if (replication > 0) this.map.setReplication(at, replication)
    const isSameVersion =
      this.map.generationStamp(at) === row.generationStamp && this.map.length(at) === row.length
    const before = kind === 'unverified' ? 'absent' : kind === 'complete' ? 'complete' : 'open'
    if (kind === 'complete' && row.state === 'complete' && isSameVersion) {
      return { before, expected: noStorages, reprieved: noStorages }
    }
    if (before === 'absent' && isSameVersion && row.state === 'complete') {
      // The usual case while rows stream in: every report so far agreed with the row.
      this.#setKind(at, 'complete')
      this.#rejudgeOpen(at, this.open.take(row.id))
      return { before, expected: noStorages, reprieved: noStorages }
    }
    if (before === 'open' && row.state !== 'complete') {
      this.#setKind(at, row.state)
      this.map.setVersion(at, row.generationStamp, row.length)
      return { before, expected: noStorages, reprieved: noStorages }
    }
    return { before, ...this.#rejudgeAll(at, row) }
  }

  /** Forgets a block. Returns every storage that holds something of it. */
  removeRow(id: BlockId): readonly { storage: StorageRecord; block: BlockReference }[] {
    const at = this.map.find(id)
    const held: { storage: StorageRecord; block: BlockReference }[] = []
    for (const { storage, replica } of at === undefined ? [] : this.#takeReplicas(at)) {
      const { generationStamp, length } = replica
      held.push({ storage, block: { id, generationStamp, length } })
    }
    this.open.take(id)
    if (at !== undefined) {
      this.#setKind(at, 'unverified')
      this.map.remove(at)
    }
    return held
  }

  /** Takes over what an incremental report says about one replica that exists. */
  received(storage: StorageRecord, replica: ListedReplica, mayBeEarly: EarlyTest): ReportOutcome {
    const at = this.#slotFor(replica, mayBeEarly)
    if (at === undefined) return 'garbage'
    if (this.#isOldNews(at, storage, replica)) return 'unchanged'
    return this.#place(at, storage, replica)
  }

  /** The replica on `storage`, of this stamp, is gone. Returns whether that was news. */
  removed(id: BlockId, storage: StorageRecord, stamp?: GenerationStamp): boolean {
    const at = this.map.find(id)
    if (at === undefined) return false
    const isOlder =
      stamp !== undefined &&
      stamp < this.map.generationStamp(at) &&
      this.map.replicaOn(at, storage.index) !== undefined
    if (isOlder || !this.#drop(at, storage)) return false
    this.#removeIfForgotten(at)
    return true
  }

  /** Takes over the whole content of a storage: what is listed, and that nothing else is there. */
  fullReport(
    now: Millis,
    storage: StorageRecord,
    replicas: Iterable<ListedReplica>,
    mayBeEarly: EarlyTest,
  ): FullReportOutcome {
    const changed: BlockId[] = []
    const garbage: BlockReference[] = []
    const undeleted: BlockReference[] = []
    const listed = new Set<BlockId>()
    for (const replica of replicas) {
      const { blockId: id, generationStamp, length } = replica
      const isOvertaken = storage.recent.isLater(now, id, generationStamp)
      const at = isOvertaken ? this.map.find(id) : this.#slotFor(replica, mayBeEarly)
      listed.add(id)
      const outcome = isOvertaken
        ? 'unchanged'
        : at === undefined
          ? 'garbage'
          : this.#place(at, storage, replica)
      if (outcome === 'changed') changed.push(id)
      if (outcome === 'garbage') garbage.push({ id, generationStamp, length })
      if (outcome === 'undeleted') undeleted.push({ id, generationStamp, length })
    }
    this.#removeUnlisted(now, storage, listed, changed)
    return { changed, garbage, undeleted }
  }

  /** Bytes of the replica on `storage` are wrong. Returns whether that was news. */
  markCorrupt(id: BlockId, storage: StorageRecord): boolean {
    const at = this.map.find(id)
    if (at === undefined) return false
    const kind = this.map.kind(at)
    if (kind !== 'complete') {
      const known = this.open.find(id)?.replicas.find((replica) => replica.storage === storage)
      if (known === undefined || known.isCorrupt) return false
      this.open.report(id, { ...known, isCorrupt: true })
      return true
    }
    if (this.map.replicaOn(at, storage.index) === undefined) return false
    const [generationStamp, length] = [this.map.generationStamp(at), this.map.length(at)]
    this.#drop(at, storage)
    this.#putCorrupt(at, storage, { generationStamp, length, reason: 'reported' })
    return true
  }

  /** Marks a replica of a complete block as about to be deleted, or takes that back. */
  setGoing(at: Slot, storage: StorageRecord, isNowGoing: boolean): void {
    const word = this.map.replicaOn(at, storage.index)
    if (word !== undefined) {
      this.map.putReplica(at, storage.index, {
        isGoing: isNowGoing,
        isBeingWritten: isBeingWritten(word),
      })
      return
    }
    const corrupt = this.corrupt.on(this.map.id(at), storage)
    if (corrupt !== undefined) corrupt.isGoing = isNowGoing
  }

  /** Stops with an AssertionError when a replica is counted wrongly or in two places. */
  invariants(): void {
    this.map.invariants()
    const countByStorage = new Map<StorageRecord, number>()
    const count = (storage: StorageRecord): void => {
      countByStorage.set(storage, (countByStorage.get(storage) ?? 0) + 1)
    }
    let safeCount = 0
    for (let position = 0; position < this.map.slotLimit; position += 1) {
      const used = this.map.usedSlot(position)
      if (used === undefined) continue
      if (this.#isSafe(used)) safeCount += 1
      const id = this.map.id(used)
      const holders = this.map.replicas(used).map((word) => this.#registry.storage(storageOf(word)))
      for (const { storage } of this.corrupt.of(id)) holders.push(storage)
      for (const { storage } of this.open.find(id)?.replicas ?? []) holders.push(storage)
      holders.forEach(count)
      const nodes = new Set(holders.map((storage) => storage.node))
      assert(nodes.size === holders.length, `block ${id} must have one replica a datanode`)
    }
    assert(safeCount === this.#safeCount, `ledger must count ${safeCount} safe blocks`)
    for (const node of this.#registry.nodes()) {
      for (const storage of node.storages.values()) {
        assert(
          (countByStorage.get(storage) ?? 0) === storage.replicaCount,
          `storage ${storage.uuid} must count its replicas`,
        )
      }
    }
  }

  #add(id: BlockId): Slot {
    return this.map.add(id, 'unverified')
  }

  /** The entry a report belongs to; made for it when its row may still come. */
  #slotFor({ blockId: id }: ListedReplica, mayBeEarly: EarlyTest): Slot | undefined {
    return this.map.find(id) ?? (mayBeEarly(id) ? this.#add(id) : undefined)
  }

  /** A replica never goes back: a smaller stamp, or writing after finalized, was said before. */
  #isOldNews(at: Slot, storage: StorageRecord, replica: ListedReplica): boolean {
    const id = this.map.id(at)
    const word = this.map.replicaOn(at, storage.index)
    if (word !== undefined) {
      const stamp = this.map.generationStamp(at)
      if (replica.generationStamp < stamp) return true
      return (
        replica.generationStamp === stamp && !isBeingWritten(word) && replica.state !== 'finalized'
      )
    }
    const known = this.open.find(id)?.replicas.find((other) => other.storage === storage)
    if (known === undefined) return false
    if (replica.generationStamp !== known.generationStamp) {
      return replica.generationStamp < known.generationStamp
    }
    return known.state === 'finalized' && replica.state !== 'finalized'
  }

  /** Judges one replica and files it. */
  #place(at: Slot, storage: StorageRecord, replica: ReportedReplica): ReportOutcome {
    if (replica.state === 'temporary') return 'unchanged'
    const kind = this.map.kind(at)
    if (kind === 'complete') return this.#placeInComplete(at, storage, replica)
    if (kind === 'unverified' && this.#fitsUnverified(at, replica)) {
      return this.#putWord(at, storage, false)
    }
    return this.#putOpen(at, storage, replica)
  }

  #placeInComplete(at: Slot, storage: StorageRecord, replica: ReportedReplica): ReportOutcome {
    const id = this.map.id(at)
    const verdict = judge(this.map.generationStamp(at), this.map.length(at), replica)
    const corrupt = this.corrupt.on(id, storage)
    if (verdict === 'good' || verdict === 'writing') {
      // What a reader found corrupt does not heal by being reported again.
      if (corrupt?.reason === 'reported' && corrupt.generationStamp === replica.generationStamp) {
        return corrupt.isGoing ? 'undeleted' : 'unchanged'
      }
      const word = this.map.replicaOn(at, storage.index)
      const isWriting = verdict === 'writing'
      if (word !== undefined && isGoing(word)) return 'undeleted'
      if (word !== undefined && isBeingWritten(word) === isWriting) return 'unchanged'
      return this.#putWord(at, storage, isWriting)
    }
    if (
      corrupt?.reason === verdict &&
      corrupt.generationStamp === replica.generationStamp &&
      corrupt.length === replica.length
    ) {
      return corrupt.isGoing ? 'undeleted' : 'unchanged'
    }
    const hasGoodElsewhere = this.map.replicas(at).some((word) => {
      const other = this.#registry.storage(storageOf(word))
      return other !== storage && other.node === storage.node
    })
    if (hasGoodElsewhere) return 'unchanged'
    const { generationStamp, length } = replica
    return this.#putCorrupt(at, storage, { generationStamp, length, reason: verdict })
  }

  /** Before its row is known, an entry takes the version of the first finalized replica reported. */
  #fitsUnverified(at: Slot, replica: ReportedReplica): boolean {
    if (replica.state !== 'finalized' || replica.isKnownCorrupt === true) return false
    if (!this.map.hasReplicas(at)) {
      this.map.setVersion(at, replica.generationStamp, replica.length)
    }
    return (
      this.map.generationStamp(at) === replica.generationStamp &&
      this.map.length(at) === replica.length
    )
  }

  #putWord(at: Slot, storage: StorageRecord, isWriting: boolean): ReportOutcome {
    this.#dropNode(at, storage)
    const wasSafe = this.#isSafe(at)
    this.map.putReplica(at, storage.index, { isGoing: false, isBeingWritten: isWriting })
    storage.replicaCount += 1
    this.#recountSafe(at, wasSafe)
    return 'changed'
  }

  #putOpen(at: Slot, storage: StorageRecord, replica: ReportedReplica): ReportOutcome {
    const id = this.map.id(at)
    const { generationStamp, length } = replica
    const state = openState(replica)
    const isCorrupt = replica.isKnownCorrupt === true
    const known = this.open.find(id)?.replicas.find((other) => other.storage === storage)
    if (
      known?.generationStamp === generationStamp &&
      known.length === length &&
      known.state === state
    ) {
      return 'unchanged'
    }
    this.#dropNode(at, storage)
    this.open.report(id, { storage, generationStamp, length, state, isCorrupt })
    storage.replicaCount += 1
    return 'changed'
  }

  #putCorrupt(
    at: Slot,
    storage: StorageRecord,
    replica: Pick<ListedReplica, 'generationStamp' | 'length'> & { readonly reason: CorruptReason },
  ): ReportOutcome {
    this.#dropNode(at, storage)
    this.corrupt.put(this.map.id(at), { ...replica, storage, isGoing: false })
    storage.replicaCount += 1
    return 'changed'
  }

  /** Forgets whatever the datanode of `storage` holds of the block, on any of its storages. */
  #dropNode(at: Slot, storage: StorageRecord): void {
    const id = this.map.id(at)
    const isElsewhere = this.open.has(id) || this.corrupt.has(id)
    for (const own of storage.node.storages.values()) {
      const isHere = this.map.replicaOn(at, own.index) !== undefined
      if (isHere || isElsewhere) this.#drop(at, own)
    }
  }

  #drop(at: Slot, storage: StorageRecord): boolean {
    const id = this.map.id(at)
    const wasSafe = this.#isSafe(at)
    const wasThere =
      this.map.removeReplica(at, storage.index) ||
      this.open.removeReplica(id, storage) ||
      this.corrupt.remove(id, storage)
    if (wasThere) storage.replicaCount -= 1
    this.#recountSafe(at, wasSafe)
    return wasThere
  }

  #removeUnlisted(
    now: Millis,
    storage: StorageRecord,
    listed: ReadonlySet<BlockId>,
    changed: BlockId[],
  ): void {
    const gone: BlockId[] = []
    const check = (id: BlockId): void => {
      if (!listed.has(id) && !storage.recent.wasReceived(now, id)) gone.push(id)
    }
    for (const at of this.map.slotsOn(storage.index)) check(this.map.id(at))
    for (const [id, replicas] of this.corrupt.entries()) {
      if (replicas.some((replica) => replica.storage === storage)) check(id)
    }
    for (const [id, { replicas }] of this.open.entries()) {
      if (replicas.some((replica) => replica.storage === storage)) check(id)
    }
    for (const id of gone) {
      if (this.removed(id, storage)) changed.push(id)
    }
  }

  /** An entry without row and without replicas says nothing. */
  #removeIfForgotten(at: Slot): void {
    if (this.map.kind(at) !== 'unverified' || this.map.hasReplicas(at)) return
    const open = this.open.find(this.map.id(at))
    if (open !== undefined && open.replicas.length > 0) return
    this.open.take(this.map.id(at))
    this.map.remove(at)
  }

  /** Takes every replica of a block out of the ledger, each with the version it was reported with. */
  #takeReplicas(
    at: Slot,
  ): { storage: StorageRecord; replica: ReportedReplica; wasGoing: boolean }[] {
    const blockId = this.map.id(at)
    const [generationStamp, length] = [this.map.generationStamp(at), this.map.length(at)]
    const taken: { storage: StorageRecord; replica: ReportedReplica; wasGoing: boolean }[] = []
    for (const word of this.map.replicas(at)) {
      const state = isBeingWritten(word) ? 'rbw' : 'finalized'
      taken.push({
        storage: this.#registry.storage(storageOf(word)),
        replica: { blockId, generationStamp, length, state },
        wasGoing: isGoing(word),
      })
    }
    for (const { storage, ...replica } of this.corrupt.of(blockId)) {
      const state = replica.reason === 'not-finalized' ? 'rwr' : 'finalized'
      const isKnownCorrupt = replica.reason === 'reported'
      taken.push({
        storage,
        replica: { ...replica, blockId, state, isKnownCorrupt },
        wasGoing: replica.isGoing,
      })
    }
    for (const { storage, ...replica } of this.open.find(blockId)?.replicas ?? []) {
      taken.push({ storage, replica: remembered(blockId, replica), wasGoing: false })
    }
    for (const { storage } of taken) this.#drop(at, storage)
    return taken
  }

  #rejudgeAll(at: Slot, row: BlockRow): Omit<RowOutcome, 'before'> {
    const taken = this.#takeReplicas(at)
    const isComplete = row.state === 'complete'
    const expected = isComplete ? (this.open.take(row.id)?.expected ?? noStorages) : noStorages
    this.#setKind(at, row.state)
    this.map.setVersion(at, row.generationStamp, row.length)
    const reprieved: StorageRecord[] = []
    for (const { storage, replica, wasGoing } of taken) {
      this.#place(at, storage, replica)
      if (replica.isKnownCorrupt === true) this.markCorrupt(row.id, storage)
      if (wasGoing) reprieved.push(storage)
    }
    return { expected, reprieved }
  }

  #rejudgeOpen(at: Slot, block: OpenBlock | undefined): void {
    for (const { storage, ...replica } of block?.replicas ?? []) {
      storage.replicaCount -= 1
      this.#place(at, storage, remembered(this.map.id(at), replica))
      if (replica.isCorrupt) this.markCorrupt(this.map.id(at), storage)
    }
  }

  #setKind(at: Slot, kind: BlockRow['state'] | 'unverified'): void {
    const wasSafe = this.#isSafe(at)
    this.map.setKind(at, kind)
    this.#recountSafe(at, wasSafe)
  }

  #isSafe(at: Slot): boolean {
    const kind = this.map.kind(at)
    if (kind === 'complete') return this.map.hasReplicas(at)
    return kind !== 'unverified'
  }

  #recountSafe(at: Slot, wasSafe: boolean): void {
    const isSafe = this.#isSafe(at)
    if (isSafe !== wasSafe) this.#safeCount += isSafe ? 1 : -1
  }
}

type Verdict = 'good' | 'writing' | CorruptReason

/** Compares a replica with a complete block's stamp and length. */
function judge(stamp: number, length: number, replica: ReportedReplica): Verdict {
  if (replica.generationStamp < stamp) return 'stale-stamp'
  if (replica.generationStamp > stamp) return 'future-stamp'
  switch (replica.state) {
    case 'finalized':
      return replica.length === length ? 'good' : 'wrong-length'
    case 'rwr':
      return 'not-finalized'
    case 'rbw':
    case 'rur':
    case 'temporary':
      // The datanode's report of the finished replica is on its way.
      return 'writing'
  }
}

function openState({ state }: ReportedReplica): OpenReplicaState {
  if (state === 'finalized') return 'finalized'
  return state === 'rwr' ? 'waiting' : 'writing'
}

function remembered(
  blockId: BlockId,
  replica: Omit<OpenBlock['replicas'][number], 'storage'>,
): ReportedReplica {
  const { generationStamp, length, isCorrupt: isKnownCorrupt } = replica
  const state =
    replica.state === 'finalized' ? 'finalized' : replica.state === 'waiting' ? 'rwr' : 'rbw'
  return { blockId, generationStamp, length, state, isKnownCorrupt }
}
