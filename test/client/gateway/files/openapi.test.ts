/** The OpenAPI description: valid, and true of every answer that is observed here. */
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { runGateway } from '../../../../client/gateway/main.ts'
import { startCluster } from '../../../support/cluster.ts'

interface Description {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses?: Readonly<Record<string, unknown>> }>>
    >
  >
}

t.test('/openapi.json', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await gateway.stop()
    await cluster.stop()
  })
  const base = `http://127.0.0.1:${gateway.port}`
  const description = (await (await fetch(`${base}/openapi.json`)).json()) as Description
  const verbs = description.paths['/files/{path}'] ?? {}

  t.test('is valid OpenAPI 3.1', async (t) => {
    const result = await new Validator().validate({ ...description })
    t.same(result.errors ?? [], [])
    t.ok(result.valid)
  })

  t.test('describes every answer', async (t) => {
    const json = { 'content-type': 'application/json' }
    const tus = { 'tus-resumable': '1.0.0' }
    const name = { 'upload-metadata': 'filename YQ==' }
    const requests: [string, string, number, RequestInit?][] = [
      ['PUT', '/o/a', 201, { body: 'abc' }],
      ['PUT', '/o/a', 204, { body: 'abc' }],
      ['PUT', '/o/a', 400, { body: 'abc', headers: { 'content-digest': 'x' } }],
      ['PUT', '/o/a', 412, { body: 'abc', headers: { 'if-none-match': '*' } }],
      ['PUT', '/o/a', 415, { body: 'abc', headers: { 'content-encoding': 'br' } }],
      ['PUT', '/o', 409, { body: 'abc' }],
      ['PUT', '/.trefoil/x', 403, { body: 'abc' }],
      ['GET', '/o/a', 200],
      ['GET', '/o', 200],
      ['GET', '/o/a', 206, { headers: { range: 'bytes=0-1' } }],
      ['GET', '/o/a', 304, { headers: { 'if-none-match': '*' } }],
      ['GET', '/o/a', 401, { headers: { authorization: 'Bearer x' } }],
      ['GET', '/o/none', 404],
      ['GET', '/o/a', 412, { headers: { 'if-match': '"x"' } }],
      ['GET', '/o/a', 416, { headers: { range: 'bytes=9-' } }],
      ['GET', `/${'x/'.repeat(4100)}x`, 414],
      ['HEAD', '/o/a', 200],
      ['HEAD', '/o/none', 404],
      ['OPTIONS', '/o/a', 204],
      ['POST', '/o', 415, { body: 'x' }],
      ['POST', '/o/d', 200, { body: '{"mkdir":{}}', headers: json }],
      ['POST', '/o/d', 400, { body: '{"x":{}}', headers: json }],
      ['POST', '/o/d', 413, { body: `"${'x'.repeat(70_000)}"`, headers: json }],
      ['POST', '/o', 409, { headers: { ...tus, ...name, 'upload-length': '1' } }],
      ['POST', '/o/d', 201, { headers: { ...tus, ...name, 'upload-length': '0' } }],
      ['PATCH', '/o/a', 412, { body: 'x' }],
      ['PATCH', '/o/a', 415, { body: 'x', headers: tus }],
      ['DELETE', '/o', 409],
      ['DELETE', '/o/a', 200],
      ['DELETE', '/o/a', 404],
      ['DELETE', '/o?recursive&skipTrash', 204],
    ]
    for (const [method, path, status, init] of requests) {
      const response = await fetch(`${base}/files${path}`, { method, ...init })
      await response.arrayBuffer()
      const shown = `${method} ${path.slice(0, 40)} ${response.status}`
      t.equal(response.status, status, shown)
      t.ok(
        verbs[method.toLowerCase()]?.responses?.[String(response.status)],
        `${shown} is described`,
      )
    }
  })

  t.test('describes every verb, and no other', async (t) => {
    const allowed = (await fetch(`${base}/files/`, { method: 'OPTIONS' })).headers.get('allow')
    const described = Object.keys(verbs).filter((verb) => verb !== 'parameters')
    const named = (allowed ?? '').split(', ').map((verb) => verb.toLowerCase())
    t.same(described.sort(), named.sort())
  })
})
