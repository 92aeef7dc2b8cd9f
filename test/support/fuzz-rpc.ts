/** Hadoop RPC conversations from mostly right to pure noise, and what their replies must look like. */
import fc from 'fast-check'
import { ByteReader } from '../../protocol/codec.ts'
import { FrameDecoder } from '../../protocol/frame.ts'
import { type Methods, methodTable, readDelimited, type Service } from '../../protocol/message.ts'
import { type RpcResponseHeader, rpcResponseHeader } from '../../protocol/messages/rpc.ts'
import { afterReplies, type Ending, endings, RawConnection } from './fuzz-connection.ts'
import { damage, delimited, varint, type WildMessages, wildText } from './fuzz-messages.ts'

/** One method that can be called. */
export interface Callable {
  readonly protocol: string
  readonly name: string
  readonly request: fc.Arbitrary<Buffer>
}

/** One frame of a conversation. */
interface Frame {
  readonly bytes: Buffer
  /** Method called, for messages. */
  readonly what: string
  /** `undefined` when the frame may end the connection or be no call. */
  readonly callId: number | undefined
}

/** One connection to an RPC port. */
export interface RpcScript {
  readonly preamble: Buffer
  readonly frames: readonly Frame[]
  readonly ending: Ending
  /** True when every frame is framed right and has a right header, so that each must be answered. */
  readonly isSound: boolean
}

const noClientId: Buffer = Buffer.alloc(16)
/** Ids of clients: one of their own, one shared with others, and ones no client should have. */
const clientIds = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((raw) => Buffer.from(raw)),
  },
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(16, 7)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw)) },
)
const preamble = Buffer.from('hrpc\x09\x00\x00', 'latin1')

function framed(content: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(content.length)
  return Buffer.concat([length, content])
}

function text(number: number, value: string): Buffer {
  return Buffer.concat([varint(BigInt(number * 8 + 2)), delimited(Buffer.from(value))])
}

function number(field: number, value: bigint): Buffer {
  return Buffer.concat([varint(BigInt(field * 8)), varint(value)])
}

function requestHeader(callId: number, clientId = noClientId, retryCount = 0): Buffer {
  return delimited(
    Buffer.concat([
      number(1, 2n),
      number(2, 0n),
      number(3, zigZag(callId)),
      Buffer.concat([Buffer.from([4 * 8 + 2]), delimited(clientId)]),
      number(5, zigZag(retryCount)),
    ]),
  )
}

function zigZag(value: number): bigint {
  return BigInt(value >= 0 ? value * 2 : -value * 2 - 1)
}

function contextFrame(user: string): Buffer {
  const information = delimited(text(1, user))
  const context = Buffer.concat([Buffer.from([2 * 8 + 2]), information])
  return framed(Buffer.concat([requestHeader(-3, noClientId, -1), delimited(context)]))
}

function methodHeader(name: string, protocol: string, version = 1n): Buffer {
  return delimited(Buffer.concat([text(1, name), text(2, protocol), number(3, version)]))
}

/** How much oftener a method that is served gets called than one that is not. */
const servedWeight = 6

/** Every method of `services`, each with any request; those that the server at `port` knows are there several times. */
export async function callablesOf(
  port: number,
  services: readonly unknown[],
  messages: readonly WildMessages[],
): Promise<Callable[]> {
  const all = services.flatMap((service) => {
    const known = service as Service<Methods>
    return Object.entries(methodTable(known)).map(([name, { request }]) => ({
      protocol: known.name,
      name,
      request: fc.oneof(...messages.map((table) => table.of(request))),
    }))
  })
  const unknown = await unknownMethods(port, all)
  return all.flatMap((callable) => {
    return unknown.has(callable.name) ? [callable] : Array<Callable>(servedWeight).fill(callable)
  })
}

/** Calls every method once with an empty request. */
async function unknownMethods(port: number, callables: readonly Callable[]): Promise<Set<string>> {
  const calls = callables.map((callable) => (callId: number) => {
    return callFrame(callable, callId, noClientId, delimited(Buffer.alloc(0)))
  })
  const replies = await play(port, script(preamble, 'nobody', calls, afterReplies, true))
  const unknown = new Set<string>()
  for (const { exceptionClassName, callId } of replies) {
    const name = callables[callId]?.name
    if (exceptionClassName?.endsWith('RpcNoSuchMethodException') && name) unknown.add(name)
  }
  return unknown
}

function callFrame(
  { protocol, name }: Callable,
  callId: number,
  clientId: Buffer,
  body: Buffer,
): Frame {
  const header = Buffer.concat([requestHeader(callId, clientId), methodHeader(name, protocol)])
  return { bytes: framed(Buffer.concat([header, body])), what: name, callId }
}

/** A well-framed call; its request may be anything. */
function soundCall(callables: readonly Callable[]): fc.Arbitrary<(callId: number) => Frame> {
  return fc
    .constantFrom(...callables)
    .chain((callable) => fc.tuple(fc.constant(callable), callable.request, damage, clientIds))
    .map(([callable, request, damaged, clientId]) => (callId: number): Frame => {
      return callFrame(callable, callId, clientId, damaged(delimited(request)))
    })
}

/** A frame with a fault outside the request: header, lengths, state of the connection. */
function unsoundFrame(callables: readonly Callable[]): fc.Arbitrary<(callId: number) => Frame> {
  const call = soundCall(callables)
  const noise = fc.uint8Array({ maxLength: 200 })
  const lengths = fc.constantFrom(
    -1,
    -(2 ** 31),
    2 ** 31 - 1,
    2 ** 27,
    2 ** 27 + 1,
    65_537,
    5,
    1,
    0,
  )
  const lone = (bytes: Buffer, what: string): Frame => ({ bytes, what, callId: undefined })
  return fc.oneof(
    fc.tuple(call, damage).map(([make, damaged]) => (id: number) => {
      const { bytes, what } = make(id)
      return lone(framed(damaged(bytes.subarray(4))), what)
    }),
    fc.tuple(call, lengths).map(([make, length]) => (id: number) => {
      const { bytes, what } = make(id)
      const copy = Buffer.from(bytes)
      copy.writeInt32BE(length)
      return lone(copy, what)
    }),
    noise.map((raw) => () => lone(framed(raw), 'noise in a frame')),
    noise.map((raw) => () => lone(Buffer.from(raw), 'noise')),
    fc.constantFrom('fuzzer', '', '@', 'x'.repeat(70_000)).map((user) => () => {
      return lone(contextFrame(user), 'another context')
    }),
    fc
      .tuple(fc.constantFrom(-1, -2, -4, -33, -34, -(2 ** 31), 2 ** 31 - 1), noise)
      .map(([id, raw]) => () => {
        return lone(framed(Buffer.concat([requestHeader(id), raw])), `call id ${id}`)
      }),
    fc
      .tuple(
        wildText(() => callables.map(({ name }) => name)),
        wildText(() => callables.map(({ protocol }) => protocol)),
        fc.constantFrom(0n, 1n, 2n, 2n ** 64n - 1n),
      )
      .map(([name, protocol, version]) => (id: number) => {
        const header = methodHeader(name.toString('latin1'), protocol.toString('latin1'), version)
        const bytes = framed(Buffer.concat([requestHeader(id), header, delimited(Buffer.alloc(0))]))
        return lone(bytes, 'unknown method')
      }),
  )
}

/** Any connection to an RPC port that offers `callables` to `users`. */
export function rpcScript(
  callables: readonly Callable[],
  users: readonly string[],
): fc.Arbitrary<RpcScript> {
  const call = soundCall(callables)
  const user = fc.constantFrom(...users)
  const sound = fc
    .tuple(user, fc.array(call, { minLength: 1, maxLength: 12 }))
    .map(([name, calls]): RpcScript => script(preamble, name, calls, afterReplies, true))
  const cutShort = fc
    .tuple(user, fc.array(call, { minLength: 1, maxLength: 8 }), endings)
    .map(([name, calls, ending]): RpcScript => script(preamble, name, calls, ending, false))
  const unsound = fc
    .tuple(
      user,
      fc.array(fc.oneof(call, unsoundFrame(callables)), { minLength: 1, maxLength: 8 }),
      endings,
    )
    .map(([name, calls, ending]): RpcScript => script(preamble, name, calls, ending, false))
  const openings = fc.oneof(
    fc.uint8Array({ maxLength: 64 }).map((raw) => Buffer.from(raw)),
    fc
      .constantFrom(
        'GET / HTTP/1.1\r\n\r\n',
        'hrpc',
        'hrpc\x04',
        'hrpc\x09\x00\xdf',
        'hrpc\x09\x00\x11',
      )
      .map((opening) => Buffer.from(opening, 'latin1')),
    fc.tuple(fc.constant(preamble), damage).map(([sure, damaged]) => damaged(sure)),
  )
  const noise = fc
    .tuple(openings, fc.array(unsoundFrame(callables), { maxLength: 5 }), endings)
    .map(([opening, frames, ending]): RpcScript => {
      return script(opening, undefined, frames, ending, false)
    })
  return fc.oneof(
    { weight: 6, arbitrary: sound },
    ...posing(callables, user),
    { weight: 2, arbitrary: cutShort },
    { weight: 3, arbitrary: unsound },
    { weight: 2, arbitrary: noise },
  )
}

/** Connections of somebody who registers as a datanode before anything else, where one can. */
function posing(
  callables: readonly Callable[],
  user: fc.Arbitrary<string>,
): fc.WeightedArbitrary<RpcScript>[] {
  const registrations = callables.filter(({ name }) => name === 'registerDatanode')
  if (registrations.length === 0) return []
  const others = callables.filter(({ protocol }) => protocol === registrations[0]?.protocol)
  const calls = fc.array(soundCall(others), { minLength: 1, maxLength: 8 })
  const arbitrary = fc
    .tuple(user, soundCall(registrations), calls)
    .map(([name, registration, rest]): RpcScript => {
      return script(preamble, name, [registration, ...rest], afterReplies, true)
    })
  return [{ weight: 2, arbitrary }]
}

function script(
  opening: Buffer,
  user: string | undefined,
  makers: readonly ((callId: number) => Frame)[],
  ending: Ending,
  isSound: boolean,
): RpcScript {
  const context = user === undefined ? Buffer.alloc(0) : contextFrame(user)
  const frames = makers.map((make, index) => make(index))
  return { preamble: Buffer.concat([opening, context]), frames, ending, isSound }
}

/** Reads every complete reply in `received`. */
function repliesIn(received: Buffer): RpcResponseHeader[] {
  const decoder = new FrameDecoder(2 ** 27)
  decoder.push(received)
  const replies: RpcResponseHeader[] = []
  while (decoder.next()) {
    const { buffer, start, end } = decoder
    replies.push(readDelimited(new ByteReader(buffer, start, end), rpcResponseHeader))
  }
  return replies
}

/** Plays a conversation and returns the replies; none when it was no Hadoop RPC from the start. */
async function play(port: number, script: RpcScript): Promise<RpcResponseHeader[]> {
  const connection = await RawConnection.open(port)
  connection.send(Buffer.concat([script.preamble, ...script.frames.map(({ bytes }) => bytes)]))
  const isAnswered = (): boolean =>
    script.isSound && repliesIn(connection.received()).length >= script.frames.length
  await connection.finish(script.ending, isAnswered)
  if (!script.preamble.subarray(0, preamble.length).equals(preamble)) return []
  return repliesIn(connection.received())
}

/**
 * Plays a conversation and checks the answers.
 * @throws when a reply tells of a fault of the server's own, or a sound call has no reply
 */
export async function playRpc(port: number, script: RpcScript): Promise<void> {
  const replies = await play(port, script)
  for (const reply of replies) checkReply(script, reply)
  if (!script.isSound || replies.length >= script.frames.length) return
  const answered = new Set(replies.map(({ callId }) => callId))
  const open = script.frames.filter(({ callId }) => callId !== undefined && !answered.has(callId))
  throw new Error(`No reply to ${open.map(frameText).join('; ')}`)
}

function checkReply({ frames }: RpcScript, reply: RpcResponseHeader): void {
  const { status, errorDetail, exceptionClassName = '', errorMsg } = reply
  if (status === 'SUCCESS') return
  const isOurFault =
    errorDetail === 'ERROR_RPC_SERVER' || /IllegalState|NullPointer/.test(exceptionClassName)
  if (!isOurFault) return
  const frame = frames.find(({ callId }) => callId === reply.callId)
  throw new Error(
    `${exceptionClassName} ${String(errorDetail)} "${String(errorMsg)}" in answer to ${frame === undefined ? 'noise' : frameText(frame)}`,
  )
}

function frameText({ what, bytes }: Frame): string {
  return `${what} ${bytes.toString('hex').slice(0, 4000)}`
}
