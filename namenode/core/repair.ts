/**
 * Turns endangered blocks into orders. `examine` is the chain of checks that every change of a block's
 * replicas goes through; `run` is a tick's bounded share of copying.
 *
 *     examine: enough replicas? ─no─▶ queue by danger ──run──▶ transfer order + pending copy
 *              corrupt ones, and enough good? ──────────────▶ invalidate the corrupt ones
 *              more good ones than wanted? ─────────────────▶ invalidate the surplus
 *
 * Deleting relies on *trusted* replicas only: on a live datanode, on a storage whose full report
 * confirmed it. What looks like a surplus of hearsay is remembered and examined again later. A deletion
 * is checked once more when it is sent (`mayInvalidate`), because the replicas it relied on may be gone.
 *
 * How much one datanode copies at a time adapts to it: its share doubles when it finished half of it
 * between two heartbeats and was refused more for lack of room; it is halved when a copy times out, and
 * while clients keep the datanode busy.
 */
import { assert } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { Slot } from './block-map.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import { copyDeadline, PendingCopies, type PendingCopy } from './pending-copies.ts'
import { choosePlacement } from './placement.ts'
import {
  assess,
  type BlockHealth,
  chooseExcess,
  type Danger,
  dangerOf,
  dangers,
  missingCount,
  RedundancyQueues,
} from './redundancy.ts'
import type { ReplicaLedger } from './replica-ledger.ts'
import type { BlockReference } from './requests.ts'

export interface RepairOptions {
  readonly settings: Settings
  readonly prng: Prng
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
}

/** How much of the bounds in `limits` a datanode may use; a power of two. */
interface Pace {
  scale: number
  /** Work was held back since the last heartbeat, because this datanode had its fill. */
  wasFull: boolean
}

type Attempt = 'ordered' | 'settled' | 'no-source' | 'no-target' | 'waits'

const paceScaleMax = limits.copyBytesInFlightMax / limits.copyBytesInFlightMin
const busyTransfers = 16
const veryBusyTransfers = 64
/** A queue whose blocks cannot be helped, so many in a row, is left alone until the next round. */
const fruitlessAttemptsMax = 200
/** After a round that could do nothing at all. */
const fruitlessPauseMs = 1000

/** The chain of checks, the queues, and the copies on their way. */
export class Repair {
  readonly queues = new RedundancyQueues()
  readonly pending = new PendingCopies()
  readonly #streamsMax: number
  readonly #prng: Prng
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #paces = new Map<DatanodeRecord, Pace>()
  /** Blocks with a surplus or corrupt replicas that cannot be deleted on what is trusted now. */
  readonly #postponed = new Set<BlockId>()
  /** Blocks with a good replica and fewer than wanted, queued or with copies on their way. */
  readonly #short = new Set<BlockId>()
  readonly #lostSingles = new Set<BlockId>()
  /** Datanodes that failed to take a copy of a block; tried again last. */
  readonly #failedTargets = new Map<BlockId, readonly DatanodeRecord[]>()

  #pausedUntil = millis(0)

  constructor({ settings, prng, registry, ledger }: RepairOptions) {
    this.#streamsMax = settings['dfs.namenode.replication.max-streams']
    this.#prng = prng
    this.#registry = registry
    this.#ledger = ledger
  }

  /** Blocks with a good replica and fewer than wanted. */
  get underReplicatedCount(): number {
    return this.#short.size
  }

  /** Blocks without a replica that want only one. */
  get lostSingleCount(): number {
    return this.#lostSingles.size
  }

  get postponedCount(): number {
    return this.#postponed.size
  }

  /** Runs the chain of checks over one block. */
  examine(id: BlockId): void {
    const at = this.#ledger.map.find(id)
    if (at === undefined || this.#ledger.map.kind(at) !== 'complete') {
      this.forget(id)
      return
    }
    const health = assess(this.#ledger, this.#registry, at)
    const danger = dangerOf(health, this.pending.of(id), this.#registry.rackCount)
    this.#note(id, health, danger)
    if (health.wanted === 0) return
    if (health.good.length >= health.wanted) this.#failedTargets.delete(id)
    const isCleanPostponed = this.#disposeOfCorrupt(at, health)
    const isTrimPostponed = this.#trimExcess(at, health)
    if (isCleanPostponed || isTrimPostponed) this.#postponed.add(id)
    else this.#postponed.delete(id)
  }

  /** The block is gone or was reopened. */
  forget(id: BlockId): void {
    this.#note(id, undefined, undefined)
    for (const { source } of this.pending.of(id)) source?.orders.withdrawTransfers(id)
    this.pending.removeBlock(id)
    this.#postponed.delete(id)
    this.#failedTargets.delete(id)
  }

  /** A datanode has reported a replica of the block. */
  arrived(id: BlockId, node: DatanodeRecord): void {
    this.pending.arrived(id, node)
  }

  /** The rest of a completed block's pipeline will report soon, or be counted as lost. */
  expectReports(now: Millis, id: BlockId, storages: readonly StorageRecord[]): void {
    const at = this.#ledger.map.find(id)
    if (at === undefined) return
    const deadline = millis(now + limits.pipelineReportMs)
    const { good } = assess(this.#ledger, this.#registry, at)
    for (const target of storages) {
      const isKnown =
        good.some(({ node }) => node === target.node) ||
        this.pending.of(id).some((copy) => copy.target.node === target.node)
      if (isKnown || !target.counts) continue
      this.pending.add(id, { target, source: undefined, bytes: 0, deadline })
    }
  }

  /** Nothing may be expected from or of this datanode any more. */
  nodeLost(node: DatanodeRecord): void {
    for (const id of this.pending.removeNode(node)) this.examine(id)
    this.#paces.delete(node)
  }

  /** Adapts the datanode's pace to what it got done since its last heartbeat. */
  paced(node: DatanodeRecord): void {
    const pace = this.#pace(node)
    const { doneCount, doneBytes } = this.pending.load(node)
    const isQuick = doneCount * 2 >= this.#countMax(node) || doneBytes * 2 >= this.#bytesMax(node)
    if (pace.wasFull && isQuick) pace.scale = Math.min(paceScaleMax, pace.scale * 2)
    pace.wasFull = false
    this.pending.resetDone(node)
  }

  /** Gives up overdue copies and examines their blocks again. */
  expire(now: Millis): void {
    for (const { id, copy } of this.pending.expire(now)) {
      if (copy.source !== undefined) {
        const pace = this.#pace(copy.source)
        pace.scale = Math.max(1, pace.scale / 2)
        this.#failedTargets.set(id, [...(this.#failedTargets.get(id) ?? []), copy.target.node])
      }
      this.examine(id)
    }
  }

  /**
   * Orders copies for the most endangered blocks, as far as datanodes have room for work and a tick
   * may take. `isWaiting` tells which blocks must not be touched yet.
   */
  run(now: Millis, isWaiting: (id: BlockId, health: BlockHealth) => boolean): void {
    if (now >= this.#pausedUntil) this.#runQueues(now, isWaiting)
    let again = Math.min(this.#postponed.size, limits.repairBlocksPerTickMax)
    for (const id of this.#postponed) {
      if (again === 0) break
      again -= 1
      this.#postponed.delete(id)
      this.examine(id)
    }
  }

  /**
   * Whether a deletion that is about to be sent is still right. A replica whose block is gone may
   * always go; any other only while enough trusted replicas stay. Otherwise it is taken back.
   */
  mayInvalidate(node: DatanodeRecord, block: BlockReference): boolean {
    const at = this.#ledger.map.find(block.id)
    if (at === undefined) return true
    const { map, corrupt } = this.#ledger
    if (map.kind(at) !== 'complete') return false
    const health = assess(this.#ledger, this.#registry, at)
    const condemned = [...health.uncounted, ...corrupt.of(block.id).map(({ storage }) => storage)]
    const storage = condemned.find((other) => other.node === node)
    if (storage === undefined) return block.generationStamp !== map.generationStamp(at)
    const isCorrupt = corrupt.on(block.id, storage) !== undefined
    const neededCount = isCorrupt ? 1 : health.wanted
    const trustedCount = health.trusted.filter((other) => other.node !== node).length
    if (trustedCount >= neededCount) return true
    this.#ledger.setGoing(at, storage, false)
    this.examine(block.id)
    return false
  }

  /** Stops with an AssertionError when a queue holds what it should not. */
  invariants(): void {
    this.queues.invariants()
    for (const danger of dangers) {
      for (const id of this.queues.list(danger)) {
        const at = this.#ledger.map.find(id)
        assert(
          at !== undefined && this.#ledger.map.kind(at) === 'complete',
          `queued block ${id} must be complete`,
        )
      }
    }
  }

  #note(id: BlockId, health: BlockHealth | undefined, danger: Danger | undefined): void {
    this.queues.put(id, danger)
    const goodCount = health?.good.length ?? 0
    const isShort = health !== undefined && goodCount > 0 && goodCount < health.wanted
    if (isShort && !isAwaitingPipeline(this.pending.of(id))) this.#short.add(id)
    else this.#short.delete(id)
    if (danger === 'lost' && health?.wanted === 1) this.#lostSingles.add(id)
    else this.#lostSingles.delete(id)
  }

  #runQueues(now: Millis, isWaiting: (id: BlockId, health: BlockHealth) => boolean): void {
    let examinedCount = 0
    let helpedCount = 0
    for (const danger of dangers) {
      if (danger === 'lost') continue
      // A queue full of blocks that cannot be helped must not starve the ones behind it.
      const share = Math.ceil((limits.repairBlocksPerTickMax - examinedCount) / 2)
      const { examined, helped } = this.#runQueue(now, danger, share, isWaiting)
      examinedCount += examined
      helpedCount += helped
    }
    if (examinedCount > 0 && helpedCount === 0) {
      this.#pausedUntil = millis(now + fruitlessPauseMs)
    }
  }

  #runQueue(
    now: Millis,
    danger: Danger,
    share: number,
    isWaiting: (id: BlockId, health: BlockHealth) => boolean,
  ): { readonly examined: number; readonly helped: number } {
    const turns = Math.min(share, this.queues.length(danger))
    let [examined, helped, fruitless] = [0, 0, 0]
    while (examined < turns && fruitless < fruitlessAttemptsMax) {
      const id = this.queues.first(danger)
      if (id === undefined) break
      examined += 1
      const attempt = this.#attempt(now, id, isWaiting)
      if (attempt === 'ordered' || attempt === 'settled') {
        helped += 1
        fruitless = 0
      } else {
        fruitless += 1
        this.queues.postpone(id)
      }
    }
    return { examined, helped }
  }

  #attempt(
    now: Millis,
    id: BlockId,
    isWaiting: (id: BlockId, health: BlockHealth) => boolean,
  ): Attempt {
    const danger = this.queues.dangerOf(id)
    this.examine(id)
    if (danger !== this.queues.dangerOf(id)) return 'settled'
    const at = this.#ledger.map.find(id)
    if (at === undefined) return 'settled'
    const health = assess(this.#ledger, this.#registry, at)
    if (isWaiting(id, health)) return 'waits'
    const length = this.#ledger.map.length(at)
    const source = this.#chooseSource(health, length)
    if (source === undefined) return 'no-source'
    const targets = this.#chooseTargets(at, health, danger === 'badly-distributed')
    if (targets.length === 0) {
      this.#makeRoom(at, health)
      return 'no-target'
    }
    const generationStamp = this.#ledger.map.generationStamp(at)
    const deadline = millis(copyDeadline(now, length * targets.length))
    for (const target of targets) {
      this.pending.add(id, { target, source: source.node, bytes: length, deadline })
    }
    source.node.orders.transfer({
      kind: 'transfer',
      block: { id, generationStamp, length },
      source: source.uuid,
      targets: targets.map(({ node, uuid }) => ({ datanode: node.uuid, storage: uuid })),
    })
    this.examine(id)
    return 'ordered'
  }

  /** The good replica on the live datanode that copies least, if it may copy more. */
  #chooseSource(health: BlockHealth, length: number): StorageRecord | undefined {
    let best: StorageRecord | undefined
    for (const storage of health.good) {
      if (storage.node.liveness !== 'live' || !this.#hasRoomToSend(storage.node, length)) continue
      if (best === undefined || this.#outBytes(storage) < this.#outBytes(best)) best = storage
    }
    return best
  }

  #chooseTargets(at: Slot, health: BlockHealth, needsRack: boolean): readonly StorageRecord[] {
    const id = this.#ledger.map.id(at)
    const pending = this.pending.of(id)
    const count = needsRack ? 1 : missingCount(health, pending)
    if (count <= 0) return []
    const length = this.#ledger.map.length(at)
    const goodNodes = health.good.map(({ node }) => node)
    const existing = [...occupiedNodes(health, pending)]
    const open: DatanodeRecord[] = []
    for (const node of this.#registry.nodes()) {
      if (needsRack && goodNodes.some(({ rack }) => rack === node.rack)) continue
      if (this.#hasRoomToReceive(node, length)) open.push(node)
    }
    const failed = this.#failedTargets.get(id) ?? []
    const untried = open.filter((node) => !failed.includes(node))
    for (const nodes of failed.length === 0 ? [open] : [untried, open]) {
      const { targets } = choosePlacement(
        nodes,
        {
          count,
          blockSizeBytes: length,
          clientHost: '',
          excluded: new Set(),
          favored: [],
          existing,
        },
        this.#placementContext(),
      )
      if (targets.length > 0) return targets
    }
    return []
  }

  #placementContext(): Parameters<typeof choosePlacement>[2] {
    return {
      prng: this.#prng,
      rackCount: this.#registry.rackCount,
      silenceMs: () => 0,
      incomingBytes: (node) => this.pending.load(node).inBytes,
    }
  }

  /** Corrupt replicas go as soon as there are enough good ones. Returns whether that must wait. */
  #disposeOfCorrupt(at: Slot, health: BlockHealth): boolean {
    if (health.corrupt.length === 0 || health.good.length < health.wanted) return false
    if (health.trusted.length < health.wanted) return true
    for (const replica of health.corrupt) this.#condemnCorrupt(at, replica.storage)
    return false
  }

  /**
   * No datanode can take another copy because one of them holds a corrupt one: with a good replica
   * certain elsewhere, the corrupt one makes room.
   */
  #makeRoom(at: Slot, health: BlockHealth): void {
    if (health.trusted.length === 0) return
    const length = this.#ledger.map.length(at)
    const occupied = occupiedNodes(health, this.pending.of(this.#ledger.map.id(at)))
    for (const node of this.#registry.nodes()) {
      const mayTakeOneLater =
        node.liveness !== 'dead' && node.adminState === 'normal' && node.remaining >= length
      if (mayTakeOneLater && !occupied.has(node)) return
    }
    const first = health.corrupt.find(({ storage }) => storage.node.liveness === 'live')
    if (first !== undefined && !first.isGoing) this.#condemnCorrupt(at, first.storage)
  }

  #condemnCorrupt(at: Slot, storage: StorageRecord): void {
    const id = this.#ledger.map.id(at)
    const replica = this.#ledger.corrupt.on(id, storage)
    if (replica === undefined || replica.isGoing || storage.node.liveness === 'dead') return
    this.#ledger.setGoing(at, storage, true)
    const { generationStamp, length } = replica
    storage.node.orders.invalidate({ id, generationStamp, length })
  }

  /** Returns whether there is a surplus that cannot be deleted on what is trusted now. */
  #trimExcess(at: Slot, health: BlockHealth): boolean {
    if (health.good.length <= health.wanted) return false
    const id = this.#ledger.map.id(at)
    const generationStamp = this.#ledger.map.generationStamp(at)
    const length = this.#ledger.map.length(at)
    if (health.trusted.length <= health.wanted) return true
    for (const storage of chooseExcess(health.trusted, health.wanted)) {
      this.#ledger.setGoing(at, storage, true)
      storage.node.orders.invalidate({ id, generationStamp, length })
    }
    return health.good.length > health.trusted.length
  }

  #outBytes(storage: StorageRecord): number {
    return this.pending.load(storage.node).outBytes
  }

  #hasRoomToSend(node: DatanodeRecord, length: number): boolean {
    const { outCount, outBytes } = this.pending.load(node)
    const count = Math.max(outCount, node.copies)
    const hasRoom =
      count < this.#countMax(node) && (outBytes === 0 || outBytes + length <= this.#bytesMax(node))
    if (!hasRoom) this.#pace(node).wasFull = true
    return hasRoom
  }

  #hasRoomToReceive(node: DatanodeRecord, length: number): boolean {
    const { inBytes } = this.pending.load(node)
    return inBytes === 0 || inBytes + length <= this.#bytesMax(node)
  }

  #countMax(node: DatanodeRecord): number {
    if (this.#streamsMax > 0) return this.#streamsMax
    const scaled = limits.copiesInFlightPerDatanodeMin * this.#pace(node).scale
    return Math.max(
      1,
      Math.floor(Math.min(limits.copiesInFlightPerDatanodeMax, scaled) / load(node)),
    )
  }

  #bytesMax(node: DatanodeRecord): number {
    return Math.floor((limits.copyBytesInFlightMin * this.#pace(node).scale) / load(node))
  }

  #pace(node: DatanodeRecord): Pace {
    const known = this.#paces.get(node)
    if (known !== undefined) return known
    const pace = { scale: 1, wasFull: false }
    this.#paces.set(node, pace)
    return pace
  }
}

/** The block was completed just now and its datanodes are about to report. */
function isAwaitingPipeline(pending: readonly PendingCopy[]): boolean {
  return pending.length > 0 && pending.every(({ source }) => source === undefined)
}

/** Datanodes that have, had or will have a replica of the block; good ones first. */
function occupiedNodes(
  health: BlockHealth,
  pending: readonly PendingCopy[],
): ReadonlySet<DatanodeRecord> {
  return new Set([
    ...health.good.map(({ node }) => node),
    ...pending.map(({ target }) => target.node),
    ...health.uncounted.map(({ node }) => node),
    ...health.corrupt.map(({ storage }) => storage.node),
  ])
}

/** Divisor of a datanode's copying while clients use it. */
function load(node: DatanodeRecord): number {
  if (node.transfers >= veryBusyTransfers) return 4
  return node.transfers >= busyTransfers ? 2 : 1
}
