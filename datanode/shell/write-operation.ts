import { defined, unreachable } from '../../base/assert.ts'
import { encodeOperation, opcodes } from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { type BlockId, blockId, type GenerationStamp, generationStamp } from '../../protocol/ids.ts'
import { encodeDelimited } from '../../protocol/message.ts'
import {
  blockOpResponse,
  type Checksum,
  type OpWriteBlock,
  opWriteBlock,
} from '../../protocol/messages/data-transfer.ts'
import type {
  DatanodeInfo,
  ChecksumType as WireChecksumType,
} from '../../protocol/messages/hdfs-blocks.ts'
import type { ChecksumType } from '../../protocol/states.ts'
import type { CopyUrgency } from '../core/copy-pace.ts'
import type { ReopenRequest } from '../core/replica-rules.ts'
import { metaLayout } from '../format/block-meta.ts'
import { Downstream } from './downstream.ts'
import { PacketReceiver } from './packet-receiver.ts'
import type { WireChunks } from './packet-verifier.ts'
import type { ReplicaStore } from './replica-store.ts'
import type { ReplicaWriter } from './replica-writer.ts'
import type { TransferConnection } from './transfer-connection.ts'

/** Names of the wire's checksum types. */
const checksumTypeOf: Readonly<Record<WireChecksumType, ChecksumType>> = {
  CHECKSUM_NULL: 'null',
  CHECKSUM_CRC32: 'crc32',
  CHECKSUM_CRC32C: 'crc32c',
}

/** How a write operation goes on, from its stage and sender (hdfs-wire: set-up of a pipeline). */
interface WriteMode {
  /** The replica is complete as it is: stamp and state change, no packets follow. */
  readonly isClose: boolean
  /** Another datanode sends a copy: no acks. */
  readonly isCopy: boolean
  /** The sender waits for an answer to the operation before it sends packets. */
  readonly answersFirst: boolean
  /** The sender waits for a status behind the last packet. */
  readonly answersLast: boolean
  readonly finalState: 'finalized' | 'rbw'
}

/**
 * OP_WRITE_BLOCK: opens the replica, sets up the rest of the pipeline, answers with the first node that
 * did not join (firstBadLink), and receives packets until the last one is acknowledged.
 *
 * @throws {@link DfsError} when this node cannot take the replica; the connection is then closed, which is
 * how a client learns which node to blame
 */
export async function writeBlock(
  connection: TransferConnection,
  operation: OpWriteBlock,
): Promise<'next' | 'close'> {
  connection.checkPool(operation.header.baseHeader.block)
  const mode = modeOf(operation)
  if (mode.answersLast && operation.targets.length > 0) {
    throw new DfsError('INVALID_ARGUMENT', 'A transfer to an unfinished pipeline has one target')
  }
  // Opened side by side: this replica's files and the next node's.
  const opening = openReplica(connection, operation, mode)
  const [opened, next] = await Promise.allSettled([opening, openNext(connection, operation, mode)])
  const link = next.status === 'fulfilled' ? next.value : undefined
  if (opened.status === 'rejected') {
    connection.context.counters.pipelineFailed('refused')
    link?.downstream?.abort()
    throw opened.reason
  }
  const writer = opened.value
  if (next.status === 'rejected') {
    if (writer !== undefined) await connection.context.store.release(writer)
    throw next.reason
  }
  const badLink = link?.badLink
  if (badLink !== undefined) connection.context.counters.pipelineFailed('next_unreachable')
  if (badLink !== undefined && (mode.answersFirst || writer === undefined)) {
    if (writer !== undefined) await connection.context.store.release(writer)
    connection.reply({ status: 'ERROR', firstBadLink: badLink })
    // What may be on its way are packets, not an operation.
    return 'close'
  }
  if (writer === undefined) {
    link?.downstream?.finish()
    connection.reply({ status: 'SUCCESS', firstBadLink: '' })
    return 'next'
  }
  try {
    // It may have been taken over while the next node was being connected.
    writer.requireOpen()
  } catch (error) {
    link?.downstream?.abort()
    throw error
  }
  if (mode.answersFirst) connection.reply({ status: 'SUCCESS', firstBadLink: '' })
  return receive(connection, mode, writer, {
    downstream: link?.downstream,
    chunks: chunksOf(operation.requestedChecksum),
    urgency: urgencyOf(operation, mode),
  })
}

function modeOf({ stage, header }: OpWriteBlock): WriteMode {
  const isFromDatanode = header.clientName === ''
  const usual = { isClose: false, answersLast: false, finalState: 'finalized' } as const
  switch (stage) {
    case 'PIPELINE_SETUP_CREATE':
    case 'PIPELINE_SETUP_APPEND':
    case 'PIPELINE_SETUP_APPEND_RECOVERY':
    case 'PIPELINE_SETUP_STREAMING_RECOVERY':
      return { ...usual, isCopy: isFromDatanode, answersFirst: !isFromDatanode }
    case 'PIPELINE_CLOSE_RECOVERY':
      return { ...usual, isClose: true, isCopy: false, answersFirst: true }
    case 'TRANSFER_RBW':
      return {
        isClose: false,
        isCopy: true,
        answersFirst: false,
        answersLast: true,
        finalState: 'rbw',
      }
    case 'TRANSFER_FINALIZED':
      return { ...usual, isCopy: true, answersFirst: false, answersLast: true }
    case 'DATA_STREAMING':
    case 'PIPELINE_CLOSE':
      throw new DfsError('INVALID_ARGUMENT', `Cannot set up a pipeline in stage ${stage}`)
    default:
      return unreachable(stage)
  }
}

async function openReplica(
  { context }: TransferConnection,
  operation: OpWriteBlock,
  mode: WriteMode,
): Promise<ReplicaWriter | undefined> {
  const { store } = context
  const { block } = operation.header.baseHeader
  const id = blockId(block.blockId)
  const chunks = chunksOf(operation.requestedChecksum)
  const isNew = mode.isCopy || operation.stage === 'PIPELINE_SETUP_CREATE'
  if (isNew) await store.settled(id)
  if (mode.isCopy) await dropStale(store, id, generationStamp(block.generationStamp))
  const writer = isNew
    ? store.create({
        blockId: id,
        generationStamp: generationStamp(block.generationStamp),
        layout: metaLayout(chunks.checksumType, chunks.bytesPerChecksum),
        storage: operation.storageId,
        isCopy: mode.isCopy,
        urgency: urgencyOf(operation, mode),
        wantedDigest: operation.blockDigest,
        expectedBytes: block.numBytes,
      })
    : await store.reopen({
        blockId: id,
        event: defined(reopenEvents[operation.stage], 'event of the stage'),
        generationStamp: generationStamp(block.generationStamp),
        newStamp: generationStamp(operation.latestGenerationStamp),
        lengthMin: operation.minBytesRcvd,
        lengthMax: operation.maxBytesRcvd,
      })
  if (writer === undefined) return undefined
  try {
    await writer.opened()
    // The chunk that grows gets another CRC: until that is durable, the mark of a sync vouches for what was there before (D28).
    const isInChunk = writer.length % writer.meta.layout.bytesPerChecksum !== 0
    if (!isNew && isInChunk) await writer.sync()
    return writer
  } catch (error) {
    await store.release(writer)
    throw error
  }
}

/** A copy that no client waits for makes way for clients. */
function urgencyOf({ isUrgent }: OpWriteBlock, mode: WriteMode): CopyUrgency | undefined {
  if (!mode.isCopy || mode.answersLast) return undefined
  return isUrgent === true ? 'urgent' : 'usual'
}

/** The chunks a sender's packets come in. @throws {@link DfsError} INVALID_ARGUMENT outside the limits */
function chunksOf({ type, bytesPerChecksum }: Checksum): WireChunks {
  const checksumType = checksumTypeOf[type]
  // The same bounds as for chunks that are stored.
  return {
    checksumType,
    bytesPerChecksum: metaLayout(checksumType, bytesPerChecksum).bytesPerChecksum,
  }
}

/**
 * A replica that missed a recovery of its block is stale, and nobody may know that it is here. The copy that comes, for a
 * pipeline or to have enough replicas, takes its place (HDFS: createTemporary); else the block could never be copied here.
 * So does one that a recovery still holds which ended without this datanode: the copy has that recovery's stamp, or a later one.
 */
async function dropStale(store: ReplicaStore, id: BlockId, stamp: GenerationStamp): Promise<void> {
  const found = store.find(id)
  if (found === undefined || found.generationStamp >= stamp) return
  if (found.recovery !== undefined && found.recovery.recoveryStamp > stamp) return
  await store.delete(id, found.generationStamp)
}

type ReopenEvent = ReopenRequest['event']

const reopenEvents: Partial<Record<OpWriteBlock['stage'], ReopenEvent>> = {
  PIPELINE_SETUP_APPEND: 'append',
  PIPELINE_SETUP_APPEND_RECOVERY: 'reappend',
  PIPELINE_SETUP_STREAMING_RECOVERY: 'resume',
  PIPELINE_CLOSE_RECOVERY: 'close',
}

/** Connects the next datanode, if there is one; tells which node of the pipeline did not join. */
async function openNext(
  connection: TransferConnection,
  operation: OpWriteBlock,
  mode: WriteMode,
): Promise<{ downstream: Downstream | undefined; badLink: string | undefined } | undefined> {
  const [target, ...further] = operation.targets
  if (target === undefined) return undefined
  const { settings, timers, clock, logger } = connection.context
  const { ipAddr, xferPort } = target.id
  const own = `${ipAddr}:${xferPort}`
  try {
    const { downstream, reply } = await Downstream.open({
      address: { host: ipAddr, port: xferPort },
      operation: encodeOperation(opcodes.writeBlock, opWriteBlock, forwarded(operation, further)),
      awaitsReply: mode.answersFirst,
      // Each node further down may use up its own time-out before this one's answer.
      timeoutMs: settings['dfs.client.socket-timeout'] + 5000 * further.length,
      ackTimeoutMs: ackTimeoutMs(settings['dfs.client.socket-timeout'], further.length),
      timers,
      clock,
    })
    if (reply === undefined || reply.status === 'SUCCESS') return { downstream, badLink: undefined }
    downstream.abort()
    const badLink = reply.firstBadLink
    return {
      downstream: undefined,
      badLink: badLink === undefined || badLink === '' ? own : badLink,
    }
  } catch (error) {
    if (!(error instanceof DfsError)) throw error
    logger.warn('downstream-unreachable', { datanode: own, reason: error.message })
    return { downstream: undefined, badLink: own }
  }
}

/**
 * How long a packet may be without an ack. Longer the more nodes are behind the next one, so that of all who wait it is the
 * one beside the silent node that gives up, and names it; and shorter than what a client waits.
 */
function ackTimeoutMs(socketTimeoutMs: number, nodesBehind: number): number {
  return (socketTimeoutMs * (8 + Math.min(nodesBehind, 7))) / 16
}

/** The operation as the next node gets it: one target less, and its storage in place of ours. */
function forwarded(
  operation: OpWriteBlock,
  further: readonly DatanodeInfo[],
): Parameters<typeof encodeOperation<typeof opWriteBlock.fields>>[2] {
  const [storageId, ...targetStorageIds] = operation.targetStorageIds
  const [storageType = 'DISK', ...targetStorageTypes] = operation.targetStorageTypes
  return {
    header: operation.header,
    targets: further,
    source: nobody,
    stage: operation.stage,
    pipelineSize: operation.pipelineSize,
    minBytesRcvd: operation.minBytesRcvd,
    maxBytesRcvd: operation.maxBytesRcvd,
    latestGenerationStamp: operation.latestGenerationStamp,
    requestedChecksum: operation.requestedChecksum,
    ...(operation.cachingStrategy === undefined
      ? {}
      : { cachingStrategy: operation.cachingStrategy }),
    storageType,
    targetStorageTypes,
    ...(storageId === undefined ? {} : { storageId }),
    targetStorageIds,
    targetPinnings: [],
    ...(operation.blockDigest === undefined ? {} : { blockDigest: operation.blockDigest }),
    ...(operation.isUrgent === undefined ? {} : { isUrgent: operation.isUrgent }),
  }
}

/** The source a datanode names when it forwards a client's operation, as HDFS's datanodes do. */
const nobody = {
  id: { ipAddr: '', hostName: '', datanodeUuid: '', xferPort: 0, infoPort: 0, ipcPort: 0 },
}

function receive(
  connection: TransferConnection,
  mode: WriteMode,
  writer: ReplicaWriter,
  {
    downstream,
    chunks,
    urgency,
  }: {
    readonly downstream: Downstream | undefined
    readonly chunks: WireChunks
    readonly urgency: CopyUrgency | undefined
  },
): Promise<'next' | 'close'> {
  const { store, logger, counters } = connection.context
  const { reader } = connection
  return new Promise((resolve) => {
    const receiver = new PacketReceiver({
      reader,
      writer,
      store,
      downstream,
      chunks,
      acknowledges: !mode.isCopy,
      urgency,
      finalState: mode.finalState,
      logger,
      counters,
      onOver(isComplete) {
        reader.pause()
        if (isComplete && mode.answersLast) {
          reader.socket.write(encodeDelimited(blockOpResponse, { status: 'SUCCESS' }))
        }
        if (!isComplete && !reader.socket.destroyed) reader.socket.destroySoon()
        resolve(isComplete ? 'next' : 'close')
      },
    })
    receiver.start()
    connection.onRestart(() => receiver.announceRestart())
    // Given up while the replica was being opened: nobody else will tell the receiver, and its files would stay open.
    if (reader.socket.destroyed) receiver.onClose(undefined)
    else reader.resume()
  })
}
