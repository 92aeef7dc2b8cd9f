/**
 * Blocks on their way to completion: their pipelines, how many replicas are finished, and recovery
 * when the writer is gone. Functions over the ledger; they hold nothing.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import { isBeingWritten, isGoing, storageOf } from './block-map.ts'
import type { BlockRow } from './changes.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { Repair } from './repair.ts'
import type { ReplicaLedger } from './replica-ledger.ts'
import type { ReplicaLocation } from './requests.ts'

/** The parts of the block side that pipelines concern. */
export interface PipelineParts {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
}

/** A version of a block. */
export interface BlockVersion {
  readonly id: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
}

export function locationOf({ node, uuid }: StorageRecord): ReplicaLocation {
  return { datanode: node.uuid, storage: uuid }
}

/** The pipeline of an open block: as ordered, then what was reported with its stamp or a later one. */
export function pipelineOf(id: BlockId, parts: PipelineParts): readonly StorageRecord[] {
  const { map, open } = parts.ledger
  const at = map.find(id)
  const block = open.find(id)
  if (at === undefined) return []
  const found = new Map<DatanodeRecord, StorageRecord>()
  for (const storage of block?.expected ?? []) found.set(storage.node, storage)
  for (const replica of block?.replicas ?? []) {
    if (replica.generationStamp < map.generationStamp(at) || replica.isCorrupt) continue
    if (!found.has(replica.storage.node)) found.set(replica.storage.node, replica.storage)
  }
  for (const word of map.replicas(at)) {
    const storage = parts.registry.storage(storageOf(word))
    if (!isGoing(word)) found.set(storage.node, storage)
  }
  return [...found.values()]
}

/**
 * Sets the pipeline of an open block; of a complete one, says who is about to report. Returns whether
 * it was the latter. Ignored when the block has been deleted or changed meanwhile.
 */
export function expectPipeline(
  now: Millis,
  block: Pick<BlockVersion, 'id' | 'generationStamp'>,
  locations: readonly ReplicaLocation[],
  parts: PipelineParts,
): boolean {
  const { registry, ledger, repair } = parts
  const at = ledger.map.find(block.id)
  if (at === undefined) return false
  const storages: StorageRecord[] = []
  for (const { datanode, storage } of locations) {
    const node = registry.find(datanode)
    if (node !== undefined) storages.push(registry.ensureStorage(node, storage))
  }
  if (ledger.map.kind(at) !== 'complete') {
    ledger.open.expect(block.id, storages)
    return false
  }
  if (ledger.map.generationStamp(at) !== block.generationStamp) return false
  repair.expectReports(now, block.id, storages)
  return true
}

/** Finalized replicas of exactly this version on datanodes that count. */
export function countFinalized(version: BlockVersion, parts: PipelineParts): number {
  const { map, open } = parts.ledger
  const { id, generationStamp, length } = version
  const at = map.find(id)
  if (at === undefined) return 0
  if (map.kind(at) !== 'complete') {
    return (open.find(id)?.replicas ?? []).filter(
      (replica) =>
        replica.state === 'finalized' &&
        replica.generationStamp === generationStamp &&
        replica.length === length &&
        !replica.isCorrupt &&
        replica.storage.counts,
    ).length
  }
  if (map.generationStamp(at) !== generationStamp || map.length(at) !== length) return 0
  return map
    .replicas(at)
    .filter(
      (word) =>
        !isGoing(word) && !isBeingWritten(word) && parts.registry.storage(storageOf(word)).counts,
    ).length
}

/** Queues the recovery of a block at the member of its pipeline heard of last; false when there is none. */
export function orderBlockRecovery(
  block: BlockRow,
  recoveryStamp: GenerationStamp,
  parts: PipelineParts,
): boolean {
  const storages = pipelineOf(block.id, parts).filter((storage) => storage.counts)
  for (const { orders } of parts.registry.nodes()) orders.withdrawRecovery(block.id)
  let primary: DatanodeRecord | undefined
  for (const { node } of storages) {
    if (node.liveness !== 'live') continue
    if (primary === undefined || node.lastSeen > primary.lastSeen) primary = node
  }
  primary?.orders.recover({
    kind: 'recover',
    block: { id: block.id, generationStamp: block.generationStamp, length: block.length },
    recoveryStamp,
    locations: storages.map(locationOf),
    truncateLength: block.truncateLength,
  })
  return primary !== undefined
}
