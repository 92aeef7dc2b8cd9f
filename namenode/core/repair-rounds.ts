/**
 * A tick's share of copying: takes endangered blocks from the queues, most dangerous first, and orders
 * copies as far as their sources and targets have room.
 *
 *     queue ──▶ needs nothing any more   settled
 *               may still be reported    waits        (right after a start)
 *               no source with room      no-source    put behind the others of its queue
 *               no target with room      no-target    the same; a corrupt replica may make room
 *               else                     ordered      transfer order and pending copy
 *
 * How much a datanode may have outstanding follows from its measured speed, both as a source and as a
 * target (`copy-speed`), divided while clients keep it busy. Why a block was passed over is remembered
 * until it is helped, for those who ask.
 */
import { type Millis, millis } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { Slot } from './block-map.ts'
import { isCondemned } from './corrupt-replicas.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { CopyLoad, PendingCopy } from './pending-copies.ts'
import { choosePlacement, type PlacementContext, type Refusal, refusalsOf } from './placement.ts'
import {
  assess,
  type BlockHealth,
  type Danger,
  dangers,
  missingCount,
  sourcesOf,
} from './redundancy.ts'
import type { Repair } from './repair.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

export interface RepairRoundsOptions {
  readonly settings: Settings
  readonly prng: Prng
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
}

/** Whether a block must not be touched yet. */
export type WaitTest = (id: BlockId, health: BlockHealth) => boolean

type Attempt = 'ordered' | 'settled' | Hindrance
/** Why a queued block was not helped at its last turn. */
export type Hindrance = 'waits' | 'no-source' | 'no-target'

const busyTransfers = 16
const veryBusyTransfers = 64
/** A queue whose blocks cannot be helped, so many in a row, is left alone until the next round. */
const fruitlessAttemptsMax = 200
/** After a round that could do nothing at all. */
const fruitlessPauseMs = 1000

/** Rounds over the redundancy queues. */
export class RepairRounds {
  readonly #streamsMax: number
  readonly #prng: Prng
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #repair: Repair
  readonly #hindrances = new Map<BlockId, { readonly at: Millis; readonly why: Hindrance }>()
  #pausedUntil = millis(0)

  constructor({ settings, prng, registry, ledger, repair }: RepairRoundsOptions) {
    this.#streamsMax = settings['dfs.namenode.replication.max-streams']
    this.#prng = prng
    this.#registry = registry
    this.#ledger = ledger
    this.#repair = repair
  }

  /** No round takes place before this. */
  get pausedUntil(): Millis {
    return this.#pausedUntil
  }

  /** What kept a queued block from being helped, and when that was. */
  hindranceOf(id: BlockId): { readonly at: Millis; readonly why: Hindrance } | undefined {
    return this.#repair.queues.dangerOf(id) === undefined ? undefined : this.#hindrances.get(id)
  }

  /** Orders copies for the most endangered blocks. */
  run(now: Millis, isWaiting: WaitTest): void {
    if (now < this.#pausedUntil) return
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
    if (examinedCount === 0) this.#hindrances.clear()
  }

  /** Whether a datanode may be given another copy to send. */
  hasRoomToSend(node: DatanodeRecord, length: number): boolean {
    const load = this.#load(node)
    const { count, bytes } = load.outSpeed.allowance
    const countMax = this.#streamsMax > 0 ? this.#streamsMax : share(count, node)
    return (
      Math.max(load.outCount, node.copies) < countMax &&
      (load.outBytes === 0 || load.outBytes + length <= share(bytes, node))
    )
  }

  /** Whether a datanode may be given another copy to receive. */
  hasRoomToReceive(node: DatanodeRecord, length: number): boolean {
    const load = this.#load(node)
    const { count, bytes } = load.inSpeed.allowance
    return (
      load.inCount < share(count, node) &&
      (load.inBytes === 0 || load.inBytes + length <= share(bytes, node))
    )
  }

  /** A storage of `node` that takes another replica of the block; undefined when it does not. */
  placeOn(node: DatanodeRecord, at: Slot, health: BlockHealth): StorageRecord | undefined {
    const pending = this.#repair.pending.of(this.#ledger.map.id(at))
    const existing = [...occupiedNodes(health, pending)]
    const blockSizeBytes = this.#ledger.map.length(at)
    const request = { ...noWishes, count: 1, blockSizeBytes, existing }
    return choosePlacement([node], request, this.#placementContext()).targets[0]
  }

  /** Gives an order to copy a block, and expects its effect. */
  order(
    now: Millis,
    at: Slot,
    source: StorageRecord,
    targets: readonly StorageRecord[],
    isUrgent = false,
  ): void {
    const id = this.#ledger.map.id(at)
    const length = this.#ledger.map.length(at)
    const generationStamp = this.#ledger.map.generationStamp(at)
    const deadline = this.#deadline(now, source.node, length * targets.length)
    for (const target of targets) {
      this.#repair.pending.add(id, {
        ...{ target, source: source.node, bytes: length },
        ...{ since: now, deadline },
      })
    }
    source.node.orders.transfer({
      kind: 'transfer',
      block: { id, generationStamp, length },
      source: source.uuid,
      targets: targets.map(({ node, uuid }) => ({ datanode: node.uuid, storage: uuid })),
      isUrgent,
    })
  }

  /** Why no datanode takes another replica of a block, datanode by datanode. Draws nothing. */
  refusals(id: BlockId): readonly Refusal[] {
    const at = this.#ledger.map.find(id)
    if (at === undefined) return []
    const health = assess(this.#ledger, this.#registry, at)
    const length = this.#ledger.map.length(at)
    const existing = [...occupiedNodes(health, this.#repair.pending.of(id))]
    const request = { ...noWishes, count: 1, blockSizeBytes: length, existing }
    return refusalsOf(this.#registry.nodes(), request, this.#placementContext(), (node) =>
      this.hasRoomToReceive(node, length) ? undefined : 'receives as many copies as it can',
    )
  }

  #runQueue(
    now: Millis,
    danger: Danger,
    turnsMax: number,
    isWaiting: WaitTest,
  ): { readonly examined: number; readonly helped: number } {
    const { queues } = this.#repair
    const turns = Math.min(turnsMax, queues.length(danger))
    let [examined, helped, fruitless] = [0, 0, 0]
    while (examined < turns && fruitless < fruitlessAttemptsMax) {
      const id = queues.first(danger)
      if (id === undefined) break
      examined += 1
      const attempt = this.#attempt(now, id, isWaiting)
      if (attempt === 'ordered' || attempt === 'settled') {
        this.#hindrances.delete(id)
        helped += 1
        fruitless = 0
      } else {
        this.#hindrances.set(id, { at: now, why: attempt })
        fruitless += 1
        queues.postpone(id)
      }
    }
    return { examined, helped }
  }

  #attempt(now: Millis, id: BlockId, isWaiting: WaitTest): Attempt {
    const { queues } = this.#repair
    const danger = queues.dangerOf(id)
    this.#repair.examine(now, id)
    if (danger !== queues.dangerOf(id)) return 'settled'
    const at = this.#ledger.map.find(id)
    if (at === undefined) return 'settled'
    const health = assess(this.#ledger, this.#registry, at)
    if (isWaiting(id, health)) return 'waits'
    const source = this.#chooseSource(health, this.#ledger.map.length(at))
    if (source === undefined) return 'no-source'
    const targets = this.#chooseTargets(at, health, danger === 'badly-distributed')
    if (targets.length === 0) {
      this.#makeRoom(at, health)
      return 'no-target'
    }
    this.order(now, at, source, targets, danger === 'last-replica')
    this.#repair.examine(now, id)
    return 'ordered'
  }

  /** The readable replica on the live datanode that copies least, if it may copy more. */
  #chooseSource(health: BlockHealth, length: number): StorageRecord | undefined {
    let best: StorageRecord | undefined
    for (const storage of sourcesOf(health)) {
      if (storage.node.liveness !== 'live' || !this.hasRoomToSend(storage.node, length)) continue
      if (best === undefined || this.#outBytes(storage) < this.#outBytes(best)) best = storage
    }
    return best
  }

  #chooseTargets(at: Slot, health: BlockHealth, needsRack: boolean): readonly StorageRecord[] {
    const id = this.#ledger.map.id(at)
    const pending = this.#repair.pending.of(id)
    const count = needsRack ? 1 : missingCount(health, pending)
    if (count <= 0) return []
    const length = this.#ledger.map.length(at)
    const goodNodes = health.good.map(({ node }) => node)
    const existing = [...occupiedNodes(health, pending)]
    const open: DatanodeRecord[] = []
    for (const node of this.#registry.nodes()) {
      if (needsRack && goodNodes.some(({ rack }) => rack === node.rack)) continue
      if (this.hasRoomToReceive(node, length)) open.push(node)
    }
    const failed = this.#repair.failedTargetsOf(id)
    const untried = open.filter((node) => !failed.includes(node))
    for (const nodes of failed.length === 0 ? [open] : [untried, open]) {
      const request = { ...noWishes, count, blockSizeBytes: length, existing }
      const { targets } = choosePlacement(nodes, request, this.#placementContext())
      if (targets.length > 0) return targets
    }
    return []
  }

  /**
   * No datanode can take another copy because one of them holds a corrupt one: with a good replica
   * certain elsewhere, the corrupt one makes room.
   */
  #makeRoom(at: Slot, health: BlockHealth): void {
    if (health.trusted.length === 0) return
    const length = this.#ledger.map.length(at)
    const occupied = occupiedNodes(health, this.#repair.pending.of(this.#ledger.map.id(at)))
    for (const node of this.#registry.nodes()) {
      const mayTakeOneLater =
        node.liveness !== 'dead' && node.adminState === 'normal' && node.remaining >= length
      if (mayTakeOneLater && !occupied.has(node)) return
    }
    const first = health.corrupt
      .filter(isCondemned)
      .find(({ storage }) => storage.node.liveness === 'live')
    if (first !== undefined && !first.isGoing) this.#repair.condemnCorrupt(at, first.storage)
  }

  #placementContext(): PlacementContext {
    return {
      prng: this.#prng,
      rackCount: this.#registry.rackCount,
      silenceMs: () => 0,
      incomingBytes: (node) => this.#load(node).inBytes,
    }
  }

  /** When a copy ordered now is taken for lost: it waits for what its source has to send before. */
  #deadline(now: Millis, source: DatanodeRecord, bytes: number): Millis {
    const { outBytes, outSpeed } = this.#load(source)
    const slowest = Math.max(limits.copyBytesPerSecondMin, outSpeed.expectedBytesPerSecond / 8)
    return millis(now + limits.copyTimeoutMs + Math.ceil(((outBytes + bytes) * 1000) / slowest))
  }

  #outBytes(storage: StorageRecord): number {
    return this.#load(storage.node).outBytes
  }

  #load(node: DatanodeRecord): Readonly<CopyLoad> {
    return this.#repair.pending.load(node)
  }
}

/** Nobody in particular writes a repair's copy. */
const noWishes = { clientHost: '', excluded: new Set<never>(), favored: [] }

/** Datanodes that have, had or will have a replica of the block; good ones first. */
function occupiedNodes(
  health: BlockHealth,
  pending: readonly PendingCopy[],
): ReadonlySet<DatanodeRecord> {
  return new Set([
    ...health.good.map(({ node }) => node),
    ...health.leaving.map(({ node }) => node),
    ...health.maintained.map(({ node }) => node),
    ...pending.map(({ target }) => target.node),
    ...health.uncounted.map(({ node }) => node),
    ...health.corrupt.map(({ storage }) => storage.node),
  ])
}

/** The part of an allowance that is left for copying while clients use the datanode. */
function share(allowance: number, node: DatanodeRecord): number {
  const divisor = node.transfers >= veryBusyTransfers ? 4 : node.transfers >= busyTransfers ? 2 : 1
  return Math.max(1, Math.floor(allowance / divisor))
}
