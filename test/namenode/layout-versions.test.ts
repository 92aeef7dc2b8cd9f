/**
 * Directories that earlier layout versions left behind, byte for byte: the current program opens them,
 * migrates them and loses nothing. And versions that it does not know, in both directions.
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { crc32c, xxh64 } from '../../base/checksum.ts'
import { silentLogger } from '../../base/log.ts'
import { DfsClient, type FileStatus } from '../../client/index.ts'
import { decodeMetaHeader, metaHeader } from '../../datanode/format/block-meta.ts'
import { decodeVersionFile } from '../../datanode/format/version-file.ts'
import { type RunningDatanode, runDatanode } from '../../datanode/main.ts'
import { segmentHeader } from '../../namenode/format/journal-segment.ts'
import { schemaVersion } from '../../namenode/format/schema.ts'
import { type RunningNamenode, runNamenode } from '../../namenode/main.ts'
import { blockId } from '../../protocol/ids.ts'
import { withSettings } from '../../protocol/settings.ts'
import { writeFixtureDirectories } from '../support/fixture-directories.ts'
import { repositoryRoot } from '../support/repository.ts'

const segment = 'journal/journal-0000000000000001'
const formats = join(repositoryRoot, 'test/formats')
const versionsOf = (kind: string): string[] =>
  readdirSync(join(formats, kind)).filter((name) => /^v\d+$/.test(name))

/** The committed directories lack some replicas, so nothing may wait for them. */
async function startNamenode(t: Test, directory: string): Promise<RunningNamenode> {
  const settings = withSettings({
    'dfs.namenode.rpc-port': 0,
    'dfs.namenode.http-port': 0,
    'dfs.namenode.safemode.threshold-permille': 0,
    'dfs.namenode.stale.datanode.interval': 100,
    'dfs.namenode.dead.datanode.interval': 100,
  })
  const namenode = await runNamenode(settings, { directory, logger: silentLogger })
  t.teardown(() => namenode.stop())
  return namenode
}

async function startDatanode(
  t: Test,
  namenode: RunningNamenode,
  directory: string,
): Promise<RunningDatanode> {
  const settings = withSettings({
    'fs.defaultFS': uriOf(namenode),
    'dfs.datanode.port': 0,
    'dfs.datanode.ipc-port': 0,
    'dfs.datanode.http-port': 0,
    'dfs.datanode.reserved-bytes': 0,
  })
  const datanode = await runDatanode(settings, { directories: [directory], logger: silentLogger })
  t.teardown(() => datanode.stop())
  return datanode
}

const uriOf = ({ addresses }: RunningNamenode): string => `hdfs://${addresses['rpc'] ?? ''}`

function clientOf(t: Test, namenode: RunningNamenode): DfsClient {
  const client = new DfsClient({ uri: uriOf(namenode), user: 'root' })
  t.teardown(() => client.close())
  return client
}

/** Everything that a client can learn of the namespace, in the order of paths. */
async function describe(client: DfsClient): Promise<string> {
  const lines: string[] = []
  const visit = async (status: FileStatus): Promise<void> => {
    const { path, type, mode, owner, group, replication, blockSize, inode, mtimeMs, atimeMs } =
      status
    const attributes = status.hasAcl ? await attributesOf(client, path) : {}
    const blocks = type === 'file' ? await client.blockLocations(path) : []
    lines.push(
      JSON.stringify({
        ...{ path, type, mode, owner, group, replication, blockSize, inode, mtimeMs, atimeMs },
        size: status.size,
        childCount: status.childCount,
        ...attributes,
        blocks: blocks.map((block) => [block.blockId, block.generationStamp, block.length]),
      }),
    )
    if (type !== 'directory') return
    for await (const child of client.opendir(path)) await visit(child)
  }
  await visit(await client.stat('/'))
  return `${lines.join('\n')}\n`
}

/** What directories of version 3 on may have. */
async function attributesOf({ attributes }: DfsClient, path: string): Promise<object> {
  const { entries } = await attributes.getAcl(path)
  const xattrs = [...(await attributes.getXattrs(path))]
  return { acl: entries, xattrs: xattrs.map(([name, value]) => [name, value.toString('hex')]) }
}

if (process.env['FIXTURES_REWRITE'] === '1') {
  const scratch = mkdtempSync(join(tmpdir(), 'trefoil-fixture-'))
  await writeFixtureDirectories(formats, `v${schemaVersion}`, scratch)
  rmSync(scratch, { recursive: true })
}

for (const version of versionsOf('namenode-directory')) {
  t.test(`a namenode directory of layout ${version} opens with everything in it`, async (t) => {
    const directory = join(t.testdir(), 'namenode')
    cpSync(join(formats, 'namenode-directory', version), directory, { recursive: true })
    const expectedFile = join(formats, 'namenode-directory', `${version}.jsonl`)
    for (const start of ['first', 'second']) {
      const namenode = await startNamenode(t, directory)
      const client = clientOf(t, namenode)
      const description = await describe(client)
      if (!existsSync(expectedFile) && process.env['FIXTURES_REWRITE'] === '1') {
        writeFileSync(expectedFile, description)
      }
      t.equal(description, readFileSync(expectedFile, 'utf8'), `${start} start`)
      t.match(namenode.status(), { namespace: { openFiles: 1 } }, 'the lease is there')
      await namenode.stop()
    }
    const namenode = await startNamenode(t, directory)
    await clientOf(t, namenode).mkdir('/written-by-this-version')
    await namenode.stop()
  })
}

for (const version of versionsOf('datanode-directory')) {
  t.test(`a data directory of layout ${version} serves its replicas`, async (t) => {
    const directory = t.testdir()
    for (const kind of ['namenode', 'datanode']) {
      const target = join(directory, kind)
      cpSync(join(formats, `${kind}-directory`, version), target, { recursive: true })
    }
    const namenode = await startNamenode(t, join(directory, 'namenode'))
    const datanode = await startDatanode(t, namenode, join(directory, 'datanode'))
    const client = clientOf(t, namenode)
    const path = '/user/alice/hello-renamed'
    while ((await client.blockLocations(path))[0]?.hosts.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    t.equal(await client.readFile(path, 'utf8'), 'hello world\n')
    await datanode.stop()
    await namenode.stop()
  })
}

/** A version-1 directory with one file changed. */
function directoryWith(
  t: Test,
  kind: 'namenode' | 'datanode',
  name: string,
  change: (bytes: Buffer) => void,
): string {
  const directory = join(t.testdir(), kind)
  cpSync(join(formats, `${kind}-directory`, 'v1'), directory, { recursive: true })
  const file = join(directory, name)
  const bytes = readFileSync(file)
  change(bytes)
  writeFileSync(file, bytes)
  return directory
}

const older = { found: 0, message: /version 0,.* it is too old/ }
const newer = { found: 99, message: /version 99,.* a newer version of the program wrote it/ }

t.test('a journal segment of a layout that this program does not know is refused', async (t) => {
  for (const { found, message } of [older, newer]) {
    const directory = directoryWith(t, 'namenode', segment, (bytes) => {
      bytes.writeUInt32BE(found, segmentHeader.layoutVersion)
      const checksum = xxh64(bytes.subarray(0, segmentHeader.checksum))
      bytes.writeBigUInt64BE(checksum, segmentHeader.checksum)
    })
    await t.rejects(startNamenode(t, directory), { code: 'UNSUPPORTED_LAYOUT', message })
    t.ok(existsSync(join(directory, segment)), 'and left alone')
  }
})

t.test('a namespace of a layout that this program does not know is refused', async (t) => {
  for (const { found, message } of [older, newer]) {
    const directory = directoryWith(t, 'namenode', 'namespace.sqlite', (bytes) => {
      bytes.writeUInt32BE(found, 60)
    })
    rmSync(join(directory, 'namespace.sqlite-wal'))
    const before = readFileSync(join(directory, 'namespace.sqlite'))
    await t.rejects(startNamenode(t, directory), { code: 'UNSUPPORTED_LAYOUT', message })
    t.ok(before.equals(readFileSync(join(directory, 'namespace.sqlite'))), 'and left alone')
  }
  const foreign = directoryWith(t, 'namenode', 'namespace.sqlite', (bytes) => {
    bytes.writeUInt32BE(0, 68)
  })
  rmSync(join(foreign, 'namespace.sqlite-wal'))
  const message = /is not a Trefoil namespace/
  await t.rejects(startNamenode(t, foreign), { code: 'UNSUPPORTED_LAYOUT', message })
})

t.test('a meta file of a layout that this program does not know is refused', async (t) => {
  const file = metaFile()
  for (const { found, message } of [older, newer]) {
    const bytes = readFileSync(file)
    bytes.writeUInt16BE(found, metaHeader.layoutVersion)
    t.throws(() => decodeMetaHeader(bytes, blockId(1073741825), file), {
      ...{ code: 'CORRUPTION', message: /header checksum/ },
    })
    const checksum = crc32c(bytes.subarray(0, metaHeader.headerChecksum))
    bytes.writeUInt32BE(checksum, metaHeader.headerChecksum)
    t.throws(() => decodeMetaHeader(bytes, blockId(1073741825), file), {
      ...{ code: 'UNSUPPORTED_LAYOUT', message },
    })
  }
})

t.test('a data directory of a layout that this program does not know is refused', async (t) => {
  const version = readFileSync(join(formats, 'datanode-directory/v1/current/VERSION'), 'utf8')
  for (const { found, message } of [older, newer]) {
    const text = version.replace('layoutVersion=1', `layoutVersion=${found}`)
    t.throws(() => decodeVersionFile(text, 'current/VERSION'), {
      ...{ code: 'UNSUPPORTED_LAYOUT', message },
    })
  }
  const foreign = version.replace('DATA_NODE', 'NAME_NODE')
  t.throws(() => decodeVersionFile(foreign, 'VERSION'), { code: 'UNSUPPORTED_LAYOUT' })
})

function metaFile(): string {
  const directory = join(formats, 'datanode-directory/v1')
  const [found] = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('blk_1073741825_1001.meta'),
  )
  return join(directory, found ?? 'missing')
}
