/**
 * Moves replicas from full datanodes to emptier ones, continuously and within a budget of bytes a second. A
 * move is a copy and then the deletion of a surplus, both by the ordinary machinery of repair:
 *
 *     choose ──▶ transfer order, pending copy ──▶ target reports ──▶ repair trims the surplus: the source goes
 *
 * 1. A move never lowers the number of good replicas: nothing is deleted before the copy is confirmed, and
 *    then only what B2 allows (`Repair.#trimExcess`, `Repair.mayInvalidate`).
 * 2. A move never takes replicas off the last but one rack.
 * 3. Only blocks are moved that need nothing else: complete, exactly the wanted number of good replicas, all
 *    confirmed, none corrupt, nothing pending.
 * 4. Balancing gives way: no move starts while a block waits for repair.
 *
 * Moves are soft state: after a restart what was copied and not yet deleted is an ordinary surplus.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import { type BalancePlan, type NodeFill, planBalance } from './balance-plan.ts'
import { isGoing, type Slot, storageOf } from './block-map.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import { assess, type BlockHealth, dangers } from './redundancy.ts'
import type { Repair } from './repair.ts'
import type { RepairRounds } from './repair-rounds.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

/** What an operator may change; what is absent stays. */
export interface BalanceWish {
  readonly isEnabled?: boolean | undefined
  /** Distance from the average use that is fine, in percent of a datanode's capacity. */
  readonly thresholdPercent?: number | undefined
  /** All datanodes together. */
  readonly bytesPerSecond?: number | undefined
}

export interface BalanceView {
  readonly isEnabled: boolean
  readonly thresholdPercent: number
  readonly bytesPerSecond: number
  /** Some datanode is further from the average than the threshold. */
  readonly isUnbalanced: boolean
  /** Why no move starts although there would be some. */
  readonly waitsFor: 'repair' | undefined
  readonly movingBlocks: number
  readonly movingBytes: number
  /** Since the namenode started. */
  readonly movedBlocks: number
  readonly movedBytes: number
  readonly plan: BalancePlan<DatanodeRecord>
  readonly fills: readonly NodeFill<DatanodeRecord>[]
}

interface Move {
  readonly source: StorageRecord
  readonly target: StorageRecord
  readonly bytes: number
  /** When the target had its replica. */
  arrivedAt?: Millis
  /** When the source's replica was gone, not only ordered to go. */
  goneAt?: Millis
}

export interface BalancerOptions {
  readonly settings: Settings
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
  readonly rounds: RepairRounds
}

/** Unused budget is kept for so long at most. */
const burstMs = 2000

export class Balancer {
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #repair: Repair
  readonly #rounds: RepairRounds
  readonly #moves = new Map<BlockId, Move>()
  /** Moves that are over and that the last heartbeat of one of their datanodes does not show yet. */
  readonly #unseen = new Map<Move, BlockId>()
  #isEnabled: boolean
  #thresholdPercent: number
  #bytesPerSecond: number
  /** Bytes that may be ordered now; below zero after a block larger than what was left. */
  #budgetBytes = 0
  #lastTickAt: Millis | undefined
  /** Where the search for blocks to move goes on. */
  #cursor = 0
  #movedBlocks = 0
  #movedBytes = 0

  constructor({ settings, registry, ledger, repair, rounds }: BalancerOptions) {
    this.#registry = registry
    this.#ledger = ledger
    this.#repair = repair
    this.#rounds = rounds
    this.#isEnabled = settings['dfs.namenode.balance.enabled']
    this.#thresholdPercent = settings['dfs.namenode.balance.threshold']
    this.#bytesPerSecond = settings['dfs.namenode.balance.bandwidth']
    repair.movedFrom = (id) => this.#moves.get(id)?.source
  }

  /** Changes what an operator wishes to be changed. Moves under way are finished in any case. */
  set({ isEnabled, thresholdPercent, bytesPerSecond }: BalanceWish): void {
    this.#isEnabled = isEnabled ?? this.#isEnabled
    this.#thresholdPercent = thresholdPercent ?? this.#thresholdPercent
    this.#bytesPerSecond = bytesPerSecond ?? this.#bytesPerSecond
  }

  /** Follows moves under way, and starts new ones as far as the budget goes. Bounded work. */
  tick(now: Millis): void {
    for (const [id, move] of this.#moves) this.#follow(now, id, move)
    for (const [move, id] of this.#unseen) this.#settle(now, id, move)
    const sinceMs = Math.min(burstMs, now - (this.#lastTickAt ?? now))
    this.#lastTickAt = now
    const earned = this.#budgetBytes + (this.#bytesPerSecond * sinceMs) / 1000
    this.#budgetBytes = Math.min(earned, (this.#bytesPerSecond * burstMs) / 1000)
    if (!this.#isEnabled || this.#budgetBytes <= 0 || this.#isRepairing()) return
    const fills = this.#fills()
    const plan = this.#plan(fills)
    if (plan.flows.length > 0) this.#start(now, new OpenFlows(plan, fills))
  }

  view(): BalanceView {
    const fills = this.#fills()
    const plan = this.#plan(fills)
    const isUnbalanced = plan.flows.length > 0
    let movingBytes = 0
    for (const { bytes } of this.#moves.values()) movingBytes += bytes
    return {
      isEnabled: this.#isEnabled,
      thresholdPercent: this.#thresholdPercent,
      bytesPerSecond: this.#bytesPerSecond,
      isUnbalanced,
      waitsFor: isUnbalanced && this.#isRepairing() ? 'repair' : undefined,
      movingBlocks: this.#moves.size,
      movingBytes,
      movedBlocks: this.#movedBlocks,
      movedBytes: this.#movedBytes,
      plan,
      fills,
    }
  }

  #isRepairing(): boolean {
    return dangers.some((danger) => danger !== 'lost' && this.#repair.queues.length(danger) > 0)
  }

  #plan(fills = this.#fills()): BalancePlan<DatanodeRecord> {
    return planBalance(fills, this.#thresholdPercent / 100)
  }

  /** Datanodes in service, as full as they will be when what is under way is done. */
  #fills(): readonly NodeFill<DatanodeRecord>[] {
    const coming = new Map<DatanodeRecord, number>()
    const add = (node: DatanodeRecord, bytes: number): void => {
      coming.set(node, (coming.get(node) ?? 0) + bytes)
    }
    for (const move of [...this.#moves.values(), ...this.#unseen.keys()]) {
      if (!isShown(move.source, move.goneAt)) add(move.source.node, -move.bytes)
      if (!isShown(move.target, move.arrivedAt)) add(move.target.node, move.bytes)
    }
    const fills: NodeFill<DatanodeRecord>[] = []
    for (const node of this.#registry.nodes()) {
      if (node.liveness !== 'live' || node.adminState !== 'normal' || !node.hasHeartbeat) continue
      let used = coming.get(node) ?? 0
      for (const storage of node.storages.values()) if (!storage.isFailed) used += storage.used
      fills.push({ node, capacity: node.capacity, used: Math.max(0, used) })
    }
    return fills
  }

  /** Forgets a move that has come to nothing, and has one that is done wait for heartbeats that show it. */
  #follow(now: Millis, id: BlockId, move: Move): void {
    const at = this.#ledger.map.find(id)
    if (at === undefined || this.#ledger.map.kind(at) !== 'complete') {
      this.#moves.delete(id)
      return
    }
    const { source, target, bytes } = move
    const { good, wanted } = assess(this.#ledger, this.#registry, at)
    const hasArrived = good.some(({ node }) => node === target.node)
    const isComing = this.#repair.pending.of(id).some((copy) => copy.target.node === target.node)
    const hasLeft = !good.includes(source)
    if (hasArrived) move.arrivedAt ??= now
    if (hasArrived && hasLeft) {
      this.#movedBlocks += 1
      this.#movedBytes += bytes
      this.#unseen.set(move, id)
    }
    // The copy may have taken the place of a replica that was lost meanwhile: nothing is left to be trimmed.
    const isNeeded = hasArrived && good.length <= wanted
    if (hasLeft || isNeeded || (!hasArrived && !isComing)) this.#moves.delete(id)
  }

  /**
   * Forgets a move that is over when both of its datanodes have said how full they are since, or when the source
   * keeps the replica after all.
   */
  #settle(now: Millis, id: BlockId, move: Move): void {
    const { map } = this.#ledger
    const at = map.find(id)
    const words = at === undefined ? [] : map.replicas(at)
    const left = words.find((word) => this.#registry.storage(storageOf(word)) === move.source)
    if (left === undefined) move.goneAt ??= now
    const isKept = left !== undefined && !isGoing(left)
    const isDone = isShown(move.source, move.goneAt) && isShown(move.target, move.arrivedAt)
    const isLost = [move.source, move.target].some(({ node }) => node.liveness === 'dead')
    if (isKept || isDone || isLost) this.#unseen.delete(move)
  }

  /** Looks at a bounded number of blocks, from where the last search ended, for such that can be moved. */
  #start(now: Millis, open: OpenFlows): void {
    const marks = this.#marksOf(open.sources())
    const { map } = this.#ledger
    const steps = Math.min(limits.balancedBlocksPerTickMax, map.slotLimit)
    for (let step = 0; step < steps; step += 1) {
      if (this.#budgetBytes <= 0 || this.#moves.size >= limits.balanceMovesMax) return
      if (this.#cursor >= map.slotLimit) this.#cursor = 0
      const at = map.usedSlot(this.#cursor)
      this.#cursor += 1
      if (at === undefined || map.kind(at) !== 'complete' || !map.isOnAny(at, marks)) continue
      this.#tryMove(now, at, open)
    }
  }

  #marksOf(nodes: Iterable<DatanodeRecord>): Uint8Array {
    const indexes = [...nodes].flatMap(({ storages }) =>
      [...storages.values()].map(({ index }) => index),
    )
    const marks = new Uint8Array(Math.max(0, ...indexes) + 1)
    for (const index of indexes) marks[index] = 1
    return marks
  }

  #tryMove(now: Millis, at: Slot, open: OpenFlows): void {
    const id = this.#ledger.map.id(at)
    const bytes = this.#ledger.map.length(at)
    if (bytes === 0 || this.#moves.has(id)) return
    const health = assess(this.#ledger, this.#registry, at)
    if (!this.#isQuiet(id, health)) return
    for (const source of health.good) {
      for (const to of open.targetsFor(source.node, bytes)) {
        if (!keepsRacks(health, source, to)) continue
        if (!this.#rounds.hasRoomToReceive(to, bytes)) continue
        const sender = [source, ...health.good].find(
          ({ node }) => node.liveness === 'live' && this.#rounds.hasRoomToSend(node, bytes),
        )
        const target = this.#rounds.placeOn(to, at, health)
        if (sender === undefined || target === undefined) continue
        open.moved(source.node, to, bytes)
        this.#budgetBytes -= bytes
        this.#moves.set(id, { source, target, bytes })
        this.#rounds.order(now, at, sender, [target])
        return
      }
    }
  }

  /** The block needs nothing, and everything about it is certain. */
  #isQuiet(id: BlockId, health: BlockHealth): boolean {
    const { wanted, good, trusted, leaving, maintained, uncounted, corrupt } = health
    return (
      good.length === wanted &&
      trusted.length === wanted &&
      leaving.length + maintained.length + uncounted.length + corrupt.length === 0 &&
      this.#repair.queues.dangerOf(id) === undefined &&
      !this.#repair.isPostponed(id) &&
      this.#repair.pending.of(id).length === 0
    )
  }
}

/** What is left of a plan while blocks are found for it. */
class OpenFlows {
  readonly #flows = new Map<DatanodeRecord, Map<DatanodeRecord, number>>()
  /** Bytes that a datanode is below the average. */
  readonly #room = new Map<DatanodeRecord, number>()

  constructor(
    { flows, average }: BalancePlan<DatanodeRecord>,
    fills: readonly NodeFill<DatanodeRecord>[],
  ) {
    for (const { source, target, bytes } of flows) {
      const targets = this.#flows.get(source) ?? new Map<DatanodeRecord, number>()
      this.#flows.set(source, targets.set(target, bytes))
    }
    for (const { node, capacity, used } of fills) this.#room.set(node, average * capacity - used)
  }

  sources(): Iterable<DatanodeRecord> {
    return this.#flows.keys()
  }

  /**
   * Where a block of `bytes` may go: where the plan says, else to any datanode with room for it below the average, because those of the plan may
   * have every block that the source has.
   */
  *targetsFor(source: DatanodeRecord, bytes: number): Generator<DatanodeRecord, undefined> {
    const planned = this.#flows.get(source) ?? new Map<DatanodeRecord, number>()
    for (const [target, flow] of planned) if (flow >= bytes / 2) yield target
    const total = [...planned.values()].reduce((sum, flow) => sum + flow, 0)
    if (total < bytes / 2) return undefined
    for (const [target, room] of this.#room) {
      if (room >= bytes && (planned.get(target) ?? 0) < bytes / 2) yield target
    }
    return undefined
  }

  moved(source: DatanodeRecord, target: DatanodeRecord, bytes: number): void {
    const targets = this.#flows.get(source)
    targets?.set(target, (targets.get(target) ?? 0) - bytes)
    this.#room.set(target, (this.#room.get(target) ?? 0) - bytes)
  }
}

/** The datanode has said how full it is since then; never before it happened. */
function isShown({ node }: StorageRecord, since: Millis | undefined): boolean {
  return since !== undefined && node.lastHeartbeatAt > since
}

/** Without `source` and with `target` the block is on as many racks as placement asks for. */
function keepsRacks(health: BlockHealth, source: StorageRecord, target: DatanodeRecord): boolean {
  const before = new Set(health.good.map(({ node }) => node.rack))
  const after = new Set([target.rack])
  for (const storage of health.good) if (storage !== source) after.add(storage.node.rack)
  return after.size >= Math.min(before.size, 2)
}
