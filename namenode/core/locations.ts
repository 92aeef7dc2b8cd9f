/**
 * Which replicas a reader is sent to, and in which order: live datanodes first, among them the
 * reader's own host, then its rack, then the others in random order; disconnected and stale ones after
 * all of them. Replicas on datanodes being drained come behind the live ones, drained ones last. Corrupt replicas are given only when there is nothing else, so that a reader can say
 * what is wrong rather than that nothing is there.
 */
import type { Prng } from '../../base/prng.ts'
import type { AdminState, DatanodeLiveness } from '../../protocol/states.ts'
import { isBeingWritten, isGoing, storageOf } from './block-map.ts'
import type { BlockLocations } from './block-side.ts'
import type { BlockRow } from './changes.ts'
import type { DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { PendingCopy } from './pending-copies.ts'
import type { ReplicaLedger } from './replica-ledger.ts'
import { distance } from './topology.ts'

/** More than the largest distance apart, so that each step outweighs being near. */
const livenessRank = {
  live: 0,
  disconnected: 100,
  stale: 200,
  dead: 300,
} as const satisfies Record<DatanodeLiveness, number>
const adminRank = {
  normal: 0,
  'decommission-in-progress': 10,
  'entering-maintenance': 10,
  'in-maintenance': 1000,
  decommissioned: 2000,
} as const satisfies Record<AdminState, number>

export interface LocationContext {
  readonly ledger: ReplicaLedger
  readonly registry: DatanodeRegistry
  readonly prng: Prng
  readonly pending: readonly PendingCopy[]
  /** Where an open block is being written. */
  readonly pipeline: readonly StorageRecord[]
}

/** Finds the readable replicas of a block, nearest to `callerHost` first. */
export function locateBlock(
  row: BlockRow,
  callerHost: string,
  context: LocationContext,
): BlockLocations {
  const { readable, corrupt } =
    row.state === 'complete' ? replicasOf(row, context) : openReplicasOf(row, context)
  const counted = readable.filter((storage) => storage.counts)
  const chosen = counted.length > 0 ? counted : corrupt.filter((storage) => storage.counts)
  const sorted = nearestFirst(chosen, callerHost, context)
  return {
    locations: sorted.map(({ node, uuid }) => ({ datanode: node.uuid, storage: uuid })),
    isCorrupt: counted.length === 0 && sorted.length > 0,
  }
}

interface Readable {
  readonly readable: readonly StorageRecord[]
  readonly corrupt: readonly StorageRecord[]
}

function openReplicasOf(row: BlockRow, { ledger, pipeline }: LocationContext): Readable {
  const reported = ledger.open.find(row.id)?.replicas ?? []
  const corrupt = reported.filter(({ isCorrupt }) => isCorrupt).map(({ storage }) => storage)
  return { readable: pipeline.filter((storage) => !corrupt.includes(storage)), corrupt }
}

/** Finalized replicas; failing those, what is about to go; failing those, what is about to be reported. */
function replicasOf(row: BlockRow, { ledger, registry, pending }: LocationContext): Readable {
  const good: StorageRecord[] = []
  const going: StorageRecord[] = []
  const at = ledger.map.find(row.id)
  for (const word of at === undefined ? [] : ledger.map.replicas(at)) {
    const storage = registry.storage(storageOf(word))
    if (isBeingWritten(word) || !storage.counts) continue
    if (isGoing(word)) going.push(storage)
    else good.push(storage)
  }
  const corrupt = ledger.corrupt.of(row.id).map(({ storage }) => storage)
  if (good.length > 0) return { readable: good, corrupt }
  if (going.length > 0) return { readable: going, corrupt }
  const coming = pending.filter(({ source }) => source === undefined)
  return { readable: coming.map(({ target }) => target), corrupt }
}

function nearestFirst(
  storages: readonly StorageRecord[],
  callerHost: string,
  { registry, prng }: LocationContext,
): readonly StorageRecord[] {
  const here = { host: callerHost, rack: registry.rackOfHost(callerHost) }
  const ranked = prng.shuffle([...storages]).map((storage) => {
    const { node } = storage
    const rank = distance(here, node) + livenessRank[node.liveness] + adminRank[node.adminState]
    return { storage, rank }
  })
  // The sort is stable: equals stay in random order.
  return ranked.sort((one, other) => one.rank - other.rank).map(({ storage }) => storage)
}
