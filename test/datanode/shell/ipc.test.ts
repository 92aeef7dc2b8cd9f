import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { datanodeConfig } from '../../../datanode/config.ts'
import { type RunningDatanode, runDatanode } from '../../../datanode/main.ts'
import { decodeBlockList, listedDigest } from '../../../protocol/block-list.ts'
import type { DfsError } from '../../../protocol/errors.ts'
import type { EncodableOf, RequestOf } from '../../../protocol/message.ts'
import { clientDatanodeProtocol } from '../../../protocol/messages/client-datanode.ts'
import {
  type DatanodeRegistration,
  type datanodeCommand,
  datanodeProtocol,
  namenodeCapabilities,
  type namespaceInfo,
} from '../../../protocol/messages/datanode-namenode.ts'
import { interDatanodeProtocol } from '../../../protocol/messages/inter-datanode.ts'
import { blocksPerBucket } from '../../../protocol/replica-buckets.ts'
import { type SettingName, type Settings, settings } from '../../../protocol/settings.ts'
import { RpcClient } from '../../../transport/rpc-client.ts'
import { RpcServer } from '../../../transport/rpc-server.ts'
import {
  patternBytes,
  startDataServer,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

type Command = EncodableOf<typeof datanodeCommand>
type Called<N extends keyof (typeof datanodeProtocol)['methods']> = RequestOf<
  typeof datanodeProtocol,
  N
>

/** A namenode that knows DatanodeProtocol only and writes down what it is told. */
class ScriptedNamenode {
  readonly server: RpcServer
  clusterId = 'CID-1'
  address = ''
  commands: Command[] = []
  readonly calls: string[] = []
  capabilities: number = namenodeCapabilities.blockBuffers
  /** Buckets to ask for when a report brings digests. */
  wantedBuckets: readonly number[] = []
  readonly registrations: DatanodeRegistration[] = []
  readonly heartbeats: Called<'sendHeartbeat'>[] = []
  readonly reports: Called<'blockReport'>[] = []
  readonly events: Called<'blockReceivedAndDeleted'>['blocks'][number]['blocks'][number][] = []
  readonly #waiters: { readonly method: string; readonly resolve: () => void }[] = []

  constructor(port = 0) {
    this.server = new RpcServer({
      ...{ host: '127.0.0.1', port, logger: silentLogger },
      ...{ clock: systemClock, timers: systemTimers },
    })
    const { server } = this
    server.register(datanodeProtocol, {
      versionRequest: () => {
        this.#called('versionRequest')
        return { info: this.#info() }
      },
      registerDatanode: ({ registration }) => {
        this.#called('registerDatanode')
        this.registrations.push(registration)
        const datanodeID = { ...registration.datanodeID, ipAddr: '127.0.0.1' }
        return { registration: { ...registration, datanodeID } }
      },
      sendHeartbeat: (request) => {
        this.#called('sendHeartbeat')
        this.heartbeats.push(request)
        const cmds = this.commands.splice(0)
        const fullBlockReportLeaseId = request.requestFullBlockReportLease ? 2n ** 63n : 0n
        return { cmds, haStatus: { state: 'ACTIVE' as const, txid: 1 }, fullBlockReportLeaseId }
      },
      blockReport: (request) => {
        this.reports.push(request)
        this.#called('blockReport')
        const finalizeCmd = { blockPoolId: 'BP-1' }
        const isDigests = request.reports.some((report) => report.numberOfBlocks === undefined)
        const wanted = request.reports.map(({ storage: { storageUuid } }) => ({
          storageUuid,
          buckets: this.wantedBuckets,
        }))
        return {
          cmd: { cmdType: 'FinalizeCommand' as const, finalizeCmd },
          wanted: isDigests ? wanted : [],
        }
      },
      blockReceivedAndDeleted: ({ blocks }) => {
        this.events.push(...blocks.flatMap(({ blocks: events }) => events))
        this.#called('blockReceivedAndDeleted')
        return {}
      },
      errorReport: () => {
        this.#called('errorReport')
        return {}
      },
      commitBlockSynchronization: () => {
        this.#called('commitBlockSynchronization')
        return {}
      },
    })
  }

  async listen(): Promise<void> {
    const { host, port } = await this.server.listen()
    this.address = `hdfs://${host}:${port}`
  }

  /** Resolves at the next call of `method`. */
  next(method: keyof (typeof datanodeProtocol)['methods']): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push({ method, resolve })
    })
  }

  #called(method: string): void {
    this.calls.push(method)
    const index = this.#waiters.findIndex((waiter) => waiter.method === method)
    const [waiter] = index === -1 ? [] : this.#waiters.splice(index, 1)
    // The answer has left by then.
    setImmediate(() => waiter?.resolve())
  }

  #info(): EncodableOf<typeof namespaceInfo> {
    return {
      buildVersion: 'test',
      unused: 0,
      blockPoolID: 'BP-1',
      storageInfo: {
        layoutVersion: 2 ** 32 - 67,
        namespceID: 7,
        clusterID: this.clusterId,
        cTime: 1,
      },
      softwareVersion: '3.5.0',
      capabilities: this.capabilities,
    }
  }
}

function settingsWith(changes: Partial<Record<SettingName, unknown>>): Settings {
  const defaults = Object.fromEntries(
    Object.entries(settings).map(([name, setting]) => [name, setting.default]),
  )
  return { ...defaults, ...changes } as Settings
}

function clientOf(t: Test, address: string | undefined): RpcClient {
  const [host = '', port = ''] = (address ?? '').split(':')
  const client = new RpcClient({
    ...{ host, port: Number(port), user: 'tester' },
    ...{ connectTimeoutMs: 1000, callTimeoutMs: 5000, logger: silentLogger },
    timers: systemTimers,
  })
  t.teardown(() => {
    client.close()
  })
  return client
}

async function start(
  t: Test,
  namenode: ScriptedNamenode,
  { directory, directories, onRefused }: StartOptions = {},
): Promise<RunningDatanode> {
  const datanode = await runDatanode(
    settingsWith({
      'fs.defaultFS': namenode.address,
      'dfs.heartbeat.interval': 50,
      'dfs.datanode.reserved-bytes': 0,
      'dfs.datanode.disk.check.interval': 100,
      'dfs.datanode.port': 0,
      'dfs.datanode.ipc-port': 0,
      'dfs.datanode.http-port': 0,
    }),
    { directories: directories ?? [directory ?? t.testdir()], logger: silentLogger, onRefused },
  )
  running.add(datanode)
  return datanode
}

/** A data directory with finalized replicas of 100 bytes, stamp 1001. */
async function directoryWith(t: Test, blockIds: readonly number[]): Promise<string> {
  const directory = join(t.testdir(), 'data')
  const identity = { clusterId: 'CID-1', namespaceId: 7, blockPoolId: 'BP-1' }
  const store = await startDataServer([directory], {}, { identity })
  for (const id of blockIds) {
    await writeWholeBlock([store], { blockId: id, data: patternBytes(100, id), poolId: 'BP-1' })
  }
  await store.close()
  return directory
}

/** Datanodes of the test that runs; they stop before tap removes their directories. */
const running = new Set<RunningDatanode>()

function datanodeTest(name: string, body: (t: Test) => Promise<void>): void {
  t.test(name, async (t) => {
    try {
      await body(t)
    } finally {
      for (const datanode of running) await datanode.stop()
      running.clear()
    }
  })
}

interface StartOptions {
  readonly directory?: string
  readonly directories?: readonly string[]
  readonly onRefused?: (error: DfsError) => void
}

async function namenodeFor(t: Test): Promise<ScriptedNamenode> {
  const namenode = new ScriptedNamenode()
  await namenode.listen()
  t.teardown(() => namenode.server.close())
  return namenode
}

datanodeTest(
  'a datanode registers, beats and reports at a namenode, with its real ports',
  async (t) => {
    const namenode = await namenodeFor(t)
    const reported = namenode.next('blockReport')
    const datanode = await start(t, namenode)
    await reported
    t.same(namenode.calls.slice(0, 4), [
      'versionRequest',
      'registerDatanode',
      'sendHeartbeat',
      'blockReport',
    ])
    const [registration] = namenode.registrations
    t.match(registration, {
      datanodeID: { ipAddr: '127.0.0.1', hostName: 'localhost' },
      storageInfo: { layoutVersion: 2 ** 32 - 57, namespceID: 7, clusterID: 'CID-1', cTime: 1 },
      softwareVersion: '3.5.0',
    })
    const { transfer, ipc, http } = datanode.addresses
    t.equal(transfer, `127.0.0.1:${registration?.datanodeID.xferPort ?? 0}`)
    t.equal(ipc, `127.0.0.1:${registration?.datanodeID.ipcPort ?? 0}`)
    t.equal(http, `127.0.0.1:${registration?.datanodeID.infoPort ?? 0}`)
    t.match(namenode.heartbeats[0], {
      requestFullBlockReportLease: true,
      reports: [{ failed: false, storage: { state: 'NORMAL', storageType: 'DISK' } }],
    })
    const [report] = namenode.reports
    t.match(report?.context, { totalRpcs: 1, curRpc: 0, leaseId: 2n ** 63n })
    for (const { numberOfBlocks, blocksBuffers } of report?.reports ?? []) {
      decodeBlockList(numberOfBlocks ?? -1, blocksBuffers, () => t.fail('a new datanode is empty'))
    }
    await namenode.next('sendHeartbeat')
    t.equal(namenode.heartbeats.at(-1)?.requestFullBlockReportLease, false)
    t.match(datanode.status(), {
      role: 'datanode',
      session: 'registered',
      isUpToDate: true,
      clusterId: 'CID-1',
    })
  },
)

datanodeTest(
  'a namenode that compares digests is told of buckets, then of those it wants',
  async (t) => {
    const namenode = await namenodeFor(t)
    const { blockBuffers, replicaBuckets } = namenodeCapabilities
    namenode.capabilities = blockBuffers + replicaBuckets
    namenode.wantedBuckets = [5]
    const directory = await directoryWith(t, [1, 2, 5 * blocksPerBucket])
    const first = namenode.next('blockReport')
    await start(t, namenode, { directory })
    await first
    while (namenode.reports.length < 2) await namenode.next('blockReport')
    const [digests, lists] = namenode.reports
    t.match(digests, {
      context: { totalRpcs: 1, curRpc: 0, leaseId: 2n ** 63n },
      reports: [{ numberOfBlocks: undefined, buckets: [{ bucket: 0, count: 2 }, { bucket: 5 }] }],
    })
    t.same(digests?.reports[0]?.blocksBuffers, [])
    t.match(lists, {
      context: { totalRpcs: 2, curRpc: 1, leaseId: 0n, id: digests?.context?.id },
      reports: [{ numberOfBlocks: 1, buckets: [{ bucket: 5, count: 1 }] }],
    })
    const listed: number[] = []
    const report = lists?.reports[0]
    decodeBlockList(1, report?.blocksBuffers ?? [], (id) => listed.push(id))
    t.same(listed, [5 * blocksPerBucket])
    t.type(listedDigest(report?.digests, 1, 0), 'bigint')
  },
)

datanodeTest('status, health and metrics are served over HTTP', async (t) => {
  const namenode = await namenodeFor(t)
  const reported = namenode.next('blockReport')
  const datanode = await start(t, namenode)
  await reported
  const url = `http://${datanode.addresses['http'] ?? ''}`
  const status = (await (await fetch(`${url}/status.json`)).json()) as Record<string, unknown>
  t.match(status, { role: 'datanode', session: 'registered' })
  const health = await fetch(`${url}/health`)
  t.equal(health.status, 200)
  t.match(await (await fetch(`${url}/readyz`)).json(), {
    ...{ status: 'ok', checks: { 'event-loop': 'ok', volumes: 'ok', registered: 'ok' } },
  })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /^trefoil_datanode_registered 1$/m)
  t.match(metrics, /^trefoil_datanode_storage_replicas\{storage=".*"\} 0$/m)
  t.match(metrics, /^trefoil_datanode_storage_oldest_unverified_seconds\{storage=".*"\} \d/m)
  t.match(metrics, /^trefoil_datanode_pipeline_failures_total\{cause="next_lost"\} 0$/m)
  t.match(metrics, /^trefoil_datanode_transfer_received_bytes_total 0$/m)
  t.match(
    metrics,
    /^trefoil_datanode_transfer_operations_total\{operation="readBlock",outcome="done"\} 0$/m,
  )
})

datanodeTest('a datanode without a namenode is alive and not ready', async (t) => {
  const namenode = new ScriptedNamenode()
  await namenode.listen()
  await namenode.server.close()
  const datanode = await start(t, namenode)
  const url = `http://${datanode.addresses['http'] ?? ''}`
  t.equal((await fetch(`${url}/healthz`)).status, 200)
  const ready = await fetch(`${url}/readyz`)
  t.equal(ready.status, 503)
  t.match(await ready.json(), {
    ...{ status: 'failed', checks: { registered: 'failed' } },
    reasons: [/^Not registered with the namenode .*: its session is /],
  })
})

datanodeTest('a failed disk is told at once, and the last one ends the datanode', async (t) => {
  const namenode = await namenodeFor(t)
  const reported = namenode.next('blockReport')
  const root = t.testdir()
  const directories = [join(root, 'one'), join(root, 'two')]
  const datanode = await start(t, namenode, { directories })
  await reported
  t.match(namenode.heartbeats.at(-1), { failedVolumes: 0, volumeFailureSummary: undefined })
  const again = namenode.next('blockReport')
  await rename(join(root, 'one', 'current'), join(root, 'gone-1'))
  await namenode.next('errorReport')
  await again
  t.match(namenode.heartbeats.at(-1), {
    failedVolumes: 1,
    reports: [{ failed: true, remaining: 0 }, { failed: false }],
    volumeFailureSummary: { failedStorageLocations: [directories[0]] },
  })
  t.match(datanode.status().storages, [{ failed: true }, { failed: false }])
  const metrics = await fetch(`http://${datanode.addresses['http'] ?? ''}/metrics`)
  t.match(
    await metrics.text(),
    /^trefoil_datanode_storage_io_operations_total\{storage=".*two",operation="sync"\} [1-9]/m,
  )
  const jmx = await fetch(`http://${datanode.addresses['http'] ?? ''}/jmx?qry=Hadoop:*`)
  const { beans } = (await jmx.json()) as { beans: Record<string, unknown>[] }
  const { namenode: namenodeAddress } = datanode.status()
  const volumes = JSON.parse(String(beans[0]?.['VolumeInfo'])) as Record<string, unknown>
  t.match(volumes, { [directories[1] ?? '']: { storageType: 'DISK', numBlocks: 0 } })
  t.same(Object.keys(volumes), [directories[1]], 'a failed directory is none')
  t.match(beans, [
    {
      ...{ name: 'Hadoop:service=DataNode,name=DataNodeInfo', XceiverCount: 0 },
      BPServiceActorInfo: new RegExp(`"NamenodeAddress":"${namenodeAddress}".*"RUNNING"`),
    },
    {
      ...{ name: 'Hadoop:service=DataNode,name=FSDatasetState', NumFailedVolumes: 1 },
      ...{ FailedStorageLocations: [directories[0]], LastVolumeFailureDate: Number },
      EstimatedCapacityLostTotal: datanode.status().storages[0]?.capacityBytes,
    },
  ])
  await rename(join(root, 'two', 'current'), join(root, 'gone-2'))
  t.match(await datanode.failure, { code: 'IO_ERROR', message: /2 of 2 data directories failed/ })
  const health = await fetch(`http://${datanode.addresses['http'] ?? ''}/healthz`)
  t.equal(health.status, 503)
  t.match(await health.json(), { reasons: ['None of 2 data directories works'] })
})

datanodeTest('a namenode that comes back is told everything within a second', async (t) => {
  const first = new ScriptedNamenode()
  await first.listen()
  const reported = first.next('blockReport')
  const datanode = await start(t, first)
  await reported
  await first.server.close()
  const second = new ScriptedNamenode(Number(new URL(first.address).port))
  const again = second.next('blockReport')
  const startedAt = Date.now()
  await second.listen()
  t.teardown(() => second.server.close())
  await again
  t.ok(Date.now() - startedAt < 1100, `took ${Date.now() - startedAt} ms`)
  t.equal(datanode.status().session, 'registered')
})

datanodeTest(
  'a namenode of another cluster is refused, and the data directories stay as they are',
  async (t) => {
    const directory = t.testdir()
    const first = await namenodeFor(t)
    const reported = first.next('blockReport')
    const datanode = await start(t, first, { directory })
    await reported
    await datanode.stop()
    const other = await namenodeFor(t)
    other.clusterId = 'CID-2'
    let starting: Promise<RunningDatanode> | undefined
    const refused = new Promise<DfsError>((resolve) => {
      starting = start(t, other, { directory, onRefused: resolve })
    })
    const error = await refused
    await starting
    t.equal(error.code, 'UNREGISTERED_NODE')
    t.match(error.message, /CID-2/)
    t.match(error.message, /CID-1/)
    t.notOk(other.calls.includes('registerDatanode'))
  },
)

datanodeTest('a register command makes the datanode register and report again', async (t) => {
  const namenode = await namenodeFor(t)
  const reported = namenode.next('blockReport')
  await start(t, namenode)
  await reported
  namenode.commands.push({ cmdType: 'RegisterCommand', registerCmd: {} })
  await namenode.next('registerDatanode')
  await namenode.next('blockReport')
  t.equal(namenode.registrations.length, 2)
})

datanodeTest(
  'ClientDatanodeProtocol answers administrators and refuses unknown blocks',
  async (t) => {
    const namenode = await namenodeFor(t)
    const reported = namenode.next('blockReport')
    const datanode = await start(t, namenode)
    await reported
    const client = clientOf(t, datanode.addresses['ipc'])
    t.match(await client.call(clientDatanodeProtocol, 'getDatanodeInfo', {}), {
      localInfo: { softwareVersion: '3.5.0' },
    })
    t.match(await client.call(clientDatanodeProtocol, 'getVolumeReport', {}), {
      volumeInfo: [{ storageType: 'DISK', numBlocks: 0 }],
    })
    const block = { poolId: 'BP-1', blockId: 9, generationStamp: 1001, numBytes: 0 }
    await t.rejects(client.call(clientDatanodeProtocol, 'getReplicaVisibleLength', { block }), {
      code: 'REPLICA_NOT_FOUND',
    })
    const foreign = { ...block, poolId: 'BP-2' }
    await t.rejects(
      client.call(clientDatanodeProtocol, 'getReplicaVisibleLength', { block: foreign }),
      { code: 'REPLICA_NOT_FOUND', message: /BP-2/ },
    )
    await t.rejects(client.call(clientDatanodeProtocol, 'evictWriters', {}), {
      code: 'PERMISSION_DENIED',
      message: /user "tester" is not/,
    })
    const wanted = namenode.next('blockReport')
    await client.call(clientDatanodeProtocol, 'triggerBlockReport', { incremental: false })
    await wanted
    t.equal(namenode.reports.length, 2)
  },
)

datanodeTest(
  'readers are told how long a replica is also while the namenode is away',
  async (t) => {
    const away = new ScriptedNamenode()
    away.address = 'hdfs://127.0.0.1:1'
    const used = await start(t, away, { directory: await directoryWith(t, [1]) })
    const lengthOf = async (datanode: RunningDatanode, id: number): Promise<bigint> => {
      const block = { poolId: 'BP-1', blockId: id, generationStamp: 1001, numBytes: 0 }
      const client = clientOf(t, datanode.addresses['ipc'])
      return (await client.call(clientDatanodeProtocol, 'getReplicaVisibleLength', { block }))
        .length
    }
    t.equal(await lengthOf(used, 1), 100n)
    await t.rejects(lengthOf(used, 2), { code: 'REPLICA_NOT_FOUND' })
    const fresh = await start(t, away, { directory: join(t.testdir(), 'fresh') })
    await t.rejects(lengthOf(fresh, 1), { code: 'RETRIABLE', message: /has just started/ })
  },
)

datanodeTest('InterDatanodeProtocol says when there is nothing to recover', async (t) => {
  const namenode = await namenodeFor(t)
  const reported = namenode.next('blockReport')
  const datanode = await start(t, namenode)
  await reported
  const client = clientOf(t, datanode.addresses['ipc'])
  const b = { poolId: 'BP-1', blockId: 9, generationStamp: 1001, numBytes: 0 }
  const empty = new Uint8Array()
  const blockToken = { identifier: empty, password: empty, kind: '', service: '' }
  const block = { newGenStamp: 1002, block: { b, offset: 0n, corrupt: false, blockToken } }
  const answer = await client.call(interDatanodeProtocol, 'initReplicaRecovery', { block })
  t.equal(answer.replicaFound, false)
  await t.rejects(
    client.call(interDatanodeProtocol, 'updateReplicaUnderRecovery', {
      ...{ block: b, recoveryId: 1002, newLength: 0, newBlockId: 10 },
    }),
    { code: 'UNSUPPORTED_OPERATION' },
  )
  await t.rejects(
    client.call(interDatanodeProtocol, 'updateReplicaUnderRecovery', {
      ...{ block: b, recoveryId: 1002, newLength: 0, newBlockId: 9 },
    }),
    { code: 'REPLICA_NOT_FOUND' },
  )
})

datanodeTest(
  'an order about another version of a replica is answered with what is here',
  async (t) => {
    const namenode = await namenodeFor(t)
    const reported = namenode.next('blockReport')
    await start(t, namenode, { directory: await directoryWith(t, [1]) })
    await reported
    namenode.commands.push({
      cmdType: 'BlockCommand',
      blkCmd: {
        action: 'INVALIDATE',
        blockPoolId: 'BP-1',
        blocks: [1, 2].map((id) => ({ blockId: id, genStamp: 1000, numBytes: 100n })),
      },
    })
    while (namenode.events.length < 2) await namenode.next('sendHeartbeat')
    t.match(
      namenode.events.toSorted((one, other) => one.block.blockId - other.block.blockId),
      [
        { block: { blockId: 1, genStamp: 1001, numBytes: 100 }, status: 'RECEIVED' },
        { block: { blockId: 2 }, status: 'DELETED' },
      ],
    )
  },
)

datanodeTest(
  'a recovery of which nothing is left anywhere asks the namenode to drop the block',
  async (t) => {
    const namenode = await namenodeFor(t)
    const reported = namenode.next('blockReport')
    await start(t, namenode)
    await reported
    const self = namenode.registrations[0]?.datanodeID
    const b = { poolId: 'BP-1', blockId: 9, generationStamp: 1001, numBytes: 0 }
    const empty = new Uint8Array()
    const blockToken = { identifier: empty, password: empty, kind: '', service: '' }
    const locs = self === undefined ? [] : [{ id: self }]
    namenode.commands.push({
      cmdType: 'BlockRecoveryCommand',
      recoveryCmd: {
        blocks: [{ newGenStamp: 1002, block: { b, offset: 0n, corrupt: false, blockToken, locs } }],
      },
    })
    await namenode.next('commitBlockSynchronization')
    t.pass('the primary answered')
  },
)

t.test('datanodeConfig() refuses what cannot work, naming the setting', async (t) => {
  const refused = (changes: Partial<Record<SettingName, unknown>>, pattern: RegExp): void => {
    t.throws(() => datanodeConfig(settingsWith(changes)), {
      code: 'INVALID_ARGUMENT',
      message: pattern,
    })
  }
  refused({ 'dfs.datanode.data.dir': ' , ' }, /dfs\.datanode\.data\.dir/)
  refused({ 'dfs.datanode.data.dir': '/a,/b/../a' }, /"\/a" is given twice/)
  refused({ 'dfs.datanode.data.dir': '/a', 'fs.defaultFS': 'http://x' }, /fs\.defaultFS.*http/)
  refused({ 'dfs.datanode.data.dir': '/a', 'fs.defaultFS': 'nonsense' }, /fs\.defaultFS/)
  t.match(
    datanodeConfig(settingsWith({ 'fs.defaultFS': 'hdfs://[::1]' }), { directories: ['/a'] }),
    {
      directories: ['/a'],
      namenode: { host: '::1', port: 8020 },
    },
  )
})
