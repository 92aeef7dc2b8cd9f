import type { Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { BlockListDecoder, type ListedReplica, listedDigest } from '../../protocol/block-list.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  blockId,
  type DatanodeUuid,
  generationStamp,
  type StorageUuid,
  storageUuid,
} from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type {
  BlockReportContext,
  StorageBlockReport,
  wantedBuckets,
} from '../../protocol/messages/datanode-namenode.ts'
import { type ReplicaState, replicaStates } from '../../protocol/states.ts'
import type { Namenode } from './namenode.ts'
import type { ReportLeases } from './report-leases.ts'

/** Replicas of a legacy list are separated from the open ones by a replica of three -1. */
const legacySeparatorValues = 3

export interface BlockReportsOptions {
  readonly namenode: Namenode
  readonly timers: Timers
  readonly leases: ReportLeases
  readonly logger: Logger
}

/** One call of blockReport. */
export interface BlockReportCall {
  readonly datanode: DatanodeUuid
  readonly reports: readonly StorageBlockReport[]
  readonly context: BlockReportContext | undefined
}

type Wanted = EncodableOf<typeof wantedBuckets>

/**
 * Serves full block reports, whole or by differences, in steps of a few milliseconds: between two of them
 * the namenode does everything else.
 */
export class BlockReports {
  readonly #options: BlockReportsOptions

  constructor(options: BlockReportsOptions) {
    this.#options = options
  }

  /**
   * Takes a report in. Returns the buckets that the datanode must list because they differ.
   * @throws {@link DfsError} UNREGISTERED_NODE, BAD_FRAME, IO_ERROR for a lease that is over.
   */
  async take({ datanode, reports, context }: BlockReportCall): Promise<readonly Wanted[]> {
    const { namenode, leases } = this.#options
    const lease = context?.leaseId ?? 0n
    leases.check(namenode.now(), datanode, lease)
    const wanted: Wanted[] = []
    for (const report of reports) {
      const storage = storageUuid(report.storage.storageUuid)
      const isByDifference = report.buckets.length > 0 && report.numberOfBlocks === undefined
      if (isByDifference) {
        const buckets = await this.#compare(datanode, storage, report)
        if (buckets.length > 0) wanted.push({ storageUuid: storage, buckets })
      } else {
        await this.#list(datanode, storage, report)
      }
    }
    const isLast = context === undefined || context.curRpc + 1 >= context.totalRpcs
    if (isLast) leases.release(datanode, lease)
    return wanted
  }

  async #compare(
    datanode: DatanodeUuid,
    storage: StorageUuid,
    { buckets }: StorageBlockReport,
  ): Promise<readonly number[]> {
    const { namenode, logger } = this.#options
    const startedAt = namenode.now()
    const origin = { now: () => namenode.now(), uuid: datanode, storageUuid: storage }
    const wanted = await this.#run(namenode.blocks.bucketsInSteps({ ...origin, buckets }))
    const durationMs = namenode.now() - startedAt
    const counts = { buckets: buckets.length, differing: wanted.length }
    logger.info('block-report', { datanode, storage, ...counts, durationMs })
    return wanted
  }

  async #list(
    datanode: DatanodeUuid,
    storage: StorageUuid,
    report: StorageBlockReport,
  ): Promise<void> {
    const { namenode, logger } = this.#options
    const startedAt = namenode.now()
    const listed = report.buckets.map(({ bucket }) => bucket)
    const steps = namenode.blocks.listingInSteps({
      ...{ now: () => namenode.now(), uuid: datanode, storageUuid: storage },
      replicas: replicasOf(report),
      buckets: listed.length === 0 ? undefined : new Set(listed),
    })
    await this.#run(steps)
    const replicas = report.numberOfBlocks ?? report.blocks[0] ?? 0
    const durationMs = namenode.now() - startedAt
    logger.info('block-report', { datanode, storage, replicas, durationMs })
  }

  /** Runs all steps, with other work between them. */
  async #run<T>(steps: Generator<readonly ReturnType<typeof blockId>[], T>): Promise<T> {
    const { namenode, timers } = this.#options
    let isFirst = true
    for (;;) {
      if (!isFirst) await new Promise<void>((resolve) => timers.after(0, resolve))
      isFirst = false
      const step = steps.next()
      if (step.done === true) return step.value
      namenode.replicasChanged(step.value)
    }
  }
}

/** Decodes what a report lists, piece by piece as it is asked for. */
function* replicasOf(report: StorageBlockReport): Generator<ListedReplica, void> {
  const { numberOfBlocks: count, blocksBuffers, digests } = report
  if (count === undefined) {
    yield* legacyReplicas(report.blocks)
    return
  }
  let piece: ListedReplica[] = []
  let index = 0
  const decoder = new BlockListDecoder(count, (id, stamp, length, state) => {
    const digest = listedDigest(digests, count, index)
    index += 1
    piece.push({ blockId: id, generationStamp: stamp, length, state, digest })
  })
  for (const bytes of blocksBuffers) {
    decoder.push(bytes)
    yield* piece
    piece = []
  }
  decoder.end()
}

/**
 * The encoding of old datanodes: two counts, (id, length, stamp) of each finalized replica, -1 three
 * times, (id, length, stamp, state) of each open one.
 */
function* legacyReplicas(values: readonly number[]): Generator<ListedReplica, void> {
  const [finalizedCount = 0, openCount = 0] = values
  const openStart = 2 + 3 * finalizedCount + legacySeparatorValues
  const wanted = values.length === 0 ? 0 : openStart + 4 * openCount
  if (values.length !== wanted) {
    throw new DfsError(
      'BAD_FRAME',
      `Block list of ${finalizedCount} finalized and ${openCount} open replicas must hold ` +
        `${wanted} numbers, got ${values.length}`,
    )
  }
  for (let index = 0; index < finalizedCount; index += 1) {
    yield legacyReplica(values, 2 + 3 * index, 'finalized')
  }
  for (let index = 0; index < openCount; index += 1) {
    const at = openStart + 4 * index
    const state = replicaStates[values[at + 3] ?? -1]
    if (state === undefined) {
      throw new DfsError('BAD_FRAME', `Replica state ${String(values[at + 3])} is unknown`)
    }
    yield legacyReplica(values, at, state)
  }
}

function legacyReplica(values: readonly number[], at: number, state: ReplicaState): ListedReplica {
  const [id = -1, length = -1, stamp = -1] = values.slice(at, at + 3)
  return {
    blockId: blockId(id),
    generationStamp: generationStamp(stamp),
    length,
    state,
  }
}
