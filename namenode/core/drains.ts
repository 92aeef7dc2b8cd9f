/**
 * How far datanodes that are being drained have got, and when they are done. There is no list of blocks
 * per datanode; passes over the block map count what is left, a bounded piece a tick, over and over while
 * somebody is being drained.
 *
 *     pass: every complete block with a replica on a datanode being drained: enough elsewhere?
 *     end of a pass, in one piece: the same for every open block, and for replicas that are still to be
 *     reported; then progress, and who is done
 *
 * A goal is reached only by a pass that found nothing left and during which nothing got worse: a block
 * may lose a replica behind the pass's back, or an open block become complete. Whoever notices such a
 * thing disturbs the pass, and the next one decides. A datanode that has not reported every storage
 * since it registered, or was not heard of since the namenode started, cannot be done: what it holds
 * is not known. Invariants B16 and B17.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId, DatanodeUuid } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { isGoing, type Slot, storageOf } from './block-map.ts'
import type { DatanodeRow } from './changes.ts'
import type { DatanodeGoals } from './datanode-goals.ts'
import type { DatanodeRecord, DatanodeRegistry } from './datanode-registry.ts'
import type { OpenBlock } from './open-blocks.ts'
import { pipelineOf } from './open-pipelines.ts'
import type { PendingCopies } from './pending-copies.ts'
import { assess, type BlockHealth } from './redundancy.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

/** What is left on one datanode. */
export interface DrainProgress {
  readonly blocks: number
  readonly bytes: number
  /** The part of `blocks` that is being written. */
  readonly openBlocks: number
  /** Some of those blocks, in the order of the map. */
  readonly sample: readonly BlockId[]
  /** Blocks left when the first pass after the request looked. */
  readonly blocksAtStart: number
  readonly bytesPerSecond: number
  /** Milliseconds until nothing is left at that rate; `undefined` while nothing moves. */
  readonly etaMs: number | undefined
}

interface Tally {
  blocks: number
  bytes: number
  openBlocks: number
  readonly sample: BlockId[]
}

interface Pass {
  readonly tallies: Map<DatanodeRecord, Tally>
  /** 1 at the index of each storage of a datanode being drained. */
  readonly marks: Uint8Array
  cursor: number
  isDisturbed: boolean
}

interface History {
  readonly blocksAtStart: number
  /** Of recent passes, oldest first. */
  readonly points: { readonly at: Millis; readonly bytes: number }[]
  last: Tally
}

const samplesMax = 100
/** Between the end of a pass and the beginning of the next. */
const passPauseMs = 1000
/** The rate is measured over this time. */
const rateWindowMs = 60_000
/** Other replicas that make an open block safe from its datanode's leaving, if its file wants as many. */
const openReplicasMin = 2

export interface DrainParts {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly goals: DatanodeGoals
  readonly pending: PendingCopies
}

/** Passes, progress, and goals that were found reached. */
export class Drains {
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #goals: DatanodeGoals
  readonly #pending: PendingCopies
  readonly #histories = new Map<DatanodeUuid, History>()
  #pass: Pass | undefined
  #pausedUntil = 0
  #reached: readonly DatanodeUuid[] = []

  constructor({ registry, ledger, goals, pending }: DrainParts) {
    this.#registry = registry
    this.#ledger = ledger
    this.#goals = goals
    this.#pending = pending
  }

  /** A datanode, storage or goal changed: what the pass under way saw so far may not hold any more. */
  disturb(): void {
    this.#reached = []
    if (this.#pass !== undefined) this.#pass.isDisturbed = true
  }

  /** The replicas of a complete block changed. */
  examined(at: Slot, health: BlockHealth): void {
    const pass = this.#pass
    if (pass === undefined || pass.isDisturbed || !this.#ledger.map.isOnAny(at, pass.marks)) return
    if (this.#nodesLeft(at, health, pass).length > 0) pass.isDisturbed = true
  }

  /** Forgets the progress of a datanode whose goal changed. */
  forget(uuid: DatanodeUuid): void {
    this.#histories.delete(uuid)
  }

  /** Rows of goals that are reached as of now; they become durable and come back through `put`. */
  reachedGoals(): readonly DatanodeRow[] {
    const rows: DatanodeRow[] = []
    for (const uuid of this.#reached) {
      const row = this.#goals.row(uuid)
      if (row !== undefined && !row.isReached) rows.push({ ...row, isReached: true })
    }
    return rows
  }

  /** A bounded piece of a pass. `isSettled`: every row is known, and start-up safe mode is over. */
  tick(now: Millis, isSettled: boolean): void {
    this.#reached = []
    if (!isSettled) return
    if (this.#pass === undefined && now >= this.#pausedUntil) this.#pass = this.#begin()
    const pass = this.#pass
    if (pass === undefined) return
    const { map } = this.#ledger
    const end = Math.min(map.slotLimit, pass.cursor + limits.scannedBlocksPerTickMax)
    let visits = 0
    for (; pass.cursor < end && visits < limits.visitedBlocksPerTickMax; pass.cursor += 1) {
      const at = map.usedSlot(pass.cursor)
      if (at === undefined || map.kind(at) !== 'complete' || !map.isOnAny(at, pass.marks)) continue
      visits += 1
      this.#visit(at, pass)
    }
    if (pass.cursor >= map.slotLimit) this.#finish(now, pass)
  }

  /** Progress of a datanode being drained; `undefined` before its first pass has ended. */
  progress(uuid: DatanodeUuid): DrainProgress | undefined {
    const history = this.#histories.get(uuid)
    if (history === undefined) return undefined
    const { last, points, blocksAtStart } = history
    const [first, newest] = [points[0], points.at(-1)]
    let bytesPerSecond = 0
    if (first !== undefined && newest !== undefined && newest.at > first.at) {
      bytesPerSecond = Math.floor(
        (Math.max(0, first.bytes - newest.bytes) * 1000) / (newest.at - first.at),
      )
    }
    const etaMs = bytesPerSecond === 0 ? undefined : Math.ceil((last.bytes * 1000) / bytesPerSecond)
    return { ...last, blocksAtStart, bytesPerSecond, etaMs }
  }

  /** Why a datanode cannot be done whatever is left on it; `undefined` when it can. */
  obstacle(uuid: DatanodeUuid): string | undefined {
    const node = this.#registry.find(uuid)
    if (node === undefined || !node.hasHeartbeat) {
      return 'it was not heard of since the namenode started, and what it holds is not known'
    }
    for (const storage of node.storages.values()) {
      if (!storage.isFailed && !storage.isReported) {
        return 'it has not reported all of its blocks since it registered'
      }
    }
    return undefined
  }

  /** Open blocks that hold up the draining of some datanode. */
  openBlocks(): readonly BlockId[] {
    const pass = this.#begin()
    if (pass === undefined) return []
    const found: BlockId[] = []
    for (const [id, block] of this.#ledger.open.entries()) {
      if (this.#nodesHeldUpBy(id, block, pass).length > 0) found.push(id)
    }
    return found
  }

  #begin(): Pass | undefined {
    const tallies = new Map<DatanodeRecord, Tally>()
    let last = 0
    for (const node of this.#registry.nodes()) {
      if (!isBeingDrained(node)) continue
      tallies.set(node, { blocks: 0, bytes: 0, openBlocks: 0, sample: [] })
      for (const { index } of node.storages.values()) last = Math.max(last, index)
    }
    if (tallies.size === 0) return undefined
    const marks = new Uint8Array(last + 1)
    for (const node of tallies.keys()) {
      for (const { index } of node.storages.values()) marks[index] = 1
    }
    return { tallies, marks, cursor: 0, isDisturbed: false }
  }

  #visit(at: Slot, pass: Pass): void {
    const { map } = this.#ledger
    // The file's row is not known yet, and with it how many replicas are enough.
    if (map.replication(at) === 0) pass.isDisturbed = true
    const health = assess(this.#ledger, this.#registry, at)
    for (const tally of this.#nodesLeft(at, health, pass)) {
      add(tally, map.id(at), map.length(at))
    }
  }

  /** Tallies of the datanodes that this block holds up. */
  #nodesLeft(at: Slot, health: BlockHealth, { tallies }: Pass): readonly Tally[] {
    const left: Tally[] = []
    for (const word of this.#ledger.map.replicas(at)) {
      const { node } = this.#registry.storage(storageOf(word))
      const tally = tallies.get(node)
      if (tally === undefined || isGoing(word)) continue
      if (health.good.length < this.#goodNeeded(node, health)) left.push(tally)
    }
    return left
  }

  #goodNeeded({ adminState }: DatanodeRecord, { needed, wanted }: BlockHealth): number {
    if (adminState === 'decommission-in-progress') return needed
    return Math.min(this.#registry.maintenanceReplicationMin, wanted)
  }

  #finish(now: Millis, pass: Pass): void {
    const { map, open } = this.#ledger
    for (const [id, block] of open.entries()) {
      const at = map.find(id)
      if (at === undefined) continue
      for (const tally of this.#nodesHeldUpBy(id, block, pass)) {
        tally.openBlocks += 1
        add(tally, id, map.length(at))
      }
    }
    this.#addUnreported(pass)
    this.#pass = undefined
    this.#pausedUntil = now + passPauseMs
    const reached: DatanodeUuid[] = []
    for (const [node, tally] of pass.tallies) {
      if (!isBeingDrained(node)) continue
      this.#record(now, node.uuid, tally)
      const isDone = tally.blocks === 0 && this.obstacle(node.uuid) === undefined
      if (isDone && !pass.isDisturbed) reached.push(node.uuid)
    }
    this.#reached = reached
  }

  /**
   * Complete blocks whose replicas on datanodes being drained are known of, from a pipeline or a recovery, and still to be
   * reported: no replica in the map says so yet.
   */
  #addUnreported(pass: Pass): void {
    const { map } = this.#ledger
    for (const [id, copies] of this.#pending.entries()) {
      const at = map.find(id)
      if (at === undefined || map.kind(at) !== 'complete') continue
      for (const { source, target } of copies) {
        const tally = source === undefined ? pass.tallies.get(target.node) : undefined
        if (tally === undefined) continue
        const health = assess(this.#ledger, this.#registry, at)
        if (health.good.length < this.#goodNeeded(target.node, health))
          add(tally, id, map.length(at))
      }
    }
  }

  /** An open block on a datanode is left there until enough others have its newest version and write it, too. */
  #nodesHeldUpBy(id: BlockId, block: OpenBlock, { tallies }: Pass): readonly Tally[] {
    const { map } = this.#ledger
    const at = map.find(id)
    if (at === undefined || map.kind(at) === 'complete') return []
    const damaged = new Set(
      block.replicas.filter(({ isCorrupt }) => isCorrupt).map(({ storage }) => storage.node),
    )
    const nodes = new Set(block.replicas.map(({ storage }) => storage.node))
    let staying = 0
    for (const { node } of pipelineOf(id, { registry: this.#registry, ledger: this.#ledger })) {
      nodes.add(node)
      const isStaying = node.adminState === 'normal' && node.liveness === 'live'
      if (isStaying && !damaged.has(node)) staying += 1
    }
    const left: Tally[] = []
    for (const node of nodes) {
      const tally = tallies.get(node)
      if (tally === undefined) continue
      const isLeaving = node.adminState === 'decommission-in-progress'
      const least = isLeaving ? openReplicasMin : this.#registry.maintenanceReplicationMin
      if (staying < Math.min(least, Math.max(1, map.replication(at)))) left.push(tally)
    }
    return left
  }

  #record(now: Millis, uuid: DatanodeUuid, tally: Tally): void {
    const known = this.#histories.get(uuid)
    const history = known ?? { blocksAtStart: tally.blocks, points: [], last: tally }
    if (known === undefined) this.#histories.set(uuid, history)
    history.last = tally
    history.points.push({ at: now, bytes: tally.bytes })
    while (history.points.length > 2 && now - (history.points[0]?.at ?? now) > rateWindowMs) {
      history.points.shift()
    }
  }
}

function isBeingDrained({ adminState }: DatanodeRecord): boolean {
  return adminState === 'decommission-in-progress' || adminState === 'entering-maintenance'
}

function add(tally: Tally, id: BlockId, length: number): void {
  tally.blocks += 1
  tally.bytes += length
  if (tally.sample.length < samplesMax) tally.sample.push(id)
}
