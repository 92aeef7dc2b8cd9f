import { createServer, type Socket } from 'node:net'
import type { TimerHandle } from '../../base/clock.ts'
import type { Operation } from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { OpTransferBlock } from '../../protocol/messages/data-transfer.ts'
import { checksumBlock } from './checksum-operation.ts'
import { readBlock } from './read-operation.ts'
import { transferReplica } from './replica-transfer.ts'
import { TransferConnection, type TransferContext } from './transfer-connection.ts'
import { TransferCounters } from './transfer-counters.ts'
import { writeBlock } from './write-operation.ts'

/** How often connections are looked at for time-outs. */
const sweepMs = 1000
/** Added to the client's own time-out, so that the side with more to lose notices first. */
const timeoutSlackMs = 5000

/** Threads for file operations that a datanode process should have (UV_THREADPOOL_SIZE). */
export const datanodeThreadPoolSize = 8

export interface TransferServerOptions extends Omit<TransferContext, 'counters'> {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
}

/** What the port has done since the start, and what is open now. */
export interface TransferTotals
  extends Readonly<Omit<TransferCounters, 'ended' | 'pipelineFailed'>> {
  readonly openConnections: number
}

export interface TransferServer {
  readonly port: number
  /** Connections with an operation under way. */
  activeTransfers(): number
  /** Totals since the start. */
  totals(): TransferTotals
  /** Tells every client that writes here that this datanode is about to restart. */
  announceRestart(): void
  /** Breaks off everything that is being written here. */
  evictWriters(): void
  /** Breaks off every transfer and stops to listen. */
  close(): Promise<void>
}

/** Serves the data transfer protocol (docs/protocol/data-transfer.md). */
export async function startTransferServer(options: TransferServerOptions): Promise<TransferServer> {
  const { host, port, logger, timers, clock, settings } = options
  const connections = new Set<TransferConnection>()
  const counters = new TransferCounters()
  const context: TransferContext = { ...options, counters }
  const transfersMax = settings['dfs.datanode.max.transfer.threads']
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (accepted: Socket) => {
    counters.connections += 1
    if (connections.size >= transfersMax) {
      counters.connectionsRefused += 1
      logger.warn('transfer-refused', { peer: accepted.remoteAddress, transfersMax })
      accepted.destroy()
      return
    }
    const connection = new TransferConnection(accepted, context, handle, () => {
      connections.delete(connection)
      const { receivedBytes, sentBytes } = connection.traffic
      counters.receivedBytes += receivedBytes
      counters.sentBytes += sentBytes
    })
    connections.add(connection)
  })
  const bound = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 1024 }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
  server.on('error', (error) => logger.error('transfer-server-failed', { reason: error.message }))
  const timeoutMs = settings['dfs.client.socket-timeout'] + timeoutSlackMs
  const sweep: TimerHandle = timers.every(sweepMs, () => {
    const now = clock.monotonic()
    for (const connection of connections) sweepOne(connection, now, timeoutMs)
  })
  return {
    port: bound,
    activeTransfers: () => [...connections].filter(({ isIdle }) => !isIdle).length,
    totals: () => totalsOf(counters, connections),
    announceRestart() {
      for (const connection of connections) connection.announceRestart()
    },
    evictWriters() {
      const writers = [...connections].filter(({ isWriting }) => isWriting)
      for (const { socket } of writers) socket.destroy()
      logger.warn('writers-evicted', { count: writers.length })
    },
    async close() {
      sweep.cancel()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const connection of connections) connection.socket.destroy()
      await closed
    },
  }
}

/** Adds the connections that are open to what was counted when others closed. */
function totalsOf(
  counters: TransferCounters,
  connections: ReadonlySet<TransferConnection>,
): TransferTotals {
  let { receivedBytes, sentBytes } = counters
  for (const { traffic } of connections) {
    receivedBytes += traffic.receivedBytes
    sentBytes += traffic.sentBytes
  }
  const { operations, pipelineFailures, connectionsRefused } = counters
  return {
    ...{ operations, pipelineFailures, connectionsRefused, receivedBytes, sentBytes },
    connections: counters.connections,
    openConnections: connections.size,
  }
}

function sweepOne(connection: TransferConnection, now: number, timeoutMs: number): void {
  const stalledMs = connection.stalledMs(now)
  const isKept = connection.isIdle && connection.operationCount > 0
  if (isKept && stalledMs >= limits.transferKeepAliveMs) connection.socket.destroy()
  else if (stalledMs >= timeoutMs) connection.abort(`No byte moved for ${stalledMs} ms`)
}

async function handle(
  connection: TransferConnection,
  operation: Operation,
): Promise<'next' | 'close'> {
  switch (operation.kind) {
    case 'writeBlock':
      return writeBlock(connection, operation.message)
    case 'readBlock':
      return readBlock(connection, operation.message)
    case 'blockChecksum':
      return checksumBlock(connection, operation.message)
    case 'transferBlock':
      return transferBlock(connection, operation.message)
    case 'replaceBlock':
    case 'copyBlock':
    case 'requestShortCircuitFds':
    case 'releaseShortCircuitFds':
    case 'requestShortCircuitShm':
    case 'blockGroupChecksum':
      connection.reply({
        status: 'ERROR_UNSUPPORTED',
        message: `Operation ${operation.kind} is not supported by this datanode`,
      })
      return 'next'
  }
}

/** OP_TRANSFER_BLOCK: copies a replica to a node that joins its pipeline, and answers when that is done. */
async function transferBlock(
  connection: TransferConnection,
  { header, targets, targetStorageTypes, targetStorageIds }: OpTransferBlock,
): Promise<'next'> {
  const { store } = connection.context
  const { block } = header.baseHeader
  try {
    connection.checkPool(block)
    const id = blockId(block.blockId)
    const replica = store.find(id)
    const stage = replica?.state === 'finalized' ? 'TRANSFER_FINALIZED' : 'TRANSFER_RBW'
    await transferReplica({
      store,
      block: {
        blockId: id,
        generationStamp: generationStamp(block.generationStamp),
        length: replica?.visibleLength ?? 0,
      },
      targets: targets.map((datanode, index) => ({
        datanode,
        storage: targetStorageIds[index],
        storageType: targetStorageTypes[index] ?? 'DISK',
      })),
      pipeline: { clientName: header.clientName, stage },
    })
    connection.reply({ status: 'SUCCESS' })
  } catch (error) {
    if (!(error instanceof DfsError)) throw error
    connection.reply({ status: 'ERROR', message: error.message })
  }
  return 'next'
}
