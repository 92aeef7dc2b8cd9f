import { assert, defined, unreachable } from '../base/assert.ts'
import { DfsError, type ErrorCode, isDfsError } from '../protocol/errors.ts'
import type { DatanodeInfo } from '../protocol/messages/hdfs.ts'
import { pause, throwIfAborted } from './abort.ts'
import { type PacketConsumer, readBlockRange } from './block-reader.ts'
import type { ClientContext } from './context.ts'
import { type CorruptReplicas, ReadPlan, type ReplicaFailure } from './core/read-plan.ts'
import { decideReadRetry } from './core/retry.ts'
import type { DatanodeConnection } from './datanode-connection.ts'
import { codeOf } from './events.ts'
import { LocatedFile, type OpenOptions, type PlacedBlock } from './located-file.ts'

/** Who takes the bytes of a file. Positions count from the start of the file. */
export interface FileConsumer {
  /** Where `length` bytes from `position` on go; they may begin before and end after what was asked for. */
  place(position: number, length: number): Uint8Array
  /** The place given last holds verified bytes. False pauses until the resume function is called. */
  accept(position: number, length: number): boolean
  /** A replica is being read; `resume` goes on after a pause. */
  started?(resume: () => void): void
}

/** Bytes `[start, end)` of a file. */
export interface FileRange {
  readonly start: number
  readonly end: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads ranges of one file, verified, whatever single replicas do: a replica that fails or is corrupt is left for the
 * next one from the first byte that is missing, a corrupt one is reported, and when all have failed the namenode is
 * asked for new locations. Ranges may be read at the same time.
 */
export class FileReader {
  readonly file: LocatedFile
  readonly #context: ClientContext
  readonly #corrupt: CorruptReplicas = new Map()

  constructor(context: ClientContext, file: LocatedFile) {
    this.#context = context
    this.file = file
  }

  static async open(
    context: ClientContext,
    path: string,
    options: OpenOptions = {},
  ): Promise<FileReader> {
    return new FileReader(context, await LocatedFile.open(context, path, options))
  }

  /**
   * Hands all bytes of `range` to `consumer` in order, each once.
   *
   * @throws {@link DfsError} BLOCK_MISSING when no replica of a block can be read, ABORTED
   */
  async read(range: FileRange, consumer: FileConsumer): Promise<void> {
    assert(range.end <= this.file.length, 'a range must lie inside the file')
    const plan = new ReadPlan(this.#context.suspects, this.#corrupt)
    for (let position = range.start; position < range.end; ) {
      throwIfAborted(range.signal)
      const block = await this.file.blockAt(position, range.signal)
      const end = Math.min(range.end, block.end)
      await this.#readBlock({ block, position, end, plan, consumer, signal: range.signal })
      position = end
    }
  }

  async #readBlock(job: BlockJob): Promise<void> {
    const { plan, signal } = job
    plan.start(String(job.block.located.b.blockId))
    for (;;) {
      const { locs } = job.block.located
      const uuids = locs.map(({ id }) => id.datanodeUuid)
      const step = plan.choose(uuids, this.#context.clock.monotonic())
      switch (step.kind) {
        case 'read': {
          const datanode = defined(locs[step.index], 'chosen replica')
          if (await this.#tryReplica(job, datanode)) return
          break
        }
        case 'refresh':
          await pause(step.delayMs, signal)
          job.block = await this.file.refresh(job.position, signal)
          plan.refreshed()
          break
        case 'give-up':
          throw this.#missing(job, step.failures)
        default:
          unreachable(step)
      }
    }
  }

  /** True when the range of the block is complete. */
  async #tryReplica(job: BlockJob, datanode: DatanodeInfo): Promise<boolean> {
    const uuid = datanode.id.datanodeUuid
    const before = job.position
    try {
      await this.#readReplica(job, datanode)
      job.plan.progressed(uuid)
      return true
    } catch (error) {
      if (!isDfsError(error) || decideReadRetry(error.code) === 'give-up') throw error
      throwIfAborted(job.signal)
      if (job.position > before) job.plan.progressed(uuid)
      job.plan.failed(uuid, failureOf(error.code), this.#context.clock.monotonic())
      job.lastError = error
      this.#context.report({
        ...{ kind: 'replica-read-failed', path: this.file.path, datanode: uuid },
        ...{ blockId: job.block.located.b.blockId, code: codeOf(error) },
      })
      this.#context.logger.warn('replica-read-failed', {
        path: this.file.path,
        blockId: job.block.located.b.blockId,
        datanode: uuid,
        position: job.position,
        error,
      })
      if (error.code === 'CHECKSUM_MISMATCH') this.#reportCorrupt(job.block, datanode)
      return false
    }
  }

  async #readReplica(job: BlockJob, datanode: DatanodeInfo): Promise<void> {
    const address = { host: datanode.id.ipAddr, port: datanode.id.xferPort }
    for (;;) {
      const connection = await this.#context.datanodes.acquire(address, job.signal)
      const received = connection.bytesReceived
      try {
        await this.#readOver(connection, job)
        this.#context.datanodes.release(connection)
        return
      } catch (error) {
        const isStale = connection.isReused && connection.bytesReceived === received
        if (!isStale || !isDfsError(error, 'CONNECTION_LOST')) throw error
        // The datanode had closed the kept-alive connection: that says nothing about the replica.
      }
    }
  }

  #readOver(connection: DatanodeConnection, job: BlockJob): Promise<void> {
    const { block, consumer, end, signal } = job
    consumer.started?.(() => {
      connection.resume()
    })
    const range = {
      block: block.located.b,
      token: block.located.blockToken,
      offset: job.position - block.start,
      length: end - job.position,
    }
    const inFile: PacketConsumer = {
      place: (offset, length) => consumer.place(block.start + offset, length),
      accept(offset, length) {
        job.position = Math.min(end, Math.max(job.position, block.start + offset + length))
        return consumer.accept(block.start + offset, length)
      },
    }
    return readBlockRange(connection, range, inFile, {
      clientName: this.#context.clientName,
      signal,
    })
  }

  /** Nobody waits for the report: the read goes on with another replica meanwhile. */
  #reportCorrupt({ located }: PlacedBlock, datanode: DatanodeInfo): void {
    const index = located.locs.indexOf(datanode)
    const storageId = located.storageIDs[index]
    const storageType = located.storageTypes[index]
    const bad = {
      b: located.b,
      offset: located.offset,
      locs: [datanode],
      corrupt: true,
      blockToken: located.blockToken,
      ...(storageId === undefined ? {} : { storageIDs: [storageId] }),
      ...(storageType === undefined ? {} : { storageTypes: [storageType] }),
    }
    this.#context.namenode.call('reportBadBlocks', { blocks: [bad] }).catch((error: unknown) => {
      this.#context.logger.warn('bad-replica-report-failed', { blockId: located.b.blockId, error })
    })
  }

  #missing(
    { block, position, lastError }: BlockJob,
    failures: readonly { datanode: string; failure: ReplicaFailure }[],
  ): DfsError {
    const { b, locs } = block.located
    const nameByUuid = new Map(
      locs.map(({ id }) => [id.datanodeUuid, `${id.ipAddr}:${id.xferPort}`]),
    )
    const attempts = failures.map(
      ({ datanode, failure }) => `${nameByUuid.get(datanode) ?? datanode} (${failure})`,
    )
    const tried = attempts.length === 0 ? 'no datanode has it' : `tried ${attempts.join(', ')}`
    return new DfsError(
      'BLOCK_MISSING',
      `Cannot read byte ${position} of "${this.file.path}" from block ${b.blockId}: ${tried}`,
      { path: this.file.path, blockId: b.blockId, cause: lastError },
    )
  }
}

/** A range of one block on its way; `position` moves with what the consumer accepted. */
interface BlockJob {
  block: PlacedBlock
  position: number
  readonly end: number
  readonly plan: ReadPlan
  readonly consumer: FileConsumer
  readonly signal: AbortSignal | undefined
  lastError?: DfsError
}

function failureOf(code: ErrorCode): ReplicaFailure {
  return failureByCode[code] ?? 'refused'
}

const failureByCode: { readonly [C in ErrorCode]?: ReplicaFailure } = {
  CHECKSUM_MISMATCH: 'corrupt',
  REPLICA_NOT_FOUND: 'missing',
  CONNECTION_LOST: 'unreachable',
  TIMED_OUT: 'unreachable',
  BUSY: 'busy',
}
