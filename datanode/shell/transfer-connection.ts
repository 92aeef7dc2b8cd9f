import type { Socket } from 'node:net'
import type { Clock, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import {
  type Operation,
  operationPrefixBytes,
  tryDecodeOperation,
} from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { type EncodableOf, encodeDelimited } from '../../protocol/message.ts'
import { blockOpResponse } from '../../protocol/messages/data-transfer.ts'
import type { DatanodeID, ExtendedBlock } from '../../protocol/messages/hdfs-blocks.ts'
import type { Settings } from '../../protocol/settings.ts'
import { type ByteSink, ExactReader } from './exact-reader.ts'
import type { ReplicaStore } from './replica-store.ts'
import type { TransferCounters } from './transfer-counters.ts'

/** Bytes read ahead with an operation; operations are 100 to 700 bytes. */
const operationHintBytes = 4096

/** What operations need of the server. */
export interface TransferContext {
  readonly store: ReplicaStore
  readonly settings: Settings
  readonly self: () => DatanodeID
  readonly counters: TransferCounters
  readonly logger: Logger
  readonly timers: Timers
  readonly clock: Clock
}

/**
 * Carries out one operation and says whether the connection may carry another one. It may take over the
 * reader; then it gives it back before it settles. An error it throws closes the connection.
 */
export type OperationHandler = (
  connection: TransferConnection,
  operation: Operation,
) => Promise<'next' | 'close'>

/** One connection to the data transfer port: operations, one after the other. */
export class TransferConnection implements ByteSink {
  readonly context: TransferContext
  readonly reader: ExactReader
  readonly peer: string
  readonly #handle: OperationHandler
  readonly #onClose: () => void
  #operation: string | undefined
  /** Who the operation is for, by the name that its leases and caller context have, too. */
  #client: string | undefined
  #operationCount = 0
  #lastProgress = 0
  #lastCount = 0
  #isClosed = false
  /** Set while a client's block is being received. */
  #tellRestart: (() => void) | undefined

  constructor(
    accepted: Socket,
    context: TransferContext,
    handle: OperationHandler,
    onClose: () => void,
  ) {
    this.context = context
    this.peer = `${accepted.remoteAddress ?? 'unknown'}:${accepted.remotePort ?? 0}`
    this.#handle = handle
    this.#onClose = onClose
    this.reader = ExactReader.accept(accepted, this)
    this.reader.socket.on('close', () => this.#closed())
    this.reader.expectHead(operationPrefixBytes, operationHintBytes)
    this.reader.resume()
  }

  get socket(): Socket {
    return this.reader.socket
  }

  /** True between operations. */
  get isIdle(): boolean {
    return this.#operation === undefined
  }

  /** Bytes of this connection so far, in both directions. */
  get traffic(): { readonly receivedBytes: number; readonly sentBytes: number } {
    const { socket, bytesRead } = this.reader
    return { receivedBytes: bytesRead, sentBytes: socket.bytesWritten - socket.writableLength }
  }

  get operationCount(): number {
    return this.#operationCount
  }

  /** Milliseconds for which no byte has moved in either direction, as of `now`. */
  stalledMs(now: number): number {
    const { receivedBytes, sentBytes } = this.traffic
    const count = receivedBytes + sentBytes
    if (count !== this.#lastCount) {
      this.#lastCount = count
      this.#lastProgress = now
    }
    if (this.#lastProgress === 0) this.#lastProgress = now
    return now - this.#lastProgress
  }

  /** True while a client or another datanode writes here. */
  get isWriting(): boolean {
    return this.#operation === 'writeBlock'
  }

  /** Has `tell` called when this datanode is about to restart, until the operation is over. */
  onRestart(tell: () => void): void {
    this.#tellRestart = tell
  }

  announceRestart(): void {
    this.#tellRestart?.()
  }

  /** Sends a BlockOpResponse. */
  reply(response: EncodableOf<typeof blockOpResponse>): void {
    this.socket.write(encodeDelimited(blockOpResponse, response))
  }

  /** Throws unless `block` is of the block pool this datanode belongs to. */
  checkPool({ poolId, blockId }: ExtendedBlock): void {
    const own = this.context.store.identity?.blockPoolId
    if (poolId === own) return
    throw new DfsError(
      'IO_ERROR',
      `Cannot serve block ${blockId} of pool "${poolId}": this datanode serves "${own ?? 'none yet'}"`,
      { blockId },
    )
  }

  abort(reason: string): void {
    this.socket.destroy(new DfsError('TIMED_OUT', reason))
  }

  onHead(staged: Buffer): number {
    const taken = tryDecodeOperation(staged, 0, staged.length)
    if (taken === undefined) {
      this.reader.expectHead(staged.length + 1, operationHintBytes)
      return 0
    }
    this.reader.pause()
    this.#run(taken.value)
    return taken.next
  }

  onBody(): void {
    throw new DfsError('INTERNAL', 'An operation has no body')
  }

  onEnd(): void {
    if (this.isIdle) this.socket.end()
  }

  onClose(error: Error | undefined): void {
    if (error === undefined || this.#isExpected(error)) return
    this.context.logger.warn('transfer-connection-failed', {
      peer: this.peer,
      operation: this.#operation,
      client: this.#client,
      reason: error.message,
    })
  }

  /** Between operations a peer may leave as it likes. */
  #isExpected(error: Error): boolean {
    return this.isIdle && !(error instanceof DfsError)
  }

  #run(operation: Operation): void {
    this.#operation = operation.kind
    this.#client = clientOf(operation)
    this.#operationCount += 1
    if (this.#client !== undefined) this.context.store.usedByClient()
    this.#handle(this, operation).then(
      (then) => this.#finish(operation, then),
      (error: unknown) => this.#fail(operation, error),
    )
  }

  #finish({ kind }: Operation, then: 'next' | 'close'): void {
    this.context.counters.ended(kind, then === 'next' ? 'done' : 'failed')
    this.#operation = undefined
    this.#tellRestart = undefined
    if (this.socket.destroyed) return
    if (then === 'close') {
      // Never resumed: its next read may still be directed at memory that was given back.
      this.socket.destroySoon()
      return
    }
    this.reader.handTo(this)
    this.reader.expectHead(operationPrefixBytes, operationHintBytes)
    this.reader.resume()
    if (this.socket.readableEnded) this.socket.end()
  }

  #fail(operation: Operation, error: unknown): void {
    if (!(error instanceof DfsError)) throw error
    this.context.counters.ended(operation.kind, 'failed')
    if (error.code !== 'ABORTED') {
      this.context.logger.warn('transfer-operation-failed', {
        peer: this.peer,
        operation: operation.kind,
        client: this.#client,
        code: error.code,
        reason: error.message,
      })
    }
    this.socket.destroy()
  }

  #closed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#onClose()
  }
}

function clientOf({ message }: Operation): string | undefined {
  if (!('header' in message) || !('clientName' in message.header)) return undefined
  return message.header.clientName === '' ? undefined : message.header.clientName
}
