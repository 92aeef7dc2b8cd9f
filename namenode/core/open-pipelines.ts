/**
 * Blocks on their way to completion: their pipelines, how many replicas are finished, and recovery
 * when the writer is gone. Functions over the ledger; they hold nothing.
 */
import type { Millis } from '../../base/brand.ts'
import { type BlockId, firstGenerationStamp, type GenerationStamp } from '../../protocol/ids.ts'
import { isBeingWritten, isGoing, storageOf } from './block-map.ts'
import type { BlockRow } from './changes.ts'
import { mayLeave } from './datanode-goals.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import { agreedDigest } from './digest-votes.ts'
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

/**
 * The pipeline of an open block: as ordered, then what was reported with its stamp or a later one. A replica
 * outside a known pipeline that is finalized at the block's own stamp is from before an append and lacks what
 * was written since.
 */
export function pipelineOf(
  id: BlockId,
  parts: Pick<PipelineParts, 'registry' | 'ledger'>,
): readonly StorageRecord[] {
  const { map, open } = parts.ledger
  const at = map.find(id)
  const block = open.find(id)
  if (at === undefined) return []
  const found = new Map<DatanodeRecord, StorageRecord>()
  const hasPipeline = (block?.expected.length ?? 0) > 0
  for (const storage of block?.expected ?? []) found.set(storage.node, storage)
  for (const replica of block?.replicas ?? []) {
    if (replica.generationStamp < map.generationStamp(at) || replica.isCorrupt) continue
    if (found.has(replica.storage.node)) continue
    const isOld = replica.generationStamp === map.generationStamp(at)
    if (hasPipeline && isOld && replica.state === 'finalized') continue
    found.set(replica.storage.node, replica.storage)
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

/** The digest that finalized replicas of this version of an open block agree on. */
export function openDigest(
  { id, generationStamp, length }: BlockVersion,
  { ledger }: PipelineParts,
): bigint | undefined {
  const at = ledger.map.find(id)
  if (at === undefined) return undefined
  const finalized = (ledger.open.find(id)?.replicas ?? []).filter(
    (replica) =>
      replica.state === 'finalized' &&
      replica.generationStamp === generationStamp &&
      replica.length === length &&
      !replica.isCorrupt,
  )
  return agreedDigest(
    finalized.map(({ digest }) => digest),
    ledger.map.replication(at),
  )
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

/** Replicas that a recovery goes on from, and the least stamp among them. */
export interface RecoverySources {
  readonly generationStamp: GenerationStamp
  readonly storages: readonly StorageRecord[]
}

/**
 * The pipeline of a block without the replicas known to be corrupt. When none of it is intact anywhere, also
 * not on a datanode that is dead or has yet to report, those that fell out of it last; when there are none
 * either, the pipeline as it is.
 */
export function recoverySources(
  id: BlockId,
  mayBeReportedLater: boolean,
  parts: PipelineParts,
): RecoverySources {
  const { map, open } = parts.ledger
  const at = map.find(id)
  const stamp = at === undefined ? firstGenerationStamp : map.generationStamp(at)
  const replicas = open.find(id)?.replicas ?? []
  const damaged = new Set(
    replicas.filter(({ isCorrupt }) => isCorrupt).map(({ storage }) => storage.node),
  )
  const pipeline = pipelineOf(id, parts)
  const storages = pipeline.filter(({ node }) => !damaged.has(node))
  if (storages.length > 0 || mayBeReportedLater) return { generationStamp: stamp, storages }
  const older = replicas.filter(({ storage }) => !damaged.has(storage.node))
  const newest = older.reduce((most, { generationStamp }) => Math.max(most, generationStamp), 0)
  const left = older.filter(({ generationStamp }) => generationStamp === newest)
  const [first] = left
  if (first === undefined) return { generationStamp: stamp, storages: pipeline }
  return {
    generationStamp: first.generationStamp,
    storages: left.map(({ storage }) => storage),
  }
}

/**
 * Queues the recovery of a block at a live member of its pipeline: the one heard of last among those that
 * have not led it yet, so that one that cannot do it does not stop the others; one that may leave the cluster
 * only after all others. False when there is none.
 */
export function orderBlockRecovery(
  block: BlockRow,
  recoveryStamp: GenerationStamp,
  parts: PipelineParts & { readonly sources: RecoverySources },
): boolean {
  const storages = parts.sources.storages.filter((storage) => storage.counts)
  for (const { orders } of parts.registry.nodes()) orders.withdrawRecovery(block.id)
  const live = storages.map(({ node }) => node).filter(({ liveness }) => liveness === 'live')
  if (live.length === 0) return false
  const open = parts.ledger.open.ensure(block.id)
  const fresh = live.filter((node) => !open.formerPrimaries.includes(node))
  const staying = fresh.filter(({ adminState }) => !mayLeave(adminState))
  const candidates = [staying, fresh, live].find(({ length }) => length > 0) ?? live
  const primary = candidates.reduce((best, node) => (node.lastSeen > best.lastSeen ? node : best))
  open.formerPrimaries = fresh.length > 0 ? [...open.formerPrimaries, primary] : [primary]
  open.primary = primary
  primary.orders.recover({
    kind: 'recover',
    block: {
      id: block.id,
      generationStamp: parts.sources.generationStamp,
      length: block.length,
    },
    recoveryStamp,
    locations: storages.map(locationOf),
    truncateLength: block.truncateLength,
  })
  return true
}

/** True while the datanode that leads the recovery of a block can still finish it. */
export function isRecoveryLed(id: BlockId, { ledger }: PipelineParts): boolean {
  return ledger.open.find(id)?.primary?.liveness === 'live'
}
