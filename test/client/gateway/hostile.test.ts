/** Requests that are no requests: each gets a status and a reason, and the next one is served. */
import { connect } from 'node:net'
import t from 'tap'
import { runGateway } from '../../../client/gateway/main.ts'
import { startCluster } from '../../support/cluster.ts'

t.test('hostile requests', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const options = { uri: cluster.uri, host: '127.0.0.1', port: 0, headersTimeoutMs: 500 }
  const gateway = await runGateway(options)
  t.teardown(async () => {
    await gateway.stop()
    await cluster.stop()
  })

  /** What comes back for some bytes until the connection is closed. */
  const answerTo = (...pieces: string[]): Promise<string> =>
    new Promise((resolve) => {
      let answer = ''
      const socket = connect(gateway.port, '127.0.0.1')
      socket.on('data', (chunk) => {
        answer += chunk.toString()
      })
      socket.on('error', () => undefined)
      socket.on('close', () => {
        resolve(answer)
      })
      for (const piece of pieces) socket.write(piece)
    })
  const get = 'GET /files/ HTTP/1.1\r\nHost: localhost\r\n'
  const close = 'Connection: close\r\n'

  const cases: readonly [string, string[], RegExp][] = [
    ['a header bomb', [`${get}X: ${'x'.repeat(100_000)}\r\n\r\n`], /^HTTP\/1.1 431 .*too long/s],
    ['many headers', [get, 'X: x\r\n'.repeat(20_000), '\r\n'], /^HTTP\/1.1 431 /],
    ['slow headers', [get], /^HTTP\/1.1 408 .*took too long/s],
    ['no HTTP', ['\u0016\u0003\u0001 hello\r\n\r\n'], /^HTTP\/1.1 400 .*no HTTP request/s],
    [
      'two lengths',
      [
        'PUT /files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      ],
      /^HTTP\/1.1 400 /,
    ],
    [
      'a length and chunks',
      [
        'PUT /files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ],
      /^HTTP\/1.1 400 /,
    ],
    ['a very long URL', [`GET /files/${'x'.repeat(50_000)} HTTP/1.1\r\n\r\n`], /^HTTP\/1.1 431 /],
    [
      'a long path',
      [`GET /files${'/xxxxxxxx'.repeat(900)} HTTP/1.1\r\nHost: localhost\r\n${close}\r\n`],
      /^HTTP\/1.1 414 /,
    ],
    [
      'a NUL',
      [`GET /files/a%00b HTTP/1.1\r\nHost: localhost\r\n${close}\r\n`],
      /^HTTP\/1.1 400 .*control/s,
    ],
  ]
  for (const [name, pieces, expected] of cases) {
    t.match(await answerTo(...pieces), expected, name)
    t.match(await answerTo(`${get}${close}\r\n`), /^HTTP\/1.1 200 /, `a request after ${name}`)
  }
  t.equal(
    (await fetch(`http://127.0.0.1:${gateway.port}/files/a`)).status,
    404,
    'nothing is stored',
  )
})
