import { encodeOperation, opcodes, tryDecodeDelimited } from '../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import type { EncodableOf } from '../protocol/message.ts'
import { blockOpResponse, opWriteBlock, pipelineAck } from '../protocol/messages/data-transfer.ts'
import type { DatanodeInfo, StorageType } from '../protocol/messages/hdfs.ts'
import { ackSlowness, ackStatuses } from '../protocol/pipeline-ack.ts'
import type { PipelineAcknowledgement } from './core/write-pipeline.ts'
import {
  addressName,
  type ByteSink,
  type DatanodeAddress,
  type DatanodeConnection,
} from './datanode-connection.ts'
import type { OutgoingPacket } from './outgoing-packet.ts'
import { responseError } from './transfer-response.ts'

/** One datanode of a pipeline and the storage the namenode chose on it. */
export interface PipelineNode {
  readonly info: DatanodeInfo
  readonly storageId: string | undefined
  readonly storageType: StorageType
}

/** What an acknowledgement says about speed. */
export interface AcknowledgementSpeed {
  /** Whom the datanodes call slow; empty when they say nothing. */
  readonly isSlow: readonly boolean[]
  /** For how long the first datanode waited for the others. */
  readonly downstreamMs: number
}

/** What the owner of a pipeline connection is told. */
export interface PipelineListener {
  /** Every datanode accepted the set-up. */
  ready(): void
  acked(ack: PipelineAcknowledgement, speed: AcknowledgementSpeed): void
  /** The datanode at `failed` refused the set-up, or the connection to the first one is gone. */
  broken(failed: number, error: DfsError): void
}

/** Where clients reach a datanode's data transfer port. */
export function transferAddress({ id }: DatanodeInfo): DatanodeAddress {
  return { host: id.ipAddr, port: id.xferPort }
}

/**
 * The client's end of a pipeline: sends OP_WRITE_BLOCK and packets to the first datanode, reads its answer and the
 * acknowledgements. Packets may be sent before the answer; a datanode that refuses never looks at them.
 */
export class PipelineConnection implements ByteSink {
  readonly #connection: DatanodeConnection
  readonly #nodes: readonly PipelineNode[]
  readonly #listener: PipelineListener
  #buffer: Buffer
  #start = 0
  #end = 0
  #isAnswered = false
  #isOver = false

  constructor(
    connection: DatanodeConnection,
    nodes: readonly PipelineNode[],
    listener: PipelineListener,
  ) {
    this.#connection = connection
    this.#nodes = nodes
    this.#listener = listener
    this.#buffer = connection.scratch
  }

  get bytesReceived(): number {
    return this.#connection.bytesReceived
  }

  /** Sends the set-up; the listener hears of the answer. */
  start(operation: EncodableOf<typeof opWriteBlock>): void {
    this.#connection.attach(this)
    this.#connection.write(encodeOperation(opcodes.writeBlock, opWriteBlock, operation))
  }

  /** Sends a packet; its bytes stay untouched until it is acknowledged or this connection is closed. */
  send(packet: OutgoingPacket): void {
    this.#connection.write(packet.prefix, packet.data)
  }

  /** Closes without telling the listener. */
  close(): void {
    this.#isOver = true
    this.#connection.destroy()
  }

  destination(): Uint8Array {
    return this.#buffer.subarray(this.#end)
  }

  received(count: number): boolean {
    this.#end += count
    try {
      while (!this.#isOver && this.#next());
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#break(0, error)
    }
    return true
  }

  lost(error: DfsError): void {
    this.#break(0, error)
  }

  /** Handles one message; false when none is complete. */
  #next(): boolean {
    return this.#isAnswered ? this.#readAck() : this.#readAnswer()
  }

  #readAnswer(): boolean {
    const taken = tryDecodeDelimited(blockOpResponse, this.#buffer, this.#start, this.#end)
    if (taken === undefined) return this.#makeRoom()
    this.#start = taken.next
    const answer = taken.value
    if (answer.status === 'SUCCESS') {
      this.#isAnswered = true
      this.#listener.ready()
    } else {
      const { address } = this.#connection
      this.#break(this.#indexOf(answer.firstBadLink), responseError(answer, address, 'write'))
    }
    return true
  }

  #readAck(): boolean {
    const taken = tryDecodeDelimited(pipelineAck, this.#buffer, this.#start, this.#end)
    if (taken === undefined) return this.#makeRoom()
    this.#start = taken.next
    const statuses = ackStatuses(taken.value)
    if (statuses.length > this.#nodes.length) {
      throw new DfsError('BAD_FRAME', `An acknowledgement names ${statuses.length} datanodes`)
    }
    const isGood = statuses.map((status) => status === 'SUCCESS')
    const { seqno, downstreamAckTimeNanos } = taken.value
    const downstreamMs = Number(downstreamAckTimeNanos / 1_000_000n)
    const isSlow = ackSlowness(taken.value)
    this.#listener.acked({ seqno, isGood }, { isSlow, downstreamMs })
    return true
  }

  /** Moves what is incomplete to the front of a buffer with room behind it. Always false. */
  #makeRoom(): boolean {
    const have = this.#end - this.#start
    const target =
      have < this.#buffer.length ? this.#buffer : Buffer.allocUnsafeSlow(2 * this.#buffer.length)
    this.#buffer.copy(target, 0, this.#start, this.#end)
    this.#buffer = target
    this.#start = 0
    this.#end = have
    return false
  }

  /** `firstBadLink` is `ip:port` as the namenode wrote it; an unknown or absent name blames the first node. */
  #indexOf(firstBadLink: string | undefined): number {
    const index = this.#nodes.findIndex(
      ({ info }) => addressName(transferAddress(info)) === firstBadLink,
    )
    return Math.max(index, 0)
  }

  #break(failed: number, error: DfsError): void {
    if (this.#isOver) return
    this.close()
    this.#listener.broken(failed, error)
  }
}
