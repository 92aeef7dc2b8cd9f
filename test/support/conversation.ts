/**
 * Decodes recorded conversations completely. A recording is text: one line per turn, `>` client to
 * server or `<` server to client, then the bytes in hex; `#` starts a comment. Nothing may be left over,
 * no field may be unknown, and every chunk must fit its checksum.
 */
import { crc32, crc32c } from '../../base/checksum.ts'
import { ByteReader, wireTypes } from '../../protocol/codec.ts'
import {
  checkPacketChecksums,
  type Operation,
  type Packet,
  tryDecodeDelimited,
  tryDecodeOperation,
  tryDecodePacket,
} from '../../protocol/data-transfer.ts'
import { FrameDecoder } from '../../protocol/frame.ts'
import {
  type Fields,
  type MessageType,
  type Method,
  methodTable,
  readDelimited,
} from '../../protocol/message.ts'
import { clientDatanodeProtocol } from '../../protocol/messages/client-datanode.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import {
  blockOpResponse,
  type Checksum,
  clientReadStatus,
  type PipelineAck,
  pipelineAck,
} from '../../protocol/messages/data-transfer.ts'
import { datanodeProtocol } from '../../protocol/messages/datanode-namenode.ts'
import { interDatanodeProtocol } from '../../protocol/messages/inter-datanode.ts'
import { type RpcResponseHeader, rpcResponseHeader } from '../../protocol/messages/rpc.ts'
import { RpcServerConnection } from '../../protocol/rpc-server-connection.ts'

/** Both directions of a connection. */
export interface Recording {
  readonly client: Buffer
  readonly server: Buffer
}

/** Reads a recording from its text. */
export function parseRecording(text: string): Recording {
  const sides: Record<string, Buffer[]> = { '>': [], '<': [] }
  for (const line of text.split('\n')) {
    const direction = line[0] ?? '#'
    sides[direction]?.push(Buffer.from(line.slice(1).trim(), 'hex'))
  }
  return { client: Buffer.concat(sides['>'] ?? []), server: Buffer.concat(sides['<'] ?? []) }
}

const methodsByProtocol = new Map([
  [clientNamenodeProtocol.name, methodTable(clientNamenodeProtocol)],
  [datanodeProtocol.name, methodTable(datanodeProtocol)],
  [interDatanodeProtocol.name, methodTable(interDatanodeProtocol)],
  [clientDatanodeProtocol.name, methodTable(clientDatanodeProtocol)],
])

/** One call and its answer. */
export interface RpcExchange {
  readonly method: string
  readonly request: object
  header: RpcResponseHeader | undefined
  response: object | undefined
}

/** Decodes a Hadoop RPC connection; `user` is who the context named. */
export function decodeRpc(recording: Recording): { user: string; exchanges: RpcExchange[] } {
  const connection = new RpcServerConnection((protocol, _version, name) => {
    const method = methodsByProtocol.get(protocol)?.[name]
    if (method === undefined) throw new Error(`no table for ${protocol} ${name}`)
    return { name, method }
  })
  const exchanges = new Map<number, RpcExchange>()
  const types = new Map<number, Method<Fields, Fields>>()
  connection.push(recording.client)
  for (let call = connection.next(); call !== undefined; call = connection.next()) {
    const request = readWhole(connection.reader, call.target.method.request)
    types.set(call.callId, call.target.method)
    exchanges.set(call.callId, {
      method: call.target.name,
      request,
      header: undefined,
      response: undefined,
    })
  }
  if (connection.closeReason !== undefined) throw connection.closeReason
  if (connection.output.length > 0) throw new Error('a call was refused')
  const frames = new FrameDecoder(1 << 27)
  frames.push(recording.server)
  while (frames.next()) {
    const reader = new ByteReader(frames.buffer, frames.start, frames.end)
    const header = readDelimited(reader, rpcResponseHeader)
    const exchange = exchanges.get(header.callId | 0)
    const method = types.get(header.callId | 0)
    if (exchange === undefined || method === undefined) throw new Error('answer without a call')
    exchange.header = header
    if (header.status === 'SUCCESS') exchange.response = readWhole(reader, method.response)
    if (reader.remaining > 0) throw new Error(`${exchange.method}: bytes are left over`)
  }
  if (frames.pendingBytes > 0) throw new Error('the last answer is incomplete')
  return { user: connection.user, exchanges: [...exchanges.values()] }
}

/** What a data transfer connection carried. */
export interface Transfer {
  readonly operation: Operation
  readonly responses: object[]
  readonly packets: Packet[]
  readonly acks: PipelineAck[]
  /** Chunks whose checksum was verified. */
  chunks: number
}

/** Decodes a data transfer connection. With `isCut`, the last packet of either side may be incomplete. */
export function decodeTransfers(recording: Recording, isCut = false): Transfer[] {
  const client = new Cursor(recording.client, isCut)
  const server = new Cursor(recording.server, isCut)
  const transfers: Transfer[] = []
  while (!client.isDone) {
    const operation = client.take((buffer, start) =>
      tryDecodeOperation(buffer, start, buffer.length),
    )
    if (operation === undefined) break
    const transfer: Transfer = { operation, responses: [], packets: [], acks: [], chunks: 0 }
    transfers.push(transfer)
    if (operation.kind === 'writeBlock') decodeWrite(transfer, operation.message, client, server)
    else if (operation.kind === 'readBlock') decodeRead(transfer, client, server)
    else takeResponse(transfer, server)
  }
  if (!server.isDone) throw new Error('bytes of the server are left over')
  return transfers
}

function decodeWrite(
  transfer: Transfer,
  message: Extract<Operation, { kind: 'writeBlock' }>['message'],
  client: Cursor,
  server: Cursor,
): void {
  const isTransfer = message.stage.startsWith('TRANSFER_')
  const isAnswered = message.header.clientName !== '' && !isTransfer
  if (isAnswered) takeResponse(transfer, server)
  if (message.stage === 'PIPELINE_CLOSE_RECOVERY') return
  takePackets(transfer, client, message.requestedChecksum)
  if (isTransfer) takeResponse(transfer, server)
  while (isAnswered && !server.isDone) {
    const ack = server.take((buffer, start) =>
      tryDecodeDelimited(pipelineAck, buffer, start, buffer.length),
    )
    if (ack === undefined) return
    transfer.acks.push(ack)
  }
}

function decodeRead(transfer: Transfer, client: Cursor, server: Cursor): void {
  const response = takeResponse(transfer, server)
  const checksum = response?.readOpChecksumInfo?.checksum
  if (checksum === undefined) return
  takePackets(transfer, server, checksum)
  if (client.isDone || client.startsOperation) return
  const status = client.take((buffer, start) =>
    tryDecodeDelimited(clientReadStatus, buffer, start, buffer.length),
  )
  if (status !== undefined) transfer.responses.push(status)
}

function takeResponse(
  transfer: Transfer,
  server: Cursor,
): ReturnType<typeof blockOpResponse.codec.read> | undefined {
  if (server.isDone) return undefined
  const response = server.take((buffer, start) =>
    tryDecodeDelimited(blockOpResponse, buffer, start, buffer.length),
  )
  if (response !== undefined) transfer.responses.push(response)
  return response
}

function takePackets(transfer: Transfer, from: Cursor, checksum: Checksum): void {
  while (!from.isDone) {
    const packet = from.take((buffer, start) => tryDecodePacket(buffer, start, buffer.length))
    if (packet === undefined) return
    transfer.packets.push(packet)
    transfer.chunks += verifyPacket(packet, checksum)
    if (packet.header.lastPacketInBlock) return
  }
}

function verifyPacket(packet: Packet, { type, bytesPerChecksum }: Checksum): number {
  const { checksums, data, header } = packet
  checkPacketChecksums(
    { header, checksumsBytes: checksums.length, prefixBytes: 0 },
    type,
    bytesPerChecksum,
  )
  const crc = type === 'CHECKSUM_CRC32' ? crc32 : crc32c
  const count = checksums.length / 4
  for (let index = 0; index < count; index += 1) {
    const chunk = data.subarray(index * bytesPerChecksum, (index + 1) * bytesPerChecksum)
    if (crc(chunk) !== checksums.readUInt32BE(index * 4)) {
      throw new Error(`packet ${header.seqno}: chunk ${index} does not fit its checksum`)
    }
  }
  return count
}

class Cursor {
  readonly #buffer: Buffer
  readonly #isCut: boolean
  #position = 0

  constructor(buffer: Buffer, isCut: boolean) {
    this.#buffer = buffer
    this.#isCut = isCut
  }

  get isDone(): boolean {
    return this.#position === this.#buffer.length
  }

  get startsOperation(): boolean {
    return this.#buffer.readUInt16BE(this.#position) === 28
  }

  take<T>(
    decode: (buffer: Buffer, start: number) => { value: T; next: number } | undefined,
  ): T | undefined {
    const taken = decode(this.#buffer, this.#position)
    if (taken === undefined) {
      if (!this.#isCut)
        throw new Error(`bytes end inside a message that began at ${this.#position}`)
      this.#position = this.#buffer.length
      return undefined
    }
    this.#position = taken.next
    return taken.value
  }
}

/** Decodes a delimited message that must have no unknown fields. */
function readWhole(reader: ByteReader, type: MessageType<Fields>): object {
  const start = reader.position
  const length = reader.delimiter()
  checkFields(type, new ByteReader(reader.buffer, reader.position, reader.position + length))
  reader.position = start
  return readDelimited(reader, type)
}

/** Throws on a field that the table does not have. */
function checkFields(type: MessageType<Fields>, reader: ByteReader): void {
  while (reader.remaining > 0) {
    const tag = reader.uint32()
    const number = tag >>> 3
    const field = Object.values(type.fields).find((candidate) => candidate.number === number)
    if (field === undefined) throw new Error(`${type.name} has no field ${number}`)
    const nested = field.kind as Partial<MessageType<Fields>>
    if (nested.fields === undefined || (tag & 7) !== wireTypes.delimited) {
      reader.skip(tag & 7, number)
      continue
    }
    const end = reader.delimiter() + reader.position
    checkFields(nested as MessageType<Fields>, new ByteReader(reader.buffer, reader.position, end))
    reader.position = end
  }
}
