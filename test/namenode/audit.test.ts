import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type LogFields, type Logger, silentLogger } from '../../base/log.ts'
import { systemTimers } from '../../base/system.ts'
import { DfsClient } from '../../client/index.ts'
import { type RunningNamenode, runNamenode } from '../../namenode/main.ts'
import {
  AuditFile,
  type AuditRecord,
  auditedCommand,
  auditedPermission,
  auditFilesKept,
  auditText,
} from '../../namenode/shell/audit.ts'
import { callerContextMax } from '../../protocol/hadoop-rpc.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'
import { RpcClient } from '../../transport/rpc-client.ts'

const record: AuditRecord = {
  ...{ isAllowed: true, user: 'ada', realUser: undefined, host: '10.0.0.7', command: 'mkdirs' },
  ...{ source: '/a', target: undefined, permission: 'ada:staff:rwxr-xr-x' },
  callerContext: undefined,
}

t.test('auditText() has the fields of HDFS in its order', async (t) => {
  t.equal(
    auditText(record),
    'allowed=true\tugi=ada (auth:SIMPLE)\tip=/10.0.0.7\tcmd=mkdirs\tsrc=/a\tdst=null' +
      '\tperm=ada:staff:rwxr-xr-x\tproto=rpc',
  )
  t.equal(
    auditText({
      ...{ ...record, isAllowed: false, realUser: 'hive', permission: undefined },
      ...{ target: '/b', callerContext: 'job_7' },
    }),
    'allowed=false\tugi=ada (auth:PROXY) via hive (auth:SIMPLE)\tip=/10.0.0.7\tcmd=mkdirs' +
      '\tsrc=/a\tdst=/b\tperm=null\tproto=rpc\tcallerContext=job_7',
  )
})

t.test('hostile names cannot forge fields or lines', async (t) => {
  const source = '/a\tdst=/etc\nallowed=true\r\u0000\u2028\u0085\\n\ud800ü😀'
  const text = auditText({ ...record, source, user: 'a\tip=/1.1.1.1', callerContext: 'x\ny' })
  t.equal(text.split('\t').length, 9, 'as many fields as ever')
  t.notMatch(text, /[\n\r\0\u2028\u0085]/)
  t.ok(
    text.includes('src=/a\\tdst=/etc\\nallowed=true\\r\\u0000\\u2028\\u0085\\\\n\\ud800ü😀\t'),
    'what is escaped can be read back, other letters stay',
  )
  t.ok(text.includes('ugi=a\\tip=/1.1.1.1 (auth:SIMPLE)\t'))
  t.ok(text.endsWith('\tcallerContext=x\\ny'))
})

t.test('auditedCommand() uses HDFS’s words', async (t) => {
  const rename = { kind: 'rename2', source: '/a', target: '/b' } as const
  t.equal(
    auditedCommand({ ...rename, overwrite: false, toTrash: false }),
    'rename (options=[NONE])',
  )
  t.equal(
    auditedCommand({ ...rename, overwrite: true, toTrash: true }),
    'rename (options=[OVERWRITE, TO_TRASH])',
  )
  t.equal(auditedCommand({ kind: 'getFileInfo', path: '/' }), 'getfileinfo')
  t.equal(auditedCommand({ kind: 'getPreferredBlockSize', path: '/' }), undefined)
  t.equal(auditedPermission({ owner: 'o', group: 'g', mode: 0o1754 }), 'o:g:rwxr-xr--')
})

t.test('AuditFile sets files aside when they have grown, and keeps a few', async (t) => {
  const directory = t.testdir()
  const path = join(directory, 'logs', 'audit.log')
  const file = new AuditFile(path, 4096)
  for (let count = 0; count < 190; count += 1) file.write({ ...record, source: `/file-${count}` })
  file.close()
  const names = readdirSync(join(directory, 'logs')).sort()
  t.same(names, [
    'audit.log',
    ...Array.from({ length: auditFilesKept }, (_, index) => `audit.log.${index + 1}`),
  ])
  const oldestFirst = [...names.slice(1).reverse(), 'audit.log'].flatMap((name) => {
    const text = readFileSync(join(directory, 'logs', name), 'utf8')
    t.ok(text.length < 4096 + 200, `${name} has ${text.length} bytes`)
    return text.split('\n').filter((line) => line !== '')
  })
  const numbers = oldestFirst.map((line) => Number(/src=\/file-(\d+)\t/.exec(line)?.[1]))
  t.same(
    numbers,
    numbers.map((_, index) => 190 - numbers.length + index),
    'none is missing between the oldest and the last',
  )
  t.match(
    oldestFirst[0],
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO FSNamesystem\.audit: allowed=true\t/,
  )
  const again = new AuditFile(path, 1_000_000)
  again.write(record)
  again.close()
  t.match(readFileSync(path, 'utf8'), /file-189[^]*src=\/a\t/, 'a restart appends')
})

/** A logger that keeps what part "audit" says. */
function auditCollector(lines: LogFields[]): Logger {
  const collecting: Logger = {
    ...silentLogger,
    info: (event, fields = {}) => {
      if (event === 'audit') lines.push(fields)
    },
    child: () => collecting,
  }
  return collecting
}

async function start(
  t: Test,
  overrides: Partial<Settings>,
  logger: Logger = silentLogger,
): Promise<{
  namenode: RunningNamenode
  as: (user: string, callerContext?: string) => RpcClient
}> {
  const settings = withSettings({
    ...{ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 },
    ...overrides,
  })
  const directory = t.testdir()
  const namenode = await runNamenode(settings, { directory, logger })
  t.teardown(() => namenode.stop())
  const [host = '', port = ''] = (namenode.addresses['rpc'] ?? '').split(':')
  const as = (user: string, callerContext?: string): RpcClient => {
    const client = new RpcClient({
      ...{ host, port: Number(port), user, logger: silentLogger, timers: systemTimers },
      ...{ connectTimeoutMs: 5000, callTimeoutMs: 15_000, callerContext },
    })
    t.teardown(() => client.close())
    return client
  }
  return { namenode, as }
}

/** A change, a rename, a read, what is not there, and what is denied. */
async function useNamespace(as: (user: string) => RpcClient): Promise<void> {
  const root = as('root')
  const masked = { perm: 0o750 }
  await root.call(clientNamenodeProtocol, 'mkdirs', { src: '/a\tb', masked, createParent: true })
  await root.call(clientNamenodeProtocol, 'rename2', {
    ...{ src: '/a\tb', dst: '/c', overwriteDest: false },
  })
  await root.call(clientNamenodeProtocol, 'getFileInfo', { src: '/c' })
  await root.call(clientNamenodeProtocol, 'delete', { src: '/none', recursive: false })
  const denied = as('eve').call(clientNamenodeProtocol, 'getListing', {
    ...{ src: '/c', startAfter: new Uint8Array(0), needLocation: false },
  })
  await denied.then(
    () => t.fail('eve may not list /c'),
    () => undefined,
  )
}

t.test(
  'every operation has its line in a file, with HDFS’s default list of quiet commands',
  async (t) => {
    const file = join(t.testdir(), 'audit.log')
    const { namenode, as } = await start(t, {
      ...{ 'dfs.namenode.audit.log.file': file, 'dfs.namenode.audit.log.debug.cmdlist': '' },
    })
    await useNamespace(as)
    await namenode.stop()
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    const from = 'ugi=root (auth:SIMPLE)\tip=/127.0.0.1'
    t.same(
      lines.map((line) => line.slice(line.indexOf('allowed='))),
      [
        `allowed=true\t${from}\tcmd=mkdirs\tsrc=/a\\tb\tdst=null\tperm=root:supergroup:rwxr-x---\tproto=rpc`,
        `allowed=true\t${from}\tcmd=rename (options=[NONE])\tsrc=/a\\tb\tdst=/c\tperm=root:supergroup:rwxr-x---\tproto=rpc`,
        `allowed=true\t${from}\tcmd=getfileinfo\tsrc=/c\tdst=null\tperm=root:supergroup:rwxr-x---\tproto=rpc`,
        `allowed=false\t${from}\tcmd=delete\tsrc=/none\tdst=null\tperm=null\tproto=rpc`,
        'allowed=false\tugi=eve (auth:SIMPLE)\tip=/127.0.0.1\tcmd=listStatus\tsrc=/c\tdst=null\tperm=null\tproto=rpc',
      ],
    )
  },
)

t.test('by default changes and denials are in the namenode’s log, reads are not', async (t) => {
  const lines: LogFields[] = []
  const { namenode, as } = await start(t, {}, auditCollector(lines))
  await useNamespace(as)
  t.match(lines, [
    { allowed: true, ugi: 'root', cmd: 'mkdirs', src: '/a\tb', perm: /rwxr-x---$/, proto: 'rpc' },
    { allowed: true, cmd: 'rename (options=[NONE])', src: '/a\tb', dst: '/c' },
    { allowed: false, cmd: 'delete', src: '/none' },
    { allowed: false, ugi: 'eve', cmd: 'listStatus', src: '/c' },
  ])
  t.equal(lines.length, 4)
  await namenode.stop()
})

t.test(
  'the audit log can be turned off, and one that cannot be written stops the start',
  async (t) => {
    const lines: LogFields[] = []
    const silent = { 'dfs.namenode.audit.log': false }
    const { namenode, as } = await start(t, silent, auditCollector(lines))
    await useNamespace(as)
    t.same(lines, [])
    await namenode.stop()
    const directory = t.testdir({ file: 'not a directory' })
    const path = join(directory, 'file', 'audit.log')
    const settings = withSettings({
      ...{ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 },
      'dfs.namenode.audit.log.file': path,
    })
    await t.rejects(
      runNamenode(settings, { directory: join(directory, 'nn'), logger: silentLogger }),
      {
        code: 'IO_ERROR',
        message: /^Cannot open the audit log ".*dfs\.namenode\.audit\.log\.file/,
      },
    )
  },
)

t.test('what a client says it acts for is audited with each of its operations', async (t) => {
  const lines: LogFields[] = []
  const { namenode, as } = await start(t, {}, auditCollector(lines))
  const mkdirs = async (client: RpcClient, src: string): Promise<void> => {
    const masked = { perm: 0o755 }
    await client.call(clientNamenodeProtocol, 'mkdirs', { src, masked, createParent: true })
  }
  const job = as('root', 'job_7')
  await mkdirs(job, '/a')
  await mkdirs(job, '/b')
  await mkdirs(as('root'), '/c')
  await mkdirs(as('root', 'x'.repeat(1000)), '/d')
  const [host = '', port = ''] = (namenode.addresses['rpc'] ?? '').split(':')
  const sdk = new DfsClient({ uri: `hdfs://${host}:${port}`, user: 'root', callerContext: 'copy' })
  await sdk.mkdir('/e')
  await sdk.close()
  t.match(lines, [
    { src: '/a', callerContext: 'job_7' },
    { src: '/b', callerContext: 'job_7' },
    { src: '/c', callerContext: undefined },
    { src: '/d', callerContext: 'x'.repeat(callerContextMax) },
    { src: '/e', callerContext: /^copy,trefoil_[0-9a-f-]{36}$/ },
  ])
  await namenode.stop()
})
