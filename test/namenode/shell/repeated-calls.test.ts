import { userInfo } from 'node:os'
import t, { type Test } from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { systemTimers } from '../../../base/system.ts'
import { runNamenode } from '../../../namenode/main.ts'
import { clientNamenodeProtocol } from '../../../protocol/messages/client-namenode.ts'
import { createFlags } from '../../../protocol/messages/hdfs-files.ts'
import { type Settings, settings as settingsTable } from '../../../protocol/settings.ts'
import { RpcClient } from '../../../transport/rpc-client.ts'

const clientName = 'writer-1'

function settings(): Settings {
  const defaults = Object.entries(settingsTable).map(([name, row]) => [name, row.default])
  const ports = { 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 }
  return { ...(Object.fromEntries(defaults) as Settings), ...ports }
}

t.test('complete() that arrives once more does not close a file reopened since', async (t) => {
  const namenode = await runNamenode(settings(), { directory: t.testdir(), logger: silentLogger })
  const rpc = new RpcClient({
    host: '127.0.0.1',
    port: Number(namenode.addresses['rpc']?.split(':').at(-1)),
    user: userInfo().username,
    connectTimeoutMs: 5000,
    callTimeoutMs: 10_000,
    logger: silentLogger,
    timers: systemTimers,
  })
  try {
    await completeTwice(t, rpc)
  } finally {
    rpc.close()
    await namenode.stop()
  }
})

async function completeTwice(t: Test, rpc: RpcClient): Promise<void> {
  const complete = (callId: number, retryCount: number): Promise<{ result: boolean }> => {
    const request = { src: '/f', clientName, fileId: 0 }
    return rpc.call(clientNamenodeProtocol, 'complete', request, { retry: { callId, retryCount } })
  }
  const isClosed = async (): Promise<boolean> => {
    const { result } = await rpc.call(clientNamenodeProtocol, 'isFileClosed', { src: '/f' })
    return result
  }
  await rpc.call(clientNamenodeProtocol, 'create', {
    src: '/f',
    masked: { perm: 0o644 },
    clientName,
    createFlag: createFlags.CREATE,
    createParent: true,
    replication: 1,
    blockSize: 1024 * 1024,
  })
  const callId = rpc.nextCallId()
  t.same(await complete(callId, 1), { result: true })
  await rpc.call(clientNamenodeProtocol, 'append', { src: '/f', clientName })
  t.same(await complete(callId, 0), { result: true }, 'the first answer')
  t.equal(await isClosed(), false)
  t.same(await complete(rpc.nextCallId(), 0), { result: true })
  t.equal(await isClosed(), true)
}
