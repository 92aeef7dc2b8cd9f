/** The write path with real daemons: what was flushed stays readable whichever datanodes are killed meanwhile. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import type { WriteHandle } from '../../client/index.ts'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { pattern } from '../support/sdk.ts'

const dfsEntry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')
const run = promisify(execFile)
const mebibyte = 1024 * 1024

t.setTimeout(240_000)

/** Writes from `written` to `end` of `content` in pieces of 1,000 bytes, each flushed. */
async function flushTo(
  handle: WriteHandle,
  content: Buffer,
  written: number,
  end: number,
): Promise<void> {
  for (let at = written; at < end; at += 1000) {
    await handle.write(content, at, Math.min(1000, end - at))
    await handle.flush()
  }
}

async function dfs(cluster: RealCluster, ...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [dfsEntry, '--fs', cluster.uri, ...args])
  return stdout
}

t.test('a log goes on while each of its datanodes is killed and restarted in turn', async (t) => {
  t.setTimeout(120_000)
  const cluster = await startCluster({ datanodes: 3 })
  t.teardown(() => cluster.stop())
  const client = cluster.client()
  t.teardown(() => client.close())
  const content = pattern(150_000)
  const handle = await client.open('/log', 'w', { replication: 3 })
  await flushTo(handle, content, 0, 20_000)
  let written = 20_000
  for (const role of cluster.datanodeRoles) {
    await cluster.kill(role)
    await flushTo(handle, content, written, written + 20_000)
    written += 20_000
    const read = await client.readFile('/log')
    t.ok(read.equals(content.subarray(0, written)), `${role} killed: all that was flushed is there`)
    const known = new Set((await client.datanodes('live')).map(({ transferPort }) => transferPort))
    cluster.start(role)
    // It comes back under another port.
    while ((await client.datanodes('live')).every(({ transferPort }) => known.has(transferPort))) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  await flushTo(handle, content, written, content.length)
  await handle.close()
  t.ok((await client.readFile('/log')).equals(content))
})

t.test('append, truncate, concat and followers, across the death of a datanode', async (t) => {
  t.setTimeout(120_000)
  const cluster = await startCluster({ datanodes: 4 })
  t.teardown(() => cluster.stop())
  const client = cluster.client()
  t.teardown(() => client.close())
  const content = pattern(3 * mebibyte)
  await client.writeFile('/f', content.subarray(0, 4027), { blockSize: mebibyte })
  const follower = spawn(process.execPath, [
    ...[dfsEntry, '--fs', cluster.uri],
    ...['tail', '-f', '-c', '+1', '/f'],
  ])
  let seen = Buffer.alloc(0)
  let said = ''
  follower.stdout.on('data', (bytes: Buffer) => {
    seen = Buffer.concat([seen, bytes])
  })
  follower.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const sees = async (length: number): Promise<boolean> => {
    while (seen.length < length) await once(follower.stdout, 'data')
    return seen.equals(content.subarray(0, length))
  }
  await client.appendFile('/f', content.subarray(4027, 4100))
  t.ok(await sees(4100), 'in the middle of a chunk')
  const handle = await client.open('/f', 'a')
  await handle.write(content.subarray(4100, 300_000))
  await handle.flush()
  t.ok(await sees(300_000), 'what is flushed')
  const [first] = cluster.datanodeRoles
  if (first !== undefined) await cluster.kill(first)
  await handle.write(content.subarray(300_000))
  await handle.close()
  t.ok(await sees(content.length), 'across blocks, and a datanode that is gone')
  t.ok((await client.readFile('/f')).equals(content))

  t.match(
    await dfs(cluster, 'truncate', '-w', '1000000', '/f'),
    /^Truncated \/f to length: 1000000/,
  )
  t.ok((await client.readFile('/f')).equals(content.subarray(0, 1_000_000)))
  while (!said.includes('truncated')) await once(follower.stderr, 'data')
  t.equal(said, 'dfs: tail: /f: was truncated to 1000000 bytes; following from there\n')
  const ended = once(follower, 'exit')
  follower.kill('SIGINT')
  t.same(await ended, [0, null], 'Ctrl-C is the way to end it')

  const parts = ['/part-0', '/part-1', '/part-2']
  for (const [index, path] of parts.entries()) await client.writeFile(path, `${index}`.repeat(9))
  await dfs(cluster, 'concat', ...parts)
  t.equal(await client.readFile('/part-0', 'utf8'), '000000000111111111222222222')
  t.notOk(await client.exists('/part-1'))
})

t.test('a file whose writer is gone is closed with all that was flushed', async (t) => {
  t.setTimeout(120_000)
  const cluster = await startCluster({ datanodes: 3 })
  t.teardown(() => cluster.stop())
  const client = cluster.client()
  t.teardown(() => client.close())
  const writer = cluster.client()
  const handle = await writer.open('/w', 'w')
  await handle.write('flushed')
  await handle.flush()
  await writer.close()
  await t.rejects(client.appendFile('/w', '!'), { code: 'EBUSY', dfsCode: 'ALREADY_BEING_CREATED' })
  t.match(await dfs(cluster, 'debug', 'recoverLease', '-path', '/w'), /SUCCEEDED on \/w/)
  t.equal(await client.isFileClosed('/w'), true)
  await client.appendFile('/w', '!')
  t.equal(await client.readFile('/w', 'utf8'), 'flushed!')
})
