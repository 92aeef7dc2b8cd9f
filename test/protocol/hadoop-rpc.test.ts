import t from 'tap'
import { ByteReader, ByteWriter } from '../../protocol/codec.ts'
import { DfsError } from '../../protocol/errors.ts'
import { FrameDecoder } from '../../protocol/frame.ts'
import {
  beginFrame,
  callerContextMax,
  encodeCallerContext,
  endFrame,
  failureOf,
  RequestHeaderFields,
  specialCallIds,
  writeCallHeader,
  writeControlHeader,
} from '../../protocol/hadoop-rpc.ts'
import {
  decodeMessage,
  encodeDelimited,
  readDelimited,
  writeDelimited,
} from '../../protocol/message.ts'
import { getFileInfoRequest, getFileInfoResponse } from '../../protocol/messages/client-namenode.ts'
import {
  emptyMessage,
  ipcConnectionContext,
  requestHeader,
  rpcRequestHeader,
  rpcResponseHeader,
  rpcSasl,
} from '../../protocol/messages/rpc.ts'
import { encodeMethodHeader, RpcClientConnection } from '../../protocol/rpc-client-connection.ts'
import { MethodCache, RpcServerConnection } from '../../protocol/rpc-server-connection.ts'

const protocol = 'org.apache.hadoop.hdfs.protocol.ClientProtocol'
const clientId = Buffer.from('0123456789abcdef')
const preamble = Buffer.from('68727063090000', 'hex')
const saslPreamble = Buffer.from('687270630900df', 'hex')

type Header = Parameters<typeof rpcRequestHeader.codec.write>[1]

function frame(...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length)
  return Buffer.concat([length, body])
}

function header(callId: number, changes: Partial<Header> = {}): Uint8Array {
  return encodeDelimited(rpcRequestHeader, {
    rpcKind: 'RPC_PROTOCOL_BUFFER',
    rpcOp: 'RPC_FINAL_PACKET',
    callId,
    clientId,
    retryCount: callId < 0 ? -1 : 0,
    ...changes,
  })
}

function context(userInfo?: { effectiveUser?: string; realUser?: string }): Buffer {
  return frame(header(-3), encodeDelimited(ipcConnectionContext, { userInfo, protocol }))
}

function call(
  callId: number,
  method = 'getFileInfo',
  path = '/',
  name = protocol,
  version = 1,
): Buffer {
  return frame(
    header(callId),
    encodeMethodHeader(name, version, method),
    encodeDelimited(getFileInfoRequest, { src: path }),
  )
}

function sasl(state: 'NEGOTIATE' | 'INITIATE' | 'RESPONSE', ...methods: readonly string[]): Buffer {
  const auths = methods.map((method) => ({ method, mechanism: '' }))
  return frame(
    header(-33, { clientId: Buffer.alloc(0) }),
    encodeDelimited(rpcSasl, { state, auths }),
  )
}

const root = context({ effectiveUser: 'root' })

function resolve(name: string, version: number, method: string): string {
  if (name !== protocol) throw new DfsError('NO_SUCH_PROTOCOL', `Unknown protocol: ${name}`)
  if (version !== 1) throw new DfsError('VERSION_MISMATCH', `Version ${version} is not served`)
  if (method !== 'getFileInfo') {
    throw new DfsError('NO_SUCH_METHOD', `Unknown method ${method} called on ${name} protocol.`)
  }
  return method
}

/** Feeds a server in pieces and collects what it hands out; every call is answered as missing. */
function serve(
  input: Buffer,
  size: number = input.length,
): { server: RpcServerConnection<string>; paths: string[]; replies: Reply[]; raw: Buffer } {
  const server = new RpcServerConnection(resolve, new MethodCache<string>(), {
    rpcFrameBytesMax: 1000,
    rpcFrameBeforeContextBytesMax: 200,
  })
  const paths: string[] = []
  for (let start = 0; start < input.length; start += size) {
    server.push(Buffer.from(input.subarray(start, start + size)))
    for (let next = server.next(); next !== undefined; next = server.next()) {
      paths.push(readDelimited(server.reader, getFileInfoRequest).src)
      const mark = server.beginReply(next)
      writeDelimited(server.output, getFileInfoResponse, {})
      server.endReply(mark)
    }
  }
  const raw = server.output.copy()
  return { server, paths, raw, replies: repliesIn(raw) }
}

interface Reply {
  readonly header: ReturnType<typeof rpcResponseHeader.codec.read>
  readonly rest: Buffer
}

function repliesIn(bytes: Buffer): Reply[] {
  const frames = new FrameDecoder(1 << 20)
  frames.push(bytes)
  const replies: Reply[] = []
  try {
    while (frames.next()) {
      const reader = new ByteReader(frames.buffer, frames.start, frames.end)
      const decoded = readDelimited(reader, rpcResponseHeader)
      replies.push({ header: decoded, rest: reader.buffer.subarray(reader.position, reader.end) })
    }
  } catch {
    return []
  }
  return replies
}

t.test('FrameDecoder finds the same frames in every split', async (t) => {
  const bodies = ['', 'a', 'bcd', 'x'.repeat(300), '', 'end']
  const stream = Buffer.concat(bodies.map((body) => frame(Buffer.from(body))))
  for (let size = 1; size <= stream.length; size += 1) {
    const decoder = new FrameDecoder(300)
    const found: string[] = []
    for (let start = 0; start < stream.length; start += size) {
      decoder.push(stream.subarray(start, start + size))
      while (decoder.next())
        found.push(decoder.buffer.toString('latin1', decoder.start, decoder.end))
    }
    t.strictSame(found, bodies)
    t.equal(decoder.pendingBytes, 0)
  }
})

t.test(
  'FrameDecoder refuses lengths over its limit and keeps no more than it was given',
  async (t) => {
    const lengthOf = (length: number): Buffer => {
      const bytes = Buffer.alloc(4)
      bytes.writeInt32BE(length)
      return bytes
    }
    for (const [length, isRefused] of [
      [99, false],
      [100, false],
      [101, true],
      [-1, true],
      [2 ** 31 - 1, true],
    ] as const) {
      const decoder = new FrameDecoder(100)
      decoder.push(lengthOf(length))
      if (isRefused) t.throws(() => decoder.next(), { code: 'LIMIT_EXCEEDED' }, `${length}`)
      else t.equal(decoder.next(), false)
    }
    const decoder = new FrameDecoder(1 << 27)
    decoder.push(lengthOf(1 << 27))
    t.equal(decoder.next(), false)
    t.equal(decoder.pendingBytes, 4)
    const split = new FrameDecoder(100)
    split.push(lengthOf(101).subarray(0, 2))
    t.equal(split.next(), false)
    split.push(lengthOf(101).subarray(2))
    t.throws(() => split.next(), { code: 'LIMIT_EXCEEDED' })
    const pulled = new FrameDecoder(100)
    pulled.push(Buffer.concat([frame(Buffer.from('1')), frame(Buffer.from('2'))]))
    t.ok(pulled.next())
    pulled.push(frame(Buffer.from('3')))
    t.ok(pulled.next() && pulled.next())
    t.equal(
      pulled.buffer.toString('latin1', pulled.start, pulled.end),
      '3',
      'pushed while not empty',
    )
  },
)

t.test('call ids -33 and -3 are zig-zag in requests and unsigned in responses', async (t) => {
  for (const callId of [-33, -3, -4, 0, 2 ** 31 - 1]) {
    const writer = new ByteWriter()
    writeCallHeader(writer, callId, clientId, 2)
    const decoded = readDelimited(new ByteReader(writer.view()), rpcRequestHeader)
    t.match(decoded, { callId, retryCount: 2, rpcKind: 'RPC_PROTOCOL_BUFFER' })
  }
  const control = new ByteWriter()
  writeControlHeader(control, specialCallIds.context, clientId)
  t.same(
    control.copy().toString('hex'),
    `1a0802100018052210303132333435363738396162636465662801`,
    'the header hdfs-native sends',
  )
  const { raw } = serve(Buffer.concat([saslPreamble, sasl('NEGOTIATE')]))
  t.match(repliesIn(raw)[0]?.header, { callId: 4294967263, status: 'SUCCESS' })
})

t.test('a caller context is read for its own call only, and cut when it is long', async (t) => {
  const header = new RequestHeaderFields()
  const contextOf = (context?: Uint8Array): string | undefined => {
    const writer = new ByteWriter()
    writeCallHeader(writer, 1, clientId, 0, context)
    const reader = new ByteReader(writer.copy())
    header.read(reader)
    t.equal(reader.position, reader.end, 'everything was read')
    return header.callerContext
  }
  const job = encodeCallerContext('job_7')
  t.equal(contextOf(job), 'job_7')
  t.equal(contextOf(job), 'job_7')
  t.equal(contextOf(), undefined)
  t.equal(contextOf(encodeCallerContext('job_8')), 'job_8')
  t.equal(contextOf(encodeCallerContext('')), '')
  t.equal(contextOf(encodeCallerContext('ä'.repeat(1000))), 'ä'.repeat(callerContextMax))
  t.throws(() => contextOf(new Uint8Array([0x12, 0x01, 0x00])), { code: 'BAD_FRAME' })
  t.throws(() => contextOf(new Uint8Array([0x0a, 0x7f])), { code: 'BAD_FRAME' })
})

t.test('a call is answered with an empty message when there is nothing to say', async (t) => {
  const { raw, paths, server } = serve(
    Buffer.concat([preamble, root, call(7, 'getFileInfo', '/ä')]),
  )
  t.same(paths, ['/ä'])
  t.equal(raw.toString('hex'), `0000001c1a0807100018093a1030313233343536373839616263646566400000`)
  t.match(server, { user: 'root', realUser: undefined, isOpen: true, closeReason: undefined })
  t.same([...server.protocols], [protocol])
})

t.test('a connection is served alike in every split of its bytes', async (t) => {
  const input = Buffer.concat([
    preamble,
    root,
    call(0, 'getFileInfo', '/a'),
    frame(header(-4)),
    call(1, 'getFileInfo', '/b'),
    call(2, 'nothing', '/c'),
    call(3, 'getFileInfo', '/d'),
  ])
  const whole = serve(input)
  t.same(whole.paths, ['/a', '/b', '/d'])
  t.equal(whole.replies.length, 4, 'a ping has no answer')
  for (let size = 1; size < input.length; size += 1) {
    const split = serve(input, size)
    t.same(split.paths, whole.paths)
    t.same(split.raw, whole.raw)
  }
})

t.test('bad preambles are answered in their own way and closed', async (t) => {
  const http = serve(Buffer.from('GET / HTTP/1.1\r\n'))
  t.match(
    http.raw.toString(),
    /^HTTP\/1\.1 404 Not Found\r\nContent-type: text\/plain\r\n\r\nIt looks/,
  )
  t.ok(http.server.closeReason)
  for (const [bytes, detail, javaClass] of [
    ['16030100', 'FATAL_VERSION_MISMATCH', 'org.apache.hadoop.ipc.RPC$VersionMismatch'],
    ['687270630a', 'FATAL_VERSION_MISMATCH', 'org.apache.hadoop.ipc.RPC$VersionMismatch'],
    ['6872706302', 'FATAL_VERSION_MISMATCH', 'org.apache.hadoop.ipc.RPC$VersionMismatch'],
    ['68727063090051', 'FATAL_UNAUTHORIZED', 'org.apache.hadoop.ipc.IpcException'],
  ] as const) {
    const { replies, server } = serve(Buffer.from(bytes, 'hex'), 1)
    t.match(replies[0]?.header, {
      callId: 4294967295,
      status: 'FATAL',
      errorDetail: detail,
      exceptionClassName: javaClass,
      retryCount: -1,
    })
    t.equal(replies[0]?.rest.length, 0)
    t.ok(server.closeReason)
    server.push(Buffer.from('more'))
    t.equal(server.next(), undefined)
  }
  for (const version of ['03', '04', '08']) {
    const { raw, server } = serve(Buffer.from(`68727063${version}`, 'hex'))
    t.same(raw.subarray(0, 8), Buffer.alloc(8, 0xff))
    t.equal(raw.readInt32BE(8), 'org.apache.hadoop.ipc.RPC$VersionMismatch'.length)
    t.ok(server.closeReason)
  }
  t.equal(serve(preamble.subarray(0, 6)).server.closeReason, undefined)
})

t.test('what breaks the rules of dispatch is FATAL with the right detail', async (t) => {
  const open = Buffer.concat([preamble, root])
  const method = encodeMethodHeader(protocol, 1, 'getFileInfo')
  const cases: [string, Buffer, string, RegExp][] = [
    [
      'call before context',
      Buffer.concat([preamble, call(5)]),
      'FATAL_INVALID_RPC_HEADER',
      /not established/,
    ],
    ['second context', Buffer.concat([open, root]), 'FATAL_INVALID_RPC_HEADER', /already/],
    [
      'no kind',
      Buffer.concat([open, frame(header(5, { rpcKind: undefined }), method)]),
      'FATAL_INVALID_RPC_HEADER',
      /kind/,
    ],
    [
      'other kind',
      Buffer.concat([open, frame(header(5, { rpcKind: 'RPC_WRITABLE' }), method)]),
      'FATAL_INVALID_RPC_HEADER',
      /Unknown rpc kind/,
    ],
    [
      'no op',
      Buffer.concat([open, frame(header(5, { rpcOp: undefined }), method)]),
      'FATAL_INVALID_RPC_HEADER',
      /No rpc op/,
    ],
    [
      'other op',
      Buffer.concat([open, frame(header(5, { rpcOp: 'RPC_CLOSE_CONNECTION' }), method)]),
      'FATAL_INVALID_RPC_HEADER',
      /operation 2/,
    ],
    [
      'out of band',
      Buffer.concat([open, frame(header(-7))]),
      'FATAL_INVALID_RPC_HEADER',
      /out of band call -7/,
    ],
    [
      'no method header',
      Buffer.concat([open, frame(header(5))]),
      'FATAL_DESERIALIZING_REQUEST',
      /end at/,
    ],
    [
      'bad method header',
      Buffer.concat([open, frame(header(5), Buffer.from('020a00', 'hex'))]),
      'FATAL_DESERIALIZING_REQUEST',
      /RequestHeader/,
    ],
    [
      'garbage context',
      Buffer.concat([preamble, frame(header(-3), Buffer.from('0212ff', 'hex'))]),
      'FATAL_DESERIALIZING_REQUEST',
      /end at offset/,
    ],
    ['no user', Buffer.concat([preamble, context()]), 'FATAL_UNAUTHORIZED', /effective user/],
    [
      'empty user',
      Buffer.concat([preamble, context({ effectiveUser: '@REALM' })]),
      'FATAL_UNAUTHORIZED',
      /effective user/,
    ],
    [
      'sasl after simple',
      Buffer.concat([preamble, sasl('NEGOTIATE')]),
      'FATAL_UNAUTHORIZED',
      /not negotiated/,
    ],
  ]
  for (const [name, input, errorDetail, errorMsg] of cases) {
    const { replies, server } = serve(input)
    t.match(replies.at(-1)?.header, { status: 'FATAL', errorDetail, errorMsg }, name)
    t.equal(replies.at(-1)?.rest.length, 0, name)
    t.ok(server.closeReason, name)
  }
  const { replies } = serve(Buffer.concat([open, frame(Buffer.from('0208ff', 'hex'))]))
  t.match(replies[0]?.header, { callId: 4294967295, errorDetail: 'FATAL_DESERIALIZING_REQUEST' })
  const long = Buffer.alloc(4)
  long.writeInt32BE(201)
  t.ok(serve(Buffer.concat([preamble, long])).server.closeReason, 'long frame before the context')
  t.notOk(serve(Buffer.concat([open, long])).server.closeReason, 'which is fine after it')
  long.writeInt32BE(1001)
  t.match(serve(Buffer.concat([open, long])).replies[0]?.header, { status: 'FATAL' })
})

t.test(
  'unknown protocols, versions and methods are ERRORs and the connection goes on',
  async (t) => {
    const input = Buffer.concat([
      preamble,
      root,
      call(1, 'getFileInfo', '/', 'org.example.Other'),
      call(2, 'getFileInfo', '/', protocol, 2),
      call(3, 'msync'),
      call(4, 'msync'),
      call(5),
    ])
    const { replies, paths, server } = serve(input)
    t.match(
      replies.map((reply) => reply.header),
      [
        {
          callId: 1,
          status: 'ERROR',
          errorDetail: 'ERROR_NO_SUCH_PROTOCOL',
          exceptionClassName: 'org.apache.hadoop.ipc.RpcNoSuchProtocolException',
        },
        {
          callId: 2,
          status: 'ERROR',
          errorDetail: 'ERROR_RPC_VERSION_MISMATCH',
          exceptionClassName: 'org.apache.hadoop.ipc.RPC$VersionMismatch',
        },
        {
          callId: 3,
          status: 'ERROR',
          errorDetail: 'ERROR_NO_SUCH_METHOD',
          exceptionClassName: 'org.apache.hadoop.ipc.RpcNoSuchMethodException',
          errorMsg: `Unknown method msync called on ${protocol} protocol.`,
        },
        { callId: 4, status: 'ERROR' },
        { callId: 5, status: 'SUCCESS' },
      ],
    )
    t.same(paths, ['/'])
    t.equal(server.closeReason, undefined)
  },
)

t.test('SASL is answered with a switch to simple authentication', async (t) => {
  const simple = Buffer.concat([saslPreamble, sasl('NEGOTIATE'), root, call(1)])
  for (const input of [
    simple,
    Buffer.concat([saslPreamble, sasl('NEGOTIATE'), sasl('INITIATE', 'SIMPLE'), root, call(1)]),
  ]) {
    const { replies, paths } = serve(input)
    t.same(paths, ['/'])
    t.equal(replies.length, 2)
    t.match(replies[0]?.header, {
      callId: 4294967263,
      status: 'SUCCESS',
      clientId: Buffer.alloc(0),
    })
    const message = readDelimited(new ByteReader(replies[0]?.rest ?? Buffer.alloc(0)), rpcSasl)
    t.match(message, { state: 'SUCCESS', auths: [], token: undefined })
  }
  for (const input of [
    [sasl('NEGOTIATE'), sasl('NEGOTIATE')],
    [sasl('NEGOTIATE'), sasl('INITIATE', 'TOKEN')],
    [sasl('RESPONSE')],
    [root],
  ]) {
    const { replies, server } = serve(Buffer.concat([saslPreamble, ...input]))
    t.match(replies.at(-1)?.header, {
      status: 'FATAL',
      errorDetail: 'FATAL_UNAUTHORIZED',
      exceptionClassName: 'org.apache.hadoop.security.AccessControlException',
    })
    t.ok(server.closeReason)
  }
  const bad = serve(Buffer.concat([saslPreamble, frame(header(-33), Buffer.from('00', 'hex'))]))
  t.match(bad.replies[0]?.header, { errorDetail: 'FATAL_DESERIALIZING_REQUEST' })
})

t.test('users are known by their short names; proxied ones keep the real user', async (t) => {
  const userInfo = { effectiveUser: 'ann/host@REALM', realUser: 'hive@REALM' }
  const { server } = serve(Buffer.concat([preamble, context(userInfo)]))
  t.match(server, { user: 'ann', realUser: 'hive' })
})

t.test('retry count and client id are echoed, and one client id is kept once', async (t) => {
  const other = Buffer.from('ABCDEFGHIJKLMNOP')
  const withHeader = (changes: Partial<Header>): Buffer =>
    frame(
      header(9, changes),
      encodeMethodHeader(protocol, 1, 'getFileInfo'),
      encodeDelimited(getFileInfoRequest, { src: '/' }),
    )
  const input = Buffer.concat([
    preamble,
    root,
    withHeader({ retryCount: undefined }),
    withHeader({ retryCount: 3, clientId: other }),
  ])
  const { replies } = serve(input)
  t.match(replies[0]?.header, { retryCount: -1, clientId })
  t.match(replies[1]?.header, { retryCount: 3, clientId: other })
  const server = new RpcServerConnection(resolve)
  server.push(Buffer.concat([preamble, root, call(1), call(2)]))
  const first = server.next()
  readDelimited(server.reader, getFileInfoRequest)
  const second = server.next()
  t.equal(first?.clientId, second?.clientId)
  t.same(Buffer.from(first?.clientId ?? []), clientId)
})

t.test('one flipped bit never gets further than an answer or a close', async (t) => {
  const input = Buffer.concat([preamble, root, call(1), call(2)])
  for (let bit = 0; bit < input.length * 8; bit += 1) {
    const damaged = Buffer.from(input)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    try {
      serve(damaged)
    } catch (error) {
      if (!(error instanceof DfsError)) throw error
      t.equal(error.code, 'BAD_FRAME', 'the request itself does not decode')
    }
  }
})

t.test('failureOf() tells errors as HDFS clients understand them', async (t) => {
  t.match(failureOf(new DfsError('SAFE_MODE', 'Cannot write')), {
    detail: 'ERROR_APPLICATION',
    javaClass: 'org.apache.hadoop.hdfs.server.namenode.SafeModeException',
    message: 'Cannot write',
  })
  t.match(failureOf(new Error('oops')), {
    detail: 'ERROR_RPC_SERVER',
    javaClass: 'java.lang.IllegalStateException',
    message: 'oops',
  })
  t.match(failureOf('text'), { message: 'text' })
})

t.test(
  'RpcClientConnection speaks what RpcServerConnection understands, in every split',
  async (t) => {
    const client = new RpcClientConnection({ clientId, user: 'ann', realUser: 'hive', protocol })
    const methodHeader = encodeMethodHeader(protocol, 1, 'getFileInfo')
    const outgoing = { retryCount: 0, methodHeader, type: getFileInfoRequest } as const
    client.writeCall({ ...outgoing, callId: 1, request: { src: '/a' } })
    client.writeCall({ ...outgoing, callId: 2 ** 31 - 1, request: { src: '/b' } })
    const { server, paths, raw } = serve(client.output.copy(), 3)
    t.match(server, { user: 'ann', realUser: 'hive' })
    t.same(paths, ['/a', '/b'])
    for (let size = 1; size < raw.length; size += 1) {
      const receiver = new RpcClientConnection({ clientId, user: 'ann', protocol })
      const callIds: number[] = []
      for (let start = 0; start < raw.length; start += size) {
        receiver.push(raw.subarray(start, start + size))
        for (let next = receiver.next(); next !== undefined; next = receiver.next()) {
          t.equal(next.kind, 'success')
          t.same(readDelimited(receiver.reader, emptyMessage), {})
          callIds.push(next.callId)
        }
      }
      t.same(callIds, [1, 2 ** 31 - 1])
    }
  },
)

t.test('RpcClientConnection turns error replies into errors and refuses strangers', async (t) => {
  const replyFrame = (fields: Parameters<typeof rpcResponseHeader.codec.write>[1]): Buffer => {
    const writer = new ByteWriter()
    const mark = beginFrame(writer)
    writeDelimited(writer, rpcResponseHeader, fields)
    endFrame(writer, mark)
    return writer.copy()
  }
  const receive = (bytes: Buffer): ReturnType<RpcClientConnection['next']> => {
    const client = new RpcClientConnection({ clientId, user: 'ann', protocol }, 1000)
    client.push(bytes)
    return client.next()
  }
  t.match(
    receive(
      replyFrame({
        callId: 4,
        status: 'ERROR',
        exceptionClassName: 'java.io.FileNotFoundException',
        errorMsg: 'File does not exist: /x\n\tat org.apache.Something',
        clientId,
      }),
    ),
    {
      kind: 'failure',
      callId: 4,
      isFatal: false,
      error: { code: 'FILE_NOT_FOUND', message: 'File does not exist: /x' },
    },
  )
  t.match(receive(replyFrame({ callId: 4294967295, status: 'FATAL', exceptionClassName: 'a.B' })), {
    kind: 'failure',
    callId: -1,
    isFatal: true,
    error: { code: 'IO_ERROR', message: 'a.B', javaClass: 'a.B' },
  })
  t.match(receive(replyFrame({ callId: 1, status: 'ERROR' })), {
    error: { javaClass: 'java.io.IOException' },
  })
  t.match(receive(replyFrame({ callId: 1, status: 'SUCCESS', clientId: Buffer.alloc(0) })), {
    kind: 'success',
  })
  t.throws(
    () => receive(replyFrame({ callId: 1, status: 'SUCCESS', clientId: Buffer.alloc(16) })),
    { code: 'BAD_FRAME', message: /another client id/ },
  )
  t.throws(() => receive(Buffer.from('HTTP/1.1 400')), { code: 'LIMIT_EXCEEDED' })
  t.throws(() => receive(frame(Buffer.from('0108', 'hex'))), { code: 'BAD_FRAME' })
})

t.test('a call that does not encode leaves nothing behind', async (t) => {
  const client = new RpcClientConnection({ clientId, user: 'ann', protocol })
  const before = client.output.length
  const methodHeader = encodeMethodHeader(protocol, 1, 'getFileInfo')
  const request = {} as { src: string }
  t.throws(
    () =>
      client.writeCall({
        callId: 1,
        retryCount: 0,
        methodHeader,
        type: getFileInfoRequest,
        request,
      }),
    {
      code: 'INVALID_ARGUMENT',
    },
  )
  t.equal(client.output.length, before)
  t.match(decodeMessage(requestHeader, methodHeader.subarray(1)), { methodName: 'getFileInfo' })
})
