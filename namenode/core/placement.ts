/**
 * Where new replicas go. A pure function of the datanodes' records, the request and the generator.
 *
 *     1st replica   a favored datanode, else the writer's own, else any
 *     2nd replica   another rack than the first
 *     3rd replica   the second's rack, when the first two are apart
 *     further       racks that hold few of them
 *
 * Never two replicas of a block on one datanode. Among equals the choice is random, weighted by free
 * space and by load. Datanodes that come and go are taken when there is no other. A preference that nobody meets is dropped; a refusal is final and has a reason.
 */
import { assert } from '../../base/assert.ts'
import type { Prng } from '../../base/prng.ts'
import type { DatanodeUuid } from '../../protocol/ids.ts'
import type { DatanodeRecord, StorageRecord } from './datanode-registry.ts'

export interface PlacementRequest {
  /** Replicas to place in addition to `existing`. */
  readonly count: number
  readonly blockSizeBytes: number
  /** Host of the writer; empty when nobody in particular writes. */
  readonly clientHost: string
  readonly excluded: ReadonlySet<DatanodeUuid>
  /** `host` or `host:port` of datanodes to prefer. */
  readonly favored: readonly string[]
  /** Datanodes that have, had or will have a replica of the block, first one first. */
  readonly existing: readonly DatanodeRecord[]
}

export interface PlacementContext {
  readonly prng: Prng
  /** Racks with a datanode that is not dead. */
  readonly rackCount: number
  readonly silenceMs: (node: DatanodeRecord) => number
  /** Copies on their way to the datanode, bytes. */
  readonly incomingBytes: (node: DatanodeRecord) => number
}

export interface Refusal {
  /** `host:port`. */
  readonly datanode: string
  readonly reason: string
}

export interface Placement {
  readonly targets: readonly StorageRecord[]
  /** Every datanode that was not chosen, with the reason; empty when `count` targets were found. */
  readonly refusals: readonly Refusal[]
}

interface Candidate {
  readonly node: DatanodeRecord
  readonly weight: number
}

const mebibyte = 1024 * 1024
const spaceUnitBytes = 64 * mebibyte
const weightMax = 1 << 20
const loadScale = 8
const loadFactorMax = 32
/**
 * Share of a block that is set aside for each block promised to a storage and not received. Most
 * blocks of small files never fill; setting whole blocks aside would refuse them on a half-empty disk.
 */
const promisedShare = 8

/** Chooses up to `count` storages, in pipeline order. */
export function choosePlacement(
  nodes: Iterable<DatanodeRecord>,
  request: PlacementRequest,
  context: PlacementContext,
): Placement {
  const all = [...nodes]
  const existing = new Set(request.existing)
  const isEligible = (node: DatanodeRecord): boolean =>
    isUsable(node, request, existing) && freeBytes(node, request, context) >= needed(request)
  const eligible = all.filter(isEligible)
  const chosen: DatanodeRecord[] = []
  for (const isSteady of [true, false]) {
    let candidates = weigh(eligible.filter((node) => node.isSteady === isSteady))
    while (chosen.length < request.count && candidates.length > 0) {
      const placed = [...request.existing, ...chosen]
      const preferred = preferredCandidates(candidates, placed, request, context)
      const { node } = pickWeighted(preferred, context.prng)
      chosen.push(node)
      candidates = candidates.filter((candidate) => candidate.node !== node)
    }
  }
  const targets = chosen.map((node) => pickStorage(node, request, context.prng))
  if (chosen.length === request.count) return { targets, refusals: [] }
  const refused = all.filter((node) => !chosen.includes(node))
  return {
    targets,
    refusals: refused.map((node) => ({
      datanode: node.name,
      reason: refusalReason(node, request, existing, context),
    })),
  }
}

/**
 * Why each datanode would not be chosen, as `choosePlacement` says it; `hindrance` may add a reason. A
 * datanode that would be chosen is not mentioned.
 */
export function refusalsOf(
  nodes: Iterable<DatanodeRecord>,
  request: PlacementRequest,
  context: PlacementContext,
  hindrance: (node: DatanodeRecord) => string | undefined,
): readonly Refusal[] {
  const existing = new Set(request.existing)
  const refusals: Refusal[] = []
  for (const node of nodes) {
    const isChosen =
      isUsable(node, request, existing) && freeBytes(node, request, context) >= needed(request)
    const reason = isChosen ? hindrance(node) : refusalReason(node, request, existing, context)
    if (reason !== undefined) refusals.push({ datanode: node.name, reason })
  }
  return refusals
}

function isUsable(
  node: DatanodeRecord,
  request: PlacementRequest,
  existing: ReadonlySet<DatanodeRecord>,
): boolean {
  return (
    node.liveness === 'live' &&
    node.adminState === 'normal' &&
    node.hasHeartbeat &&
    !request.excluded.has(node.uuid) &&
    !existing.has(node)
  )
}

function refusalReason(
  node: DatanodeRecord,
  request: PlacementRequest,
  existing: ReadonlySet<DatanodeRecord>,
  context: PlacementContext,
): string {
  if (existing.has(node)) return 'already has a replica'
  const silentSeconds = Math.floor(context.silenceMs(node) / 1000)
  switch (node.liveness) {
    case 'dead':
      return `dead: silent for ${silentSeconds} s`
    case 'disconnected':
      return 'disconnected'
    case 'stale':
      return `stale: silent for ${silentSeconds} s`
    case 'live':
  }
  if (request.excluded.has(node.uuid)) return 'excluded by the client'
  if (node.adminState !== 'normal') return node.adminState
  if (!node.hasHeartbeat) return 'no heartbeat yet'
  const storages = [...node.storages.values()].filter((storage) => !storage.isFailed)
  if (storages.length === 0) return 'no working storage'
  const free = Math.floor(Math.max(0, freeBytes(node, request, context)) / mebibyte)
  return `full: ${free} MiB free, ${Math.ceil(needed(request) / mebibyte)} MiB needed`
}

function needed(request: PlacementRequest): number {
  return Math.max(1, request.blockSizeBytes)
}

/** Free bytes of the datanode's emptiest storage, less what is promised and on its way. */
function freeBytes(
  node: DatanodeRecord,
  request: PlacementRequest,
  context: PlacementContext,
): number {
  let most = 0
  for (const storage of node.storages.values()) {
    most = Math.max(most, freeOnStorage(storage, request))
  }
  return most - context.incomingBytes(node)
}

function freeOnStorage(storage: StorageRecord, request: PlacementRequest): number {
  if (storage.isFailed) return 0
  const promised = Math.ceil((storage.scheduledCount * request.blockSizeBytes) / promisedShare)
  return Math.max(0, storage.remaining - promised)
}

/** Weights: free share of the space, times how idle the datanode is compared with the others. */
function weigh(nodes: readonly DatanodeRecord[]): readonly Candidate[] {
  const loads = nodes.map(loadOf)
  const totalLoad = loads.reduce((sum, load) => sum + load, 0)
  const count = Math.max(1, nodes.length)
  return nodes.map((node, index) => {
    const freePercent = Math.floor((100 * node.remaining) / Math.max(1, node.capacity))
    const load = loads[index] ?? 0
    // loadScale * (1 + mean) / (1 + own), in integers.
    const idleness = Math.floor((loadScale * (count + totalLoad)) / (count * (1 + load)))
    const factor = Math.min(loadFactorMax, Math.max(1, idleness))
    return { node, weight: Math.min(100, Math.max(1, freePercent)) * factor }
  })
}

function loadOf(node: DatanodeRecord): number {
  let load = node.transfers
  for (const storage of node.storages.values()) load += storage.scheduledCount
  return load
}

/** The candidates that meet the first preference anybody meets; all of them when nobody does. */
function preferredCandidates(
  candidates: readonly Candidate[],
  placed: readonly DatanodeRecord[],
  request: PlacementRequest,
  context: PlacementContext,
): readonly Candidate[] {
  const favored = candidates.filter(({ node }) => isFavored(node, request.favored))
  if (favored.length > 0) return favored
  const wanted = candidates.filter(({ node }) => isWanted(node, placed, request, context))
  return wanted.length > 0 ? wanted : candidates
}

function isFavored(node: DatanodeRecord, favored: readonly string[]): boolean {
  return node.hosts.some(
    (host) => favored.includes(host) || favored.includes(`${host}:${node.descriptor.transferPort}`),
  )
}

function isWanted(
  node: DatanodeRecord,
  placed: readonly DatanodeRecord[],
  request: PlacementRequest,
  context: PlacementContext,
): boolean {
  const [first, second] = placed
  if (first === undefined) return node.hosts.includes(request.clientHost)
  if (context.rackCount < 2) return true
  if (second === undefined) return node.rack !== first.rack
  if (placed.length === 2) {
    return first.rack === second.rack ? node.rack !== first.rack : node.rack === second.rack
  }
  const totalCount = request.existing.length + request.count
  const perRackMax = Math.floor((totalCount - 1) / context.rackCount) + 2
  return placed.filter((other) => other.rack === node.rack).length < perRackMax
}

function pickWeighted(candidates: readonly Candidate[], prng: Prng): Candidate {
  let total = 0
  for (const { weight } of candidates) total += weight
  let drawn = prng.below(total)
  for (const candidate of candidates) {
    if (drawn < candidate.weight) return candidate
    drawn -= candidate.weight
  }
  assert(false, 'weights must add up')
}

/** A storage of the datanode with room for the block, weighted by free space. */
function pickStorage(node: DatanodeRecord, request: PlacementRequest, prng: Prng): StorageRecord {
  const roomy = [...node.storages.values()].filter(
    (storage) => !storage.isFailed && freeOnStorage(storage, request) >= needed(request),
  )
  const weights = roomy.map((storage) =>
    Math.min(weightMax, Math.max(1, Math.floor(storage.remaining / spaceUnitBytes))),
  )
  let drawn = prng.below(weights.reduce((sum, weight) => sum + weight, 0))
  for (const [index, storage] of roomy.entries()) {
    const weight = weights[index] ?? 0
    if (drawn < weight) return storage
    drawn -= weight
  }
  assert(false, 'weights must add up')
}
