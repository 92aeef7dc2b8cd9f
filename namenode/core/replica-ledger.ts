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
 * change under the replicas. Every path ends in `#place`, which judges one replica against one row: its
 * stamp, state and length first, then its digest (`digest-votes`).
 */
import { assert } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import { BlockMap, isBeingWritten, isGoing, isVouching, type Slot, storageOf } from './block-map.ts'
import type { BlockRow } from './changes.ts'
import { type CorruptReason, CorruptReplicas } from './corrupt-replicas.ts'
import type { DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import { type DigestVerdict, hasAgreement, judgeDigest } from './digest-votes.ts'
import { type OpenBlock, OpenBlocks, type OpenReplicaState } from './open-blocks.ts'
import type { BlockReference } from './requests.ts'

/** A replica as reported, or as remembered from an earlier report. */
export interface ReportedReplica extends ListedReplica {
  /** Its bytes were found not to match their checksums. */
  readonly isKnownCorrupt?: boolean
  /** It is a copy that repair ordered. */
  readonly isCopy?: boolean
}

export type ReportOutcome =
  | 'changed'
  | 'unchanged'
  /** No such block: the replica may go once all rows are known. */
  | 'garbage'
  /** It was told to go and is still there. */
  | 'undeleted'

export interface RowOutcome {
  readonly before: 'absent' | 'open' | 'complete'
  /** The pipeline of a block that just became complete. */
  readonly expected: readonly StorageRecord[]
  /** Storages whose ordered deletion no longer applies, because the block was reopened. */
  readonly reprieved: readonly StorageRecord[]
}

/** A digest that the replicas of a complete block agree on and that its row does not have. */
export interface AgreedDigest {
  readonly id: BlockId
  readonly generationStamp: GenerationStamp
  readonly digest: bigint
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
  /** Blocks whose replicas agreed on a digest that is to be stored. */
  readonly #agreed = new Set<BlockId>()

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
    const isKept = isSameVersion && row.state === 'complete' && this.#adoptDigest(at, row)
    if (kind === 'complete' && isKept) {
      this.#settleDigest(at, noStorages)
      return { before, expected: noStorages, reprieved: noStorages }
    }
    if (before === 'absent' && isKept) {
      // The usual case while rows stream in: every report so far agreed with the row.
      this.#setKind(at, 'complete')
      this.#settleDigest(at, noStorages)
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
  received(storage: StorageRecord, replica: ReportedReplica, mayBeEarly: EarlyTest): ReportOutcome {
    const at = this.#slotFor(replica, mayBeEarly)
    if (at === undefined) return 'garbage'
    if (this.#isOldNews(at, storage, replica)) return 'unchanged'
    return this.#place(at, storage, replica)
  }

  /** The replica on `storage`, of this stamp, is gone. Returns whether that was news. */
  removed(id: BlockId, storage: StorageRecord, stamp?: GenerationStamp): boolean {
    const at = this.map.find(id)
    if (at === undefined) return false
    const isOlder = stamp !== undefined && stamp < this.#heldStamp(at, storage)
    if (isOlder || !this.#drop(at, storage)) return false
    this.#removeIfForgotten(at)
    return true
  }

  /** Takes over one replica of a full report, unless incremental reports said more since it was taken. */
  listed(
    now: Millis,
    storage: StorageRecord,
    replica: ListedReplica,
    mayBeEarly: EarlyTest,
  ): ReportOutcome {
    if (storage.recent.isLater(now, replica.blockId, replica.generationStamp)) return 'unchanged'
    const at = this.#slotFor(replica, mayBeEarly)
    return at === undefined ? 'garbage' : this.#place(at, storage, replica)
  }

  /** Removes and returns digests that rows should have, up to `countMax`. */
  takeAgreed(countMax: number): readonly AgreedDigest[] {
    const taken: AgreedDigest[] = []
    for (const id of this.#agreed) {
      if (taken.length === countMax) break
      this.#agreed.delete(id)
      const at = this.map.find(id)
      if (at === undefined || this.map.digestState(at) !== 'agreed') continue
      const digest = this.map.digest(at)
      if (digest === undefined) continue
      taken.push({ id, generationStamp: this.map.generationStamp(at), digest })
    }
    return taken
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
        isVouching: isVouching(word),
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

  /** Stamp of the replica that a storage is known to hold; 0 without one. */
  #heldStamp(at: Slot, storage: StorageRecord): number {
    if (this.map.replicaOn(at, storage.index) !== undefined) return this.map.generationStamp(at)
    const id = this.map.id(at)
    const isHere = (replica: { readonly storage: StorageRecord }): boolean =>
      replica.storage === storage
    const open = this.open.find(id)?.replicas.find(isHere)
    return open?.generationStamp ?? this.corrupt.on(id, storage)?.generationStamp ?? 0
  }

  /** Judges one replica and files it. */
  #place(at: Slot, storage: StorageRecord, replica: ReportedReplica): ReportOutcome {
    if (replica.state === 'temporary') return 'unchanged'
    const kind = this.map.kind(at)
    if (kind === 'complete') return this.#placeInComplete(at, storage, replica)
    if (kind === 'unverified' && this.#fitsUnverified(at, replica)) {
      return this.#putWord(at, storage, false, replica.digest !== undefined)
    }
    return this.#putOpen(at, storage, replica)
  }

  #placeInComplete(at: Slot, storage: StorageRecord, replica: ReportedReplica): ReportOutcome {
    const id = this.map.id(at)
    const version = judge(this.map.generationStamp(at), this.map.length(at), replica)
    const corrupt = this.corrupt.on(id, storage)
    const isFit = version === 'good' || version === 'writing'
    // What a reader found corrupt does not heal by being reported again.
    if (isFit && corrupt?.reason === 'reported') {
      const isSame = corrupt.generationStamp === replica.generationStamp
      if (isSame) return corrupt.isGoing ? 'undeleted' : 'unchanged'
    }
    const {
      verdict,
      isVouching: vouches,
      overruled,
    } = version === 'good' ? judgeDigest(at, storage, replica, this.#parts) : withoutDigest(version)
    const outcome =
      verdict === 'good' || verdict === 'writing'
        ? this.#placeGood(at, storage, { isWriting: verdict === 'writing', vouches })
        : this.#placeCorrupt(at, storage, replica, verdict)
    return this.#settleDigest(at, overruled) ? 'changed' : outcome
  }

  #placeGood(
    at: Slot,
    storage: StorageRecord,
    { isWriting, vouches }: { readonly isWriting: boolean; readonly vouches: boolean },
  ): ReportOutcome {
    const word = this.map.replicaOn(at, storage.index)
    if (word !== undefined && isGoing(word)) return 'undeleted'
    if (word === undefined || isBeingWritten(word) !== isWriting) {
      return this.#putWord(at, storage, isWriting, vouches)
    }
    if (vouches && !isVouching(word)) {
      const flags = { isGoing: false, isBeingWritten: isWriting, isVouching: true }
      this.map.putReplica(at, storage.index, flags)
    }
    return 'unchanged'
  }

  #placeCorrupt(
    at: Slot,
    storage: StorageRecord,
    { generationStamp, length, digest }: ReportedReplica,
    reason: CorruptReason,
  ): ReportOutcome {
    const corrupt = this.corrupt.on(this.map.id(at), storage)
    const isKnown =
      corrupt?.reason === reason &&
      corrupt.generationStamp === generationStamp &&
      corrupt.length === length
    if (isKnown) return corrupt.isGoing ? 'undeleted' : 'unchanged'
    const hasGoodElsewhere = this.map.replicas(at).some((word) => {
      const other = this.#registry.storage(storageOf(word))
      return other !== storage && other.node === storage.node
    })
    if (hasGoodElsewhere) return 'unchanged'
    return this.#putCorrupt(at, storage, { generationStamp, length, digest, reason })
  }

  /** Takes over a row's digest. False when replicas must be judged anew because of it. */
  #adoptDigest(at: Slot, { digest }: BlockRow): boolean {
    if (digest === undefined) return true
    const [known, state] = [this.map.digest(at), this.map.digestState(at)]
    // What replicas agreed on since the row was read is newer than the row.
    if (state === 'agreed' && known !== digest) return true
    if (known !== undefined && known !== digest) return false
    this.map.setDigest(at, digest, 'stored')
    return true
  }

  /**
   * Draws the consequences of the votes: notes a new agreement, moves those that were overruled out of
   * the map, and those that turn out right into it. Returns whether replicas changed their worth.
   */
  #settleDigest(at: Slot, overruled: readonly StorageRecord[]): boolean {
    const id = this.map.id(at)
    if (this.map.kind(at) !== 'complete') return false
    if (hasAgreement(at, this.#parts)) {
      this.map.setDigest(at, this.map.digest(at) ?? 0n, 'agreed')
    }
    const [generationStamp, length] = [this.map.generationStamp(at), this.map.length(at)]
    for (const storage of overruled) {
      this.#putCorrupt(at, storage, { generationStamp, length, reason: 'digest-mismatch' })
    }
    const state = this.map.digestState(at)
    if (state === 'agreed') this.#agreed.add(id)
    if (state === 'none' || state === 'candidate') return overruled.length > 0
    let hasChanged = overruled.length > 0
    for (const replica of this.corrupt.of(id)) {
      const { storage, digest, reason } = replica
      const isByDigest = reason === 'digest-undecided' || reason === 'digest-mismatch'
      if (isByDigest && digest !== undefined && digest === this.map.digest(at)) {
        this.#putWord(at, storage, false, true)
      } else if (reason === 'digest-undecided') {
        this.#putCorrupt(at, storage, { ...replica, reason: 'digest-mismatch' })
      } else continue
      hasChanged = true
    }
    return hasChanged
  }

  get #parts(): {
    readonly map: BlockMap
    readonly corrupt: CorruptReplicas
    readonly registry: DatanodeRegistry
  } {
    return { map: this.map, corrupt: this.corrupt, registry: this.#registry }
  }

  /** Before its row is known, an entry takes the version of the first finalized replica reported. */
  #fitsUnverified(at: Slot, replica: ReportedReplica): boolean {
    if (replica.state !== 'finalized' || replica.isKnownCorrupt === true) return false
    if (!this.map.hasReplicas(at)) {
      this.map.setVersion(at, replica.generationStamp, replica.length)
    }
    const isFit =
      this.map.generationStamp(at) === replica.generationStamp &&
      this.map.length(at) === replica.length
    if (!isFit || replica.digest === undefined) return isFit
    const known = this.map.digest(at)
    if (known === undefined) this.map.setDigest(at, replica.digest, 'candidate')
    return known === undefined || known === replica.digest
  }

  #putWord(at: Slot, storage: StorageRecord, isWriting: boolean, vouches: boolean): ReportOutcome {
    this.#dropNode(at, storage)
    const wasSafe = this.#isSafe(at)
    const flags = { isGoing: false, isBeingWritten: isWriting, isVouching: vouches }
    this.map.putReplica(at, storage.index, flags)
    storage.replicaCount += 1
    this.#recountSafe(at, wasSafe)
    return 'changed'
  }

  #putOpen(at: Slot, storage: StorageRecord, replica: ReportedReplica): ReportOutcome {
    const id = this.map.id(at)
    const { generationStamp, length, digest } = replica
    const state = openState(replica)
    const isCorrupt = replica.isKnownCorrupt === true
    const known = this.open.find(id)?.replicas.find((other) => other.storage === storage)
    if (
      known?.generationStamp === generationStamp &&
      known.length === length &&
      known.state === state &&
      known.digest === digest
    ) {
      return 'unchanged'
    }
    this.#dropNode(at, storage)
    this.open.report(id, { storage, generationStamp, length, state, isCorrupt, digest })
    storage.replicaCount += 1
    return 'changed'
  }

  #putCorrupt(
    at: Slot,
    storage: StorageRecord,
    replica: Pick<ListedReplica, 'generationStamp' | 'length' | 'digest'> & {
      readonly reason: CorruptReason
    },
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
        replica: {
          ...{ blockId, generationStamp, length, state },
          digest: isVouching(word) ? this.map.digest(at) : undefined,
        },
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
    const digest = isComplete ? row.digest : undefined
    this.map.setDigest(at, digest ?? 0n, digest === undefined ? 'none' : 'stored')
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

function withoutDigest(
  verdict: Verdict,
): Omit<DigestVerdict, 'verdict'> & { readonly verdict: Verdict } {
  return { verdict, isVouching: false, overruled: noStorages }
}

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
  const { generationStamp, length, digest, isCorrupt: isKnownCorrupt } = replica
  const state =
    replica.state === 'finalized' ? 'finalized' : replica.state === 'waiting' ? 'rwr' : 'rbw'
  return { blockId, generationStamp, length, state, isKnownCorrupt, digest }
}
