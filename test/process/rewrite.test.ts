/** Changes in the middle of files, with real daemons: content, what stays, rivals, deaths. */
import t from 'tap'
import { Prng } from '../../base/prng.ts'
import { type Range, RangeSet } from '../../base/range-set.ts'
import { startCluster } from '../support/cluster.ts'
import { pattern } from '../support/sdk.ts'

const mebibyte = 1024 * 1024

t.setTimeout(240_000)

const cluster = await startCluster({ datanodes: 3 })
const client = cluster.client()
t.teardown(async () => {
  await client.close()
  await cluster.stop()
})

for (const directory of 'abcdef') await client.mkdir(`/${directory}`)

/** Makes the file have the content of `wanted`, which differs from it in `changed`. */
function rewriteTo(path: string, wanted: Buffer, changed: readonly Range[]): Promise<void> {
  return client.rewrite(path, {
    length: wanted.length,
    changed,
    async *content(start, end) {
      yield await Promise.resolve(wanted.subarray(start, end))
    },
  })
}

async function codeOf(action: Promise<unknown>): Promise<unknown> {
  const error: unknown = await action.catch((reason: unknown) => reason)
  return error instanceof Error && 'code' in error ? error.code : undefined
}

t.test('rewrite() changes bytes in the middle; the file stays the same file', async (t) => {
  const content = pattern(5 * mebibyte + 123)
  await client.writeFile('/a/f', content, { mode: 0o640, replication: 2, blockSize: 2 * mebibyte })
  const before = await client.statWithLocations('/a/f')
  const wanted = Buffer.from(content)
  wanted.fill(7, 3 * mebibyte, 3 * mebibyte + 4096)
  await rewriteTo('/a/f', wanted, [{ start: 3 * mebibyte, end: 3 * mebibyte + 4096 }])
  t.ok((await client.readFile('/a/f')).equals(wanted))
  const after = await client.statWithLocations('/a/f')
  t.match(after, {
    ...{ inode: before.inode, mode: 0o640, replication: 2, owner: before.owner },
    ...{ group: before.group, size: wanted.length, blockSize: before.blockSize },
  })
  const blocks = before.blocks.map(({ blockId }) => blockId)
  const kept = after.blocks.map(({ blockId }) => blockId).filter((id) => blocks.includes(id))
  t.same(kept, [blocks[0], blocks[2]], 'only the block in the middle is another one')
  t.same(await client.readdir('/a'), ['f'], 'nothing is left beside it')
})

t.test('rewrite() makes files longer and shorter, down to nothing and back', async (t) => {
  await client.writeFile('/b/f', pattern(mebibyte))
  for (const length of [3 * mebibyte + 5, 2 * mebibyte, mebibyte + 17, 0, 99, 0, 2_500_000]) {
    const wanted = pattern(length)
    const before = (await client.stat('/b/f')).size
    await rewriteTo('/b/f', wanted, [])
    const read = await client.readFile('/b/f')
    t.equal(read.length, length)
    t.ok(read.subarray(0, before).equals(wanted.subarray(0, Math.min(before, length))))
    t.ok(read.equals(wanted), `from ${before} to ${length} bytes`)
  }
})

t.test('any rewrites give what the same writes give in memory', async (t) => {
  const prng = new Prng(20_261)
  let wanted = pattern(4 * mebibyte)
  await client.writeFile('/c/f', wanted, { blockSize: 4 * mebibyte })
  for (let round = 0; round < 25; round += 1) {
    const changed = new RangeSet()
    const length = prng.below(3) === 0 ? prng.below(6 * mebibyte) : wanted.length
    const next = Buffer.alloc(length)
    wanted.copy(next)
    for (let count = 0; count <= prng.below(4); count += 1) {
      const start = prng.below(Math.max(1, length))
      const end = Math.min(length, start + 1 + prng.below(prng.below(2) === 0 ? 5000 : mebibyte))
      next.fill(prng.below(256), start, end)
      changed.add(start, end)
    }
    await rewriteTo('/c/f', next, changed.ranges)
    t.ok((await client.readFile('/c/f')).equals(next), `round ${round}: ${length} bytes`)
    wanted = next
  }
})

t.test('two clients change the same file; neither undoes what the other did', async (t) => {
  const rival = cluster.client()
  t.teardown(() => rival.close())
  const wanted = pattern(3 * mebibyte)
  await client.writeFile('/a/f', wanted, { blockSize: 4 * mebibyte })
  const writes = [client, rival].map(async (writer, own) => {
    for (let round = 0; round < 10; round += 1) {
      const start = (2 * round + own) * 100_000
      const end = start + 50_000
      const bytes = Buffer.alloc(end - start, 2 * round + own)
      bytes.copy(wanted, start)
      await writer.rewrite('/a/f', {
        length: wanted.length,
        changed: [{ start, end }],
        async *content(from, to) {
          yield await Promise.resolve(bytes.subarray(from - start, to - start))
        },
      })
    }
  })
  await Promise.all(writes)
  t.ok((await client.readFile('/a/f')).equals(wanted))
  t.same(await client.readdir('/a'), ['f'])
})

t.test(
  'rewrite() refuses files that are open, replaced or gone, and leaves nothing behind',
  async (t) => {
    const bytes = pattern(1000)
    const all = [{ start: 0, end: 1000 }]
    t.equal(await codeOf(rewriteTo('/e/none', bytes, all)), 'ENOENT')
    await client.writeFile('/e/f', bytes)
    const { inode } = await client.stat('/e/f')
    const another = { length: 0, changed: [], content: () => never(), inode: inode + 1 }
    t.equal(await codeOf(client.rewrite('/e/f', another)), 'ESTALE')
    const handle = await client.open('/e/f', 'a')
    t.equal(await codeOf(rewriteTo('/e/f', bytes, all)), 'EBUSY')
    await handle.close()
    const broken = client.rewrite('/e/f', {
      length: 1000,
      changed: all,
      async *content() {
        yield await Promise.resolve(bytes.subarray(0, 10))
        throw new Error('the writer cannot go on')
      },
    })
    await t.rejects(broken, /cannot go on/)
    t.ok((await client.readFile('/e/f')).equals(bytes))
    t.same(await client.readdir('/e'), ['f'])
  },
)

async function* never(): AsyncGenerator<Uint8Array> {
  yield await Promise.reject<Uint8Array>(new Error('nothing should be asked for'))
}

t.test('a change survives that everything is killed right after it', async (t) => {
  const wanted = pattern(2 * mebibyte)
  await client.writeFile('/f/f', wanted)
  wanted.fill(3, 1_000_000, 1_000_100)
  await rewriteTo('/f/f', wanted, [{ start: 1_000_000, end: 1_000_100 }])
  const roles = ['namenode' as const, ...cluster.datanodeRoles]
  for (const role of roles) await cluster.kill(role)
  for (const role of roles) cluster.start(role)
  await cluster.ready()
  t.ok((await client.readFile('/f/f')).equals(wanted))
})
