import { connect, type Socket } from 'node:net'
import { encodeOperation, opcodes, tryDecodeDelimited } from '../../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import {
  type BlockConstructionStage,
  blockOpResponse,
  opWriteBlock,
} from '../../protocol/messages/data-transfer.ts'
import type { DatanodeInfo, StorageType } from '../../protocol/messages/hdfs-blocks.ts'
import { planRead } from '../core/block-sender.ts'
import type { CopyUrgency } from '../core/copy-pace.ts'
import { sendBlock } from './block-stream.ts'
import { wireChecksumTypes } from './read-operation.ts'
import type { StoredReplica } from './replica-reader.ts'
import type { ReplicaStore } from './replica-store.ts'

const connectTimeoutMs = 10_000
/** A copy that moves no byte for this long is given up. */
const stallMs = 60_000

export interface TransferTargetNode {
  readonly datanode: DatanodeInfo
  readonly storage: string | undefined
  readonly storageType: StorageType
}

export interface ReplicaTransfer {
  readonly store: ReplicaStore
  readonly block: {
    readonly blockId: BlockId
    readonly generationStamp: GenerationStamp
    /** Bytes to send, at most what the replica has. */
    readonly length: number
  }
  /** The first one is sent to, and passes the block on to the next. */
  readonly targets: readonly TransferTargetNode[]
  /** For a transfer within a client's pipeline: its name, and what the target makes of the replica. */
  readonly pipeline?: { readonly clientName: string; readonly stage: BlockConstructionStage }
  /** For a copy that makes way for clients, which one within a client's pipeline does not. */
  readonly urgency?: CopyUrgency
  readonly signal?: AbortSignal
}

/**
 * Copies a replica to other datanodes. Its digests are verified before a byte leaves; a mismatch is
 * reported as a corrupt replica.
 *
 * @throws {@link DfsError} REPLICA_NOT_FOUND, CHECKSUM_MISMATCH, CONNECTION_LOST, TIMED_OUT, ABORTED
 */
export async function transferReplica(transfer: ReplicaTransfer): Promise<void> {
  const { store, block, signal, urgency } = transfer
  const stored = await store.openForRead(block.blockId, block.generationStamp, urgency)
  try {
    const connection = new CopyConnection(addressOf(transfer))
    try {
      await connection.whenConnected(signal)
      await copy(transfer, stored, connection)
    } finally {
      connection.socket.destroy()
    }
  } catch (error) {
    const isDamaged = isDfsError(error, 'CHECKSUM_MISMATCH', 'CORRUPTION')
    if (isDamaged) store.reportCorrupt(block.blockId, error.message)
    throw error
  } finally {
    await stored.close()
  }
}

async function copy(
  transfer: ReplicaTransfer,
  stored: StoredReplica,
  connection: CopyConnection,
): Promise<void> {
  const { store, block, pipeline, urgency } = transfer
  const { layout } = stored
  const plan = planRead(
    { offset: 0, length: Math.min(block.length, stored.length), withChecksums: true },
    {
      length: stored.length,
      bytesPerChecksum: layout.bytesPerChecksum,
      spanBytes: layout.spanBytes,
      hasChecksums: layout.checksumBytes > 0,
    },
  )
  const { socket } = connection
  // Digests of a replica that is being written lag behind; its target verifies the chunk CRCs.
  const verifiesDigests = stored.replica.state === 'finalized' && plan.end === stored.length
  const operation = operationOf(transfer, stored)
  const beforeUnit = urgency === undefined ? undefined : () => store.turns.next(urgency)
  await sendBlock(
    { stored, plan, pool: store.pool, socket, verifiesDigests, beforeUnit },
    operation,
  )
  if (pipeline === undefined) socket.end()
  await connection.finished(pipeline !== undefined)
}

function operationOf(
  { block, targets, pipeline, store, urgency }: ReplicaTransfer,
  stored: StoredReplica,
): Uint8Array {
  const [first, ...further] = targets
  const { layout, replica } = stored
  const isWhole = replica.state === 'finalized' && block.length >= stored.length
  return encodeOperation(opcodes.writeBlock, opWriteBlock, {
    header: {
      baseHeader: {
        block: {
          poolId: store.identity?.blockPoolId ?? '',
          blockId: block.blockId,
          generationStamp: replica.generationStamp,
          numBytes: Math.min(block.length, stored.length),
        },
      },
      clientName: pipeline?.clientName ?? '',
    },
    targets: further.map(({ datanode }) => datanode),
    stage: pipeline?.stage ?? 'PIPELINE_SETUP_CREATE',
    pipelineSize: 0,
    minBytesRcvd: 0,
    maxBytesRcvd: 0,
    latestGenerationStamp: 0,
    requestedChecksum: {
      type: wireChecksumTypes[layout.checksumType],
      bytesPerChecksum: layout.bytesPerChecksum,
    },
    storageType: first?.storageType ?? 'DISK',
    targetStorageTypes: further.map(({ storageType }) => storageType),
    targetPinnings: [],
    ...(first?.storage === undefined ? {} : { storageId: first.storage }),
    targetStorageIds: further.map(({ storage }) => storage ?? ''),
    ...(isWhole && replica.digest !== undefined ? { blockDigest: replica.digest } : {}),
    ...(urgency === 'urgent' ? { isUrgent: true } : {}),
  })
}

function addressOf({ targets, block }: ReplicaTransfer): { host: string; port: number } {
  const [first] = targets
  if (first !== undefined)
    return { host: first.datanode.id.ipAddr, port: first.datanode.id.xferPort }
  throw new DfsError('INVALID_ARGUMENT', `Copying block ${block.blockId} needs a target`, {
    blockId: block.blockId,
  })
}

/** The connection to the first target. */
class CopyConnection {
  readonly socket: Socket
  readonly #name: string
  #received = Buffer.alloc(0)
  readonly #closed: Promise<Error | undefined>

  constructor(address: { host: string; port: number }) {
    this.#name = `${address.host}:${address.port}`
    const socket = connect({ ...address, noDelay: true })
    this.socket = socket
    let failure: Error | undefined
    socket.on('error', (error) => {
      failure = error
    })
    socket.on('data', (bytes: Buffer) => {
      if (this.#received.length < 1024) this.#received = Buffer.concat([this.#received, bytes])
    })
    this.#closed = new Promise((resolve) => {
      socket.on('close', () => resolve(failure))
    })
    socket.setTimeout(connectTimeoutMs, () => {
      socket.destroy(new DfsError('TIMED_OUT', `Datanode ${this.#name} does not take the copy`))
    })
  }

  async whenConnected(signal: AbortSignal | undefined): Promise<void> {
    const abort = (): void => {
      this.socket.destroy(new DfsError('ABORTED', 'The copy was given up'))
    }
    signal?.addEventListener('abort', abort, { once: true })
    const connected = new Promise<void>((resolve) => this.socket.once('connect', resolve))
    const failure = await Promise.race([connected, this.#closed])
    this.#closed.then(
      () => signal?.removeEventListener('abort', abort),
      () => undefined,
    )
    if (this.socket.destroyed) throw this.#lost(failure instanceof Error ? failure : undefined)
    this.socket.setTimeout(stallMs)
  }

  /** Waits until the target is done: it closes, or says so first when it was told to. */
  async finished(expectsStatus: boolean): Promise<void> {
    if (expectsStatus) {
      const replied = new Promise<undefined>((resolve) => {
        this.socket.on('data', () => {
          if (this.#status() !== undefined) resolve(undefined)
        })
      })
      const early =
        this.#status() === undefined ? await Promise.race([replied, this.#closed]) : undefined
      const status = this.#status()
      if (status === 'SUCCESS') return
      throw status === undefined
        ? this.#lost(early)
        : new DfsError('IO_ERROR', `Datanode ${this.#name} answered ${status} to a copy`)
    }
    const failure = await this.#closed
    if (failure !== undefined) throw this.#lost(failure)
  }

  #status(): string | undefined {
    const taken = tryDecodeDelimited(blockOpResponse, this.#received, 0, this.#received.length)
    return taken?.value.status
  }

  #lost(cause: Error | undefined): DfsError {
    if (cause instanceof DfsError) return cause
    const reason = cause?.message ?? 'it closed the connection'
    return new DfsError('CONNECTION_LOST', `Copy to datanode ${this.#name} failed: ${reason}`, {
      datanode: this.#name,
      cause,
    })
  }
}
