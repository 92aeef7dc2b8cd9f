import { once } from 'node:events'
import net from 'node:net'
import t, { type Test } from 'tap'
import type { TimerHandle, Timers } from '../../base/clock.ts'
import type { LogFields, Logger } from '../../base/log.ts'
import { silentLogger } from '../../base/log.ts'
import { systemClock, systemTimers } from '../../base/system.ts'
import { ByteWriter } from '../../protocol/codec.ts'
import { DfsError } from '../../protocol/errors.ts'
import { beginFrame, endFrame, writeCallHeader } from '../../protocol/hadoop-rpc.ts'
import { writeDelimited } from '../../protocol/message.ts'
import {
  clientNamenodeProtocol,
  getFileInfoRequest,
} from '../../protocol/messages/client-namenode.ts'
import { datanodeProtocol } from '../../protocol/messages/datanode-namenode.ts'
import { encodeMethodHeader, RpcClientConnection } from '../../protocol/rpc-client-connection.ts'
import { RpcClient, type RpcClientOptions } from '../../transport/rpc-client.ts'
import {
  type RpcConnectionInfo,
  type RpcHandlers,
  RpcServer,
  type RpcServerOptions,
} from '../../transport/rpc-server.ts'

type Handlers = RpcHandlers<typeof clientNamenodeProtocol>

interface Line {
  readonly event: string
  readonly fields: LogFields | undefined
}

/** A logger that remembers warnings and errors. */
function recordingLogger(): { logger: Logger; lines: Line[] } {
  const lines: Line[] = []
  const record = (event: string, fields?: LogFields): void => {
    lines.push({ event, fields })
  }
  const logger: Logger = {
    ...silentLogger,
    warn: record,
    error: record,
    child: () => logger,
  }
  return { logger, lines }
}

interface Served {
  readonly server: RpcServer
  readonly port: number
  readonly lines: Line[]
}

async function serve(
  t: Test,
  handlers: Handlers,
  options: Partial<RpcServerOptions> = {},
): Promise<Served> {
  const { logger, lines } = recordingLogger()
  const server = new RpcServer({
    host: '127.0.0.1',
    port: 0,
    logger,
    clock: systemClock,
    timers: systemTimers,
    ...options,
  })
  server.register(clientNamenodeProtocol, handlers)
  const address = await server.listen()
  t.teardown(() => server.close())
  return { server, port: address.port, lines }
}

function connect(t: Test, port: number, options: Partial<RpcClientOptions> = {}): RpcClient {
  const client = new RpcClient({
    host: '127.0.0.1',
    port,
    user: 'ann',
    connectTimeoutMs: 5000,
    callTimeoutMs: 10_000,
    logger: silentLogger,
    timers: systemTimers,
    ...options,
  })
  t.teardown(() => {
    client.close()
  })
  return client
}

async function rawSocket(t: Test, port: number): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => undefined)
  t.teardown(() => {
    socket.destroy()
  })
  await once(socket, 'connect')
  return socket
}

/** Preamble, context and `count` getFileInfo calls. */
function callsOf(count: number, path = '/'): Buffer {
  const identity = {
    clientId: Buffer.alloc(16, 1),
    user: 'ann',
    protocol: clientNamenodeProtocol.name,
  }
  const connection = new RpcClientConnection(identity)
  const methodHeader = encodeMethodHeader(clientNamenodeProtocol.name, 1, 'getFileInfo')
  for (let callId = 0; callId < count; callId += 1) {
    const call = { callId, retryCount: 0, methodHeader, type: getFileInfoRequest }
    connection.writeCall({ ...call, request: { src: path } })
  }
  return connection.output.copy()
}

/** A promise and the function that fulfils it. */
function gate(): { promise: Promise<void>; open: () => void } {
  let open = (): void => undefined
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets the event loop do whatever it has to do. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** Timers that fire only when told to. */
function manualTimers(): { timers: Timers; pending: Set<() => void> } {
  const pending = new Set<() => void>()
  const start = (action: () => void): TimerHandle => {
    pending.add(action)
    return { cancel: () => void pending.delete(action) }
  }
  return {
    pending,
    timers: { after: (_ms, action) => start(action), every: (_ms, action) => start(action) },
  }
}

const missing: Handlers = { getFileInfo: () => ({}) }

t.test(
  'call() carries request, reply, user and identity, for sync and async handlers',
  async (t) => {
    const seen: object[] = []
    const { port, server } = await serve(t, {
      getFileInfo: (_request, { user, realUser, callId, retryCount, clientId, connection }) => {
        seen.push({ user, realUser, callId, retryCount, clientId: clientId.length, connection })
        return {}
      },
      mkdirs: async ({ src }) => {
        await Promise.resolve()
        return { result: src === '/yes' }
      },
    })
    server.register(datanodeProtocol, { errorReport: () => ({}) })
    const client = connect(t, port, { realUser: 'hive' })
    t.equal(client.isConnected, false)
    t.same(await client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }), {})
    t.equal(client.isConnected, true)
    const masked = { perm: 0o755 }
    for (const src of ['/yes', '/no']) {
      const reply = await client.call(clientNamenodeProtocol, 'mkdirs', {
        src,
        masked,
        createParent: true,
      })
      t.equal(reply.result, src === '/yes')
    }
    const retry = { callId: client.nextCallId(), retryCount: 2 }
    await client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }, { retry })
    t.match(seen, [
      { user: 'ann', realUser: 'hive', callId: 0, retryCount: 0, clientId: 16 },
      {
        user: 'ann',
        callId: 3,
        retryCount: 2,
        connection: { remoteAddress: '127.0.0.1', user: 'ann' },
      },
    ])
    t.match(server.counters, { connections: 1, calls: 4, failures: 0 })
    t.equal(server.connectionCount, 1)
  },
)

t.test(
  'errors of handlers reach the caller as their codes; bugs are logged with a stack',
  async (t) => {
    const { port, lines } = await serve(t, {
      getFileInfo({ src }) {
        if (src === '/safe') throw new DfsError('SAFE_MODE', 'Cannot look at "/safe"')
        throw new TypeError('x is undefined')
      },
      delete: () => Promise.reject(new DfsError('LEASE_EXPIRED', 'Lease is gone')),
      getServerDefaults: () => ({}) as never,
    })
    const client = connect(t, port)
    const ask = (src: string): Promise<unknown> =>
      client.call(clientNamenodeProtocol, 'getFileInfo', { src })
    await t.rejects(ask('/safe'), { code: 'SAFE_MODE', message: 'Cannot look at "/safe"' })
    t.same(lines, [])
    await t.rejects(ask('/bug'), { code: 'INTERNAL', message: 'x is undefined' })
    t.match(lines, [
      {
        event: 'rpc-call-failed',
        fields: { method: 'getFileInfo', error: { stack: /TypeError/ } },
      },
    ])
    await t.rejects(client.call(clientNamenodeProtocol, 'delete', { src: '/', recursive: false }), {
      code: 'LEASE_EXPIRED',
    })
    await t.rejects(client.call(clientNamenodeProtocol, 'getServerDefaults', {}), {
      code: 'INVALID_ARGUMENT',
      message: /GetServerDefaultsResponse.serverDefaults is missing/,
    })
    await t.rejects(client.call(clientNamenodeProtocol, 'msync', {}), { code: 'NO_SUCH_METHOD' })
    await t.rejects(client.call(datanodeProtocol, 'versionRequest', {}), {
      code: 'NO_SUCH_PROTOCOL',
    })
    t.equal(client.isConnected, true, 'none of this costs the connection')
  },
)

t.test('many calls in flight are answered out of order, each to its caller', async (t) => {
  const held: (() => void)[] = []
  const { port } = await serve(t, {
    getPreferredBlockSize: ({ filename }) =>
      new Promise((resolve) => {
        held.push(() => {
          resolve({ bsize: Number(filename) })
        })
        if (held.length === 200) for (const answer of held.reverse()) answer()
      }),
  })
  const client = connect(t, port)
  const sizes = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const reply = await client.call(clientNamenodeProtocol, 'getPreferredBlockSize', {
        filename: `${index}`,
      })
      return reply.bsize
    }),
  )
  t.same(
    sizes,
    Array.from({ length: 200 }, (_, index) => index),
  )
  t.equal(client.pendingCount, 0)
})

t.test('replies of one tick leave in one write', async (t) => {
  const { port } = await serve(t, missing)
  const socket = await rawSocket(t, port)
  const pieces: number[] = []
  socket.on('data', (bytes: Buffer) => pieces.push(bytes.length))
  socket.write(callsOf(50))
  await until(() => pieces.reduce((sum, size) => sum + size, 0) >= 50 * 32)
  t.equal(pieces.length, 1)
})

t.test('garbage costs one log line and the connection, whatever it is', async (t) => {
  const { port, lines, server } = await serve(t, missing)
  const oversized = Buffer.alloc(4)
  oversized.writeInt32BE(64 * 1024 + 1)
  const hello = callsOf(0)
  for (const [bytes, answer] of [
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), /404 Not Found/],
    [Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc'), /VersionMismatch/],
    [Buffer.concat([hello.subarray(0, 7), oversized]), /at most 65536 bytes/],
    [Buffer.concat([hello, Buffer.from('ffffffff', 'hex')]), /got a length of -1/],
    [Buffer.concat([hello, hello.subarray(7)]), /already processed/],
    [Buffer.alloc(300_000, 0x41), /VersionMismatch/],
  ] as const) {
    const before = lines.length
    const socket = await rawSocket(t, port)
    let received = ''
    socket.on('data', (data: Buffer) => (received += data.toString('latin1')))
    socket.write(bytes)
    await once(socket, 'close')
    t.match(received, answer)
    t.equal(lines.length, before + 1)
    t.equal(lines.at(-1)?.event, 'rpc-connection-refused')
  }
  await until(() => server.connectionCount === 0)
  t.equal(server.counters.connectionsRefused, 6)
})

t.test('a connection that does not finish its handshake in time is closed', async (t) => {
  const { timers, pending } = manualTimers()
  const { port, lines, server } = await serve(t, missing, { timers })
  const client = connect(t, port)
  await client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' })
  t.equal(pending.size, 0, 'an open connection may be idle')
  const socket = await rawSocket(t, port)
  socket.write('hrp')
  socket.resume()
  await until(() => pending.size === 1)
  for (const fire of [...pending]) fire()
  await once(socket, 'close')
  t.match(lines, [{ fields: { reason: 'No connection context came within 30000 ms' } }])
  t.equal(lines.length, 1)
  await until(() => server.connectionCount === 1)
})

t.test('a connection with too many calls in flight is not read from', async (t) => {
  const release = gate()
  let started = 0
  const { port } = await serve(
    t,
    {
      async getFileInfo() {
        started += 1
        await release.promise
        return {}
      },
    },
    { limits: { rpcCallsInFlightPerConnectionMax: 10 } },
  )
  const socket = await rawSocket(t, port)
  let received = 0
  socket.on('data', (bytes: Buffer) => (received += bytes.length))
  socket.write(callsOf(1000))
  await until(() => started === 10)
  await settle()
  t.equal(started, 10)
  release.open()
  await until(() => received === 128 * 32 + 872 * 33)
  t.equal(started, 1000)
})

t.test('a peer that does not read stops being served, and memory stays bounded', async (t) => {
  let calls = 0
  const big = { wide: 'x'.repeat(100_000) }
  const { port, server } = await serve(
    t,
    {
      getLinkTarget() {
        calls += 1
        return { targetPath: big.wide }
      },
    },
    { limits: { rpcUnsentBytesPerConnectionMax: 1_000_000 } },
  )
  const socket = await rawSocket(t, port)
  socket.pause()
  const writer = new ByteWriter()
  writer.raw(callsOf(0))
  for (let callId = 0; callId < 2000; callId += 1) {
    const mark = beginFrame(writer)
    writeCallHeader(writer, callId, Buffer.alloc(16, 1), 0)
    writer.raw(encodeMethodHeader(clientNamenodeProtocol.name, 1, 'getLinkTarget'))
    writeDelimited(writer, getFileInfoRequest, { src: '/' })
    endFrame(writer, mark)
  }
  socket.write(writer.view())
  await until(() => calls > 5)
  let before = -1
  while (calls !== before) {
    before = calls
    await settle()
  }
  t.ok(calls < 500, `${calls} of 2000 calls served while nobody reads`)
  let received = 0
  socket.on('data', (bytes: Buffer) => (received += bytes.length))
  socket.resume()
  await until(() => received > 2000 * 100_000)
  t.equal(calls, 2000, 'and goes on when it reads again')
  t.equal(server.connectionCount, 1)
})

t.test('closed connections are announced once, with what the role attached', async (t) => {
  const closed: RpcConnectionInfo[] = []
  const aborted = gate()
  const { port, server } = await serve(t, {
    getFileInfo(_request, { connection }) {
      connection.attachment = 'datanode-7'
      return {}
    },
    getContentSummary: (_request, { signal }) => {
      signal.addEventListener('abort', aborted.open)
      return new Promise(() => undefined)
    },
  })
  server.onConnectionClosed((connection) => {
    closed.push(connection)
  })
  const stranger = await rawSocket(t, port)
  stranger.destroy()
  const client = connect(t, port)
  await client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' })
  const hanging = client.call(clientNamenodeProtocol, 'getContentSummary', { path: '/' })
  hanging.catch(() => undefined)
  await until(() => server.counters.calls === 2)
  client.close()
  await aborted.promise
  await until(() => closed.length > 0)
  t.match(closed, [{ attachment: 'datanode-7', user: 'ann' }])
  t.same([...(closed[0]?.protocols ?? [])], [clientNamenodeProtocol.name])
  await t.rejects(hanging, { code: 'ABORTED' })
})

t.test('what is lost with a connection fails by whether it had been sent', async (t) => {
  const { port, server } = await serve(t, {
    getFileInfo: () => new Promise(() => undefined),
  })
  const client = connect(t, port)
  const losses: (DfsError | undefined)[] = []
  client.onClosed((error) => losses.push(error))
  const sent = client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' })
  sent.catch(() => undefined)
  await until(() => server.counters.calls === 1)
  await server.close()
  await t.rejects(sent, { code: 'OUTCOME_UNKNOWN', message: /getFileInfo was sent to 127/ })
  t.match(losses, [{ code: 'CONNECTION_LOST' }])
  await t.rejects(client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }), {
    code: 'CONNECTION_LOST',
    message: /^Cannot connect to 127\.0\.0\.1:\d+: .*ECONNREFUSED/,
  })
  const again = await serve(t, missing, { port })
  t.same(await client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }), {}, 'reconnects')
  t.equal(again.server.counters.connections, 1)
})

t.test('calls that wait for a connection fail as not sent when it cannot be made', async (t) => {
  const listener = net.createServer((socket) => socket.destroy())
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => listener.close())
  const address = listener.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const client = connect(t, port)
  const outcome = await client
    .call(clientNamenodeProtocol, 'getFileInfo', { src: '/' })
    .catch((error: unknown) => error)
  t.match(outcome, { code: /OUTCOME_UNKNOWN|CONNECTION_LOST/ })
  const unroutable = connect(t, 9, { host: '192.0.2.1', connectTimeoutMs: 20 })
  await t.rejects(unroutable.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }), {
    code: 'CONNECTION_LOST',
    message: /Cannot connect to 192\.0\.2\.1:9/,
  })
})

t.test('time-outs and signals end one call; silence ends the connection', async (t) => {
  const { port, server } = await serve(t, {
    getFileInfo: () => new Promise(() => undefined),
    getFsStats: () => {
      throw new DfsError('IO_ERROR', 'x')
    },
  })
  const client = connect(t, port, { callTimeoutMs: 200 })
  const ask = (options: object = {}): Promise<unknown> =>
    client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }, options)
  await t.rejects(ask({ timeoutMs: 5 }), { code: 'TIMED_OUT', message: /within 5 ms/ })
  await t.rejects(client.call(clientNamenodeProtocol, 'getFsStats', {}), { code: 'IO_ERROR' })
  t.equal(client.isConnected, true)
  const controller = new AbortController()
  const aborted = ask({ signal: controller.signal })
  controller.abort()
  await t.rejects(aborted, { code: 'ABORTED' })
  await t.rejects(ask({ signal: controller.signal }), { code: 'ABORTED' })
  t.equal(client.pendingCount, 0)
  const reconnects = server.counters.connections
  await t.rejects(ask(), { code: 'TIMED_OUT', message: /within 200 ms/ })
  t.equal(client.isConnected, false, 'a silent server is given up')
  await t.rejects(ask({ timeoutMs: 20 }), { code: 'TIMED_OUT' })
  t.equal(server.counters.connections, reconnects + 1)
})

t.test('bad uses of the client are refused', async (t) => {
  const { port } = await serve(t, { getFileInfo: () => new Promise(() => undefined) })
  const client = connect(t, port, { clientId: Buffer.from('0123456789abcdef') })
  const retry = { callId: 5, retryCount: 0 }
  const first = client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }, { retry })
  first.catch(() => undefined)
  await t.rejects(client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }, { retry }), {
    code: 'INVALID_ARGUMENT',
    message: /Call 5 is still waiting/,
  })
  await t.rejects(client.call(clientNamenodeProtocol, 'getFileInfo', {} as { src: string }), {
    code: 'INVALID_ARGUMENT',
  })
  await t.rejects(client.call(clientNamenodeProtocol, 'nothing' as 'msync', {}), {
    code: 'NO_SUCH_METHOD',
  })
  client.close()
  client.close()
  await t.rejects(first, { code: 'ABORTED' })
  await t.rejects(client.call(clientNamenodeProtocol, 'msync', {}), { code: 'ABORTED' })
})

t.test('a server that does not speak Hadoop RPC is left', async (t) => {
  for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', '\x00\x00\x00\x02\x01\x08']) {
    const listener = net.createServer((socket) => {
      socket.on('error', () => undefined)
      socket.write(Buffer.from(answer, 'latin1'))
    })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    t.teardown(() => listener.close())
    const address = listener.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const client = connect(t, port)
    await t.rejects(client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }), {
      code: 'OUTCOME_UNKNOWN',
    })
  }
})

t.test('a FATAL answer fails what waits with the server’s own words', async (t) => {
  const { port } = await serve(t, missing)
  const client = connect(t, port, { user: '' })
  await t.rejects(client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' }), {
    code: 'UNAUTHORIZED',
    message: 'Connection context must name an effective user',
  })
})

t.test('listen() says why an address cannot be had', async (t) => {
  const { port } = await serve(t, missing)
  const second = new RpcServer({
    host: '127.0.0.1',
    port,
    logger: silentLogger,
    clock: systemClock,
    timers: systemTimers,
  })
  await t.rejects(second.listen(), {
    code: 'IO_ERROR',
    message: /^Cannot listen on 127\.0\.0\.1:\d+/,
  })
})
