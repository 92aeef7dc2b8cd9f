/**
 * Writes the directories of a namenode and a datanode as this version of the program leaves them when it is
 * killed: the fixtures that every later version must open. Run once per layout version, with
 * FIXTURES_REWRITE=1, by test/namenode/layout-versions.test.ts.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { silentLogger } from '../../base/log.ts'
import { DfsClient } from '../../client/index.ts'
import { runDatanode } from '../../datanode/main.ts'
import { runNamenode } from '../../namenode/main.ts'
import { withSettings } from '../../protocol/settings.ts'

const mebibyte = 1024 * 1024
const once = { replication: 1 }

/** What a running cluster did before it was killed; the last part is in the journal only. */
async function populate(client: DfsClient, folded: () => Promise<void>): Promise<void> {
  await client.mkdir('/user/alice/größer 🦊', { recursive: true })
  await client.chown('/user/alice', 'alice', 'staff')
  await client.chmod('/user/alice', 0o750)
  await client.writeFile('/user/alice/empty', '', once)
  await client.writeFile('/user/alice/hello', 'hello world\n', once)
  const twoBlocks = Buffer.alloc(mebibyte + 5, 'ab')
  const sizes = { ...once, blockSize: mebibyte }
  await client.writeFile('/user/alice/größer 🦊/two-blocks', twoBlocks, sizes)
  await client.mkdir('/deleted/tree', { recursive: true })
  await client.writeFile('/deleted/tree/file', 'gone', once)
  await client.rm('/deleted', { recursive: true })
  await client.mkdir('/many')
  for (let index = 0; index < 20; index += 1) await client.mkdir(`/many/dir-${index}`)
  await client.attributes.modifyAcl('/many', 'user:bob:rwx,default:user:größe:r-x')
  await client.attributes.setXattr('/many', 'user.origin', 'größer 🦊')
  await client.attributes.setXattr('/many', 'trusted.bytes', Uint8Array.of(0, 255, 10))
  await folded()
  await client.rename('/user/alice/hello', '/user/alice/hello-renamed')
  const open = client.createWriteStream('/user/alice/open', once)
  open.on('error', () => undefined)
  open.write('flushed but not closed\n')
  await open.hflush()
  await client.mkdir('/last')
  await client.attributes.modifyAcl('/last', 'group:staff:rwx')
}

/** Copies `from` without locks, spares, shared memory and blocks too large to keep. */
function copyFixture(from: string, to: string): void {
  cpSync(from, to, {
    recursive: true,
    filter: (path) => !/^(in_use\..*|spare|.*-shm)$/.test(basename(path)),
  })
  for (const name of readdirSync(to, { recursive: true, encoding: 'utf8' })) {
    if (/blk_1073741826/.test(name)) rmSync(join(to, name))
  }
}

/** Makes `formats/{namenode,datanode}-directory/<version>` in `scratch` and copies them. */
export async function writeFixtureDirectories(
  formats: string,
  version: string,
  scratch: string,
): Promise<void> {
  if (existsSync(join(formats, 'namenode-directory', version))) return
  mkdirSync(scratch, { recursive: true })
  const namenode = await runNamenode(
    withSettings({ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 }),
    { directory: join(scratch, 'namenode'), logger: silentLogger },
  )
  const uri = `hdfs://${namenode.addresses['rpc'] ?? ''}`
  const ports = { 'dfs.datanode.port': 0, 'dfs.datanode.ipc-port': 0, 'dfs.datanode.http-port': 0 }
  const datanode = await runDatanode(
    withSettings({ 'fs.defaultFS': uri, 'dfs.datanode.reserved-bytes': 0, ...ports }),
    { directories: [join(scratch, 'datanode')], logger: silentLogger },
  )
  const client = new DfsClient({ uri })
  const soon = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))
  const lag = (): number => {
    const { journal, checkpoint } = namenode.status()
    return journal.durableTxid - checkpoint.txid
  }
  while ((await client.datanodes('live')).length === 0) await soon()
  await populate(client, async () => {
    while (lag() > 0) await soon()
  })
  // At once, before the last changes are folded: as kill -9 would leave them.
  for (const kind of ['namenode', 'datanode']) {
    copyFixture(join(scratch, kind), join(formats, `${kind}-directory`, version))
  }
  await client.close()
  await datanode.stop()
  await namenode.stop()
}
