import { once } from 'node:events'
import t from 'tap'
import type { DfsFollowStream, DfsFsError } from '../../client/index.ts'
import { pattern, startSdk } from '../support/sdk.ts'

const mebibyte = 1024 * 1024

/** Collects what a follower gives. */
class Collector {
  readonly stream: DfsFollowStream
  #bytes = Buffer.alloc(0)

  constructor(stream: DfsFollowStream) {
    this.stream = stream
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
    })
  }

  async holds(content: Buffer): Promise<boolean> {
    while (this.#bytes.length < content.length) await once(this.stream, 'data')
    return this.#bytes.equals(content)
  }
}

t.test('follow() gives what a writer flushes, across blocks, closes and appends', async (t) => {
  const { client } = await startSdk(t)
  const content = pattern(3 * mebibyte)
  const controller = new AbortController()
  const handle = await client.open('/f', 'w')
  await handle.write(content.subarray(0, 100))
  await handle.flush()
  const follower = new Collector(client.follow('/f', { signal: controller.signal }))
  t.ok(await follower.holds(content.subarray(0, 100)))
  await handle.write(content, 100, 900)
  await handle.flush()
  t.ok(await follower.holds(content.subarray(0, 1000)))
  await handle.write(content.subarray(1000, mebibyte + 5))
  await handle.close()
  t.ok(await follower.holds(content.subarray(0, mebibyte + 5)))
  await client.appendFile('/f', content.subarray(mebibyte + 5))
  t.ok(await follower.holds(content))
  const ended = once(follower.stream, 'end')
  controller.abort()
  await ended
})

t.test('follow() begins where it is told to, and goes on with another replica', async (t) => {
  const { cluster, client } = await startSdk(t)
  const handle = await client.open('/f', 'w')
  await handle.appendFile('skipped seen')
  await handle.flush()
  const follower = new Collector(client.follow('/f', { start: 8 }))
  t.ok(await follower.holds(Buffer.from('seen')))
  await cluster.datanodes[0]?.stop()
  await handle.appendFile(' and more')
  await handle.flush()
  t.ok(await follower.holds(Buffer.from('seen and more')))
  t.equal(await client.readableLength('/f'), 21)
  follower.stream.destroy()
  await once(follower.stream, 'close')
  await handle.close()
})

t.test('follow() tells when the file is cut, and goes on from there', async (t) => {
  const { client } = await startSdk(t)
  await client.writeFile('/f', 'a long text')
  const follower = new Collector(client.follow('/f'))
  t.ok(await follower.holds(Buffer.from('a long text')))
  const truncated = once(follower.stream, 'truncate')
  await client.truncate('/f', 6)
  t.same(await truncated, [6])
  await client.appendFile('/f', ' new')
  t.ok(await follower.holds(Buffer.from('a long text new')))
  follower.stream.destroy()
})

t.test('follow() fails when its file is gone or another one', async (t) => {
  const { client } = await startSdk(t)
  const failureOf = async (change: () => Promise<void>): Promise<DfsFsError> => {
    await client.writeFile('/f', 'x')
    const follower = new Collector(client.follow('/f'))
    await follower.holds(Buffer.from('x'))
    const failed = once(follower.stream, 'error').then(([error]) => error as DfsFsError)
    await change()
    return failed
  }
  t.match(await failureOf(() => client.unlink('/f')), {
    code: 'ENOENT',
    path: '/f',
    message: /was deleted or renamed/,
  })
  t.match(await failureOf(() => client.writeFile('/f', 'another')), {
    code: 'ENOENT',
    message: /was replaced/,
  })
  const missing = client.follow('/nope').resume()
  const [error] = (await once(missing, 'error')) as [DfsFsError]
  t.equal(error.code, 'ENOENT')
})
