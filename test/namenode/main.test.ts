import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { systemTimers } from '../../base/system.ts'
import { namenodeConfig } from '../../namenode/config.ts'
import { type RunningNamenode, runNamenode } from '../../namenode/main.ts'
import { encodeBlockList } from '../../protocol/block-list.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import {
  type EncodableRequestOf,
  type MethodsOf,
  type ResponseOf,
  service,
} from '../../protocol/message.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { DatanodeRegistration } from '../../protocol/messages/datanode-namenode.ts'
import { datanodeProtocol } from '../../protocol/messages/datanode-namenode.ts'
import type { ExtendedBlock } from '../../protocol/messages/hdfs.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'
import { RpcClient } from '../../transport/rpc-client.ts'

const minusOne = 2n ** 64n - 1n
const nothing = new Uint8Array(0)

async function start(
  t: Test,
  directory: string,
  overrides: Partial<Settings> = {},
): Promise<RunningNamenode> {
  const settings = withSettings({
    ...{ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 },
    ...overrides,
  })
  const namenode = await runNamenode(settings, { directory, logger: silentLogger })
  t.teardown(() => namenode.stop())
  return namenode
}

function connect(t: Test, namenode: RunningNamenode, user = 'root'): RpcClient {
  const [host = '', port = ''] = (namenode.addresses['rpc'] ?? '').split(':')
  const client = new RpcClient({
    ...{ host, port: Number(port), user, logger: silentLogger, timers: systemTimers },
    ...{ connectTimeoutMs: 5000, callTimeoutMs: 15_000 },
  })
  t.teardown(() => client.close())
  return client
}

type Client = typeof clientNamenodeProtocol
type ClientMethod = keyof MethodsOf<Client>

/** Calls of ClientProtocol. */
function clientCalls(client: RpcClient) {
  return <N extends ClientMethod>(
    method: N,
    request: EncodableRequestOf<Client, N>,
  ): Promise<ResponseOf<Client, N>> => client.call(clientNamenodeProtocol, method, request)
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text)
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

/** A datanode's side of DatanodeProtocol, without any data. */
class ReportingDatanode {
  readonly #client: RpcClient
  readonly #registration: DatanodeRegistration
  readonly storage: string

  private constructor(client: RpcClient, registration: DatanodeRegistration) {
    this.#client = client
    this.#registration = registration
    this.storage = `DS-${registration.datanodeID.datanodeUuid}`
  }

  static async register(client: RpcClient, index: number): Promise<ReportingDatanode> {
    const { info } = await client.call(datanodeProtocol, 'versionRequest', {})
    const { registration } = await client.call(datanodeProtocol, 'registerDatanode', {
      registration: {
        datanodeID: {
          ...{ ipAddr: '0.0.0.0', hostName: `host-${index}`, datanodeUuid: `uuid-${index}` },
          ...{ xferPort: 9000 + index, infoPort: 1, ipcPort: 2, infoSecurePort: 0 },
        },
        storageInfo: info.storageInfo,
        keys: {
          ...{ isBlockTokenEnabled: false, keyUpdateInterval: 0, tokenLifeTime: 0, allKeys: [] },
          currentKey: { keyId: 0, expiryDate: 0 },
        },
        softwareVersion: '3.5.0',
      },
    })
    const datanode = new ReportingDatanode(client, registration)
    await datanode.heartbeat()
    return datanode
  }

  get address(): string {
    return this.#registration.datanodeID.ipAddr
  }

  heartbeat(requestFullBlockReportLease = false) {
    return this.#client.call(datanodeProtocol, 'sendHeartbeat', {
      registration: this.#registration,
      reports: [{ storageUuid: this.storage, capacity: 2 ** 40, remaining: 2 ** 40 }],
      requestFullBlockReportLease,
    })
  }

  report(blocks: readonly ExtendedBlock[], leaseId = 0n) {
    const list = encodeBlockList(
      blocks.map((block) => ({
        blockId: blockId(block.blockId),
        generationStamp: generationStamp(block.generationStamp),
        length: block.numBytes,
        state: 'finalized' as const,
      })),
    )
    return this.#client.call(datanodeProtocol, 'blockReport', {
      registration: this.#registration,
      blockPoolId: '',
      reports: [
        {
          storage: { storageUuid: this.storage },
          numberOfBlocks: list.count,
          blocksBuffers: list.pieces,
        },
      ],
      context: { totalRpcs: 1, curRpc: 0, id: 5n, leaseId },
    })
  }

  reportLegacy(values: readonly number[]) {
    return this.#client.call(datanodeProtocol, 'blockReport', {
      registration: this.#registration,
      blockPoolId: '',
      reports: [{ storage: { storageUuid: this.storage }, blocks: values }],
    })
  }

  received(block: ExtendedBlock, status: 'RECEIVED' | 'DELETED' = 'RECEIVED') {
    const { blockId: id, generationStamp: genStamp, numBytes } = block
    return this.#client.call(datanodeProtocol, 'blockReceivedAndDeleted', {
      registration: this.#registration,
      blockPoolId: '',
      blocks: [
        {
          storageUuid: this.storage,
          blocks: [{ block: { blockId: id, genStamp, numBytes }, status }],
        },
      ],
    })
  }

  registerAgain() {
    return this.registerAs(this.#registration.storageInfo.clusterID)
  }

  registerAs(clusterID: string) {
    const { storageInfo } = this.#registration
    return this.#client.call(datanodeProtocol, 'registerDatanode', {
      registration: { ...this.#registration, storageInfo: { ...storageInfo, clusterID } },
    })
  }

  errorReport() {
    return this.#client.call(datanodeProtocol, 'errorReport', {
      ...{ registartion: this.#registration, errorCode: 1, msg: 'disk is slow' },
    })
  }
}

t.test('names and attributes over RPC answer as HDFS does', async (t) => {
  const namenode = await start(t, t.testdir())
  const client = connect(t, namenode)
  const call = clientCalls(client)
  t.same(await call('getFileInfo', { src: '/missing' }), {})
  const rootStatus = (await call('getFileInfo', { src: '/' })).fs
  t.match(rootStatus, {
    ...{ fileType: 'IS_DIR', length: 0, group: 'supergroup', childrenNum: 0, fileId: 16385 },
    ...{ path: nothing, access_time: 0, block_replication: 0, blocksize: 0, flags: 0 },
  })
  const goMode = { perm: 0x800001ed }
  t.same(await call('mkdirs', { src: '/a/b', masked: goMode, createParent: true }), {
    result: true,
  })
  t.match(await call('getFileInfo', { src: '/a/b' }), { fs: { permission: { perm: 0o755 } } })
  t.same(await call('delete', { src: '/missing', recursive: true }), { result: false })
  await t.rejects(call('delete', { src: '/a', recursive: false }), { code: 'DIRECTORY_NOT_EMPTY' })
  t.same(await call('rename', { src: '/a/b', dst: '/c' }), { result: true })
  await call('rename2', { src: '/c', dst: '/a/d', overwriteDest: false })
  await call('setPermission', { src: '/a/d', permission: { perm: 0o1777 } })
  await call('setOwner', { src: '/a/d', username: 'alice', groupname: '' })
  await call('setTimes', { src: '/a/d', mtime: 1234n, atime: minusOne })
  t.match((await call('getFileInfo', { src: '/a/d' })).fs, {
    ...{ permission: { perm: 0o1777 }, owner: 'alice', group: 'supergroup' },
    modification_time: 1234,
  })
  await t.rejects(call('setTimes', { src: '/a', mtime: 2n ** 60n, atime: minusOne }), {
    message: /beyond 2\^53/,
  })
  t.same(await call('setReplication', { src: '/a', replication: 2 }), { result: false })
  const listing = await call('getListing', { src: '/a', startAfter: nothing, needLocation: false })
  t.same(
    listing.dirList?.partialListing.map(({ path }) => textOf(path)),
    ['d'],
  )
  t.match(await call('getListing', { src: '/a', startAfter: bytesOf('d'), needLocation: false }), {
    dirList: { partialListing: [], remainingEntries: 0 },
  })
  t.same(await call('getListing', { src: '/x', startAfter: nothing, needLocation: false }), {})
  await t.rejects(call('mkdirs', { src: '/a\0b', masked: goMode, createParent: true }), {
    code: 'INVALID_PATH',
  })
  await call('createSymlink', {
    ...{ target: 'a/d', link: '/l', dirPerm: { perm: 0o755 }, createParent: false },
  })
  t.same(await call('getLinkTarget', { path: '/l' }), { targetPath: 'a/d' })
  t.match(await call('getFileLinkInfo', { src: '/l' }), { fs: { fileType: 'IS_SYMLINK' } })
  await namenode.stop()
})

t.test('permissions follow the caller, not the connection that is at hand', async (t) => {
  const namenode = await start(t, t.testdir())
  const root = connect(t, namenode)
  const nobody = connect(t, namenode, 'nobody')
  await t.rejects(
    nobody.call(clientNamenodeProtocol, 'mkdirs', {
      ...{ src: '/n', masked: { perm: 0o755 }, createParent: false },
    }),
    { code: 'PERMISSION_DENIED', message: /user=nobody, access=WRITE, inode="\/":root:supergroup/ },
  )
  await t.rejects(
    nobody.call(clientNamenodeProtocol, 'setSafeMode', { action: 'SAFEMODE_ENTER' }),
    {
      code: 'PERMISSION_DENIED',
    },
  )
  t.same(await nobody.call(clientNamenodeProtocol, 'setSafeMode', { action: 'SAFEMODE_GET' }), {
    result: false,
  })
  t.same(await root.call(clientNamenodeProtocol, 'setSafeMode', { action: 'SAFEMODE_ENTER' }), {
    result: true,
  })
  await t.rejects(root.call(clientNamenodeProtocol, 'delete', { src: '/n', recursive: false }), {
    code: 'SAFE_MODE',
  })
  t.same(await root.call(clientNamenodeProtocol, 'setSafeMode', { action: 'SAFEMODE_LEAVE' }), {
    result: false,
  })
  t.match(
    await nobody.call(clientNamenodeProtocol, 'checkAccess', { path: '/', mode: 'READ_EXECUTE' }),
    {},
  )
  await namenode.stop()
})

t.test('probes for features that are not in use get harmless, true answers', async (t) => {
  const namenode = await start(t, t.testdir())
  const client = connect(t, namenode)
  const call = clientCalls(client)
  t.same(await call('getEZForPath', { src: '/' }), {})
  t.same(await call('getErasureCodingPolicy', { src: '/' }), {})
  t.match(await call('getStoragePolicy', { path: '/' }), { storagePolicy: { name: 'HOT' } })
  t.equal((await call('getStoragePolicies', {})).policies.length, 8)
  t.match(await call('getAclStatus', { src: '/' }), {
    result: { owner: 'root', sticky: false, entries: [], permission: { perm: 0o755 } },
  })
  t.match(await call('getXAttrs', { src: '/', xAttrs: [] }), { xAttrs: [] })
  await t.rejects(call('getXAttrs', { src: '/', xAttrs: [{ namespace: 'USER', name: 'k' }] }), {
    message: /At least one of the attributes/,
  })
  t.match(await call('listXAttrs', { src: '/' }), { xAttrs: [] })
  await t.rejects(call('getAclStatus', { src: '/missing' }), { code: 'FILE_NOT_FOUND' })
  t.same(await call('getDelegationToken', { renewer: '' }), {})
  t.same(await call('getDataEncryptionKey', {}), {})
  t.same(await call('msync', {}), {})
  t.same(await call('getHAServiceState', {}), { state: 'ACTIVE' })
  t.same(await call('getEnclosingRoot', { filename: '/a' }), { enclosingRootPath: '/' })
  t.same(await call('upgradeStatus', {}), { upgradeFinalized: true })
  t.same(await call('rollingUpgrade', { action: 'QUERY' }), {})
  await t.rejects(call('rollingUpgrade', { action: 'START' }), { code: 'UNSUPPORTED_OPERATION' })
  t.match(await call('getServerDefaults', {}), {
    serverDefaults: {
      ...{ blockSize: 134217728, bytesPerChecksum: 512, writePacketSize: 65536, replication: 3 },
      ...{ checksumType: 'CHECKSUM_CRC32C', keyProviderUri: '', policyId: 7 },
    },
  })
  await t.rejects(call('allowSnapshot', { snapshotRoot: '/' }), { code: 'NO_SUCH_METHOD' })
  await t.rejects(
    call('create', {
      ...{ src: '/f', masked: { perm: 0o644 }, clientName: 'c', createFlag: 1, createParent: true },
      ...{ replication: 3, blockSize: 134217728, ecPolicyName: 'RS-6-3-1024k' },
    }),
    { code: 'UNSUPPORTED_OPERATION' },
  )
  await namenode.stop()
})

t.test('what a datanode said over a connection it gave up changes nothing any more', async (t) => {
  const namenode = await start(t, t.testdir())
  const call = clientCalls(connect(t, namenode))
  const file = { src: '/f', clientName: 'writer' }
  const creation = { masked: { perm: 0o644 }, createFlag: 1, createParent: true, replication: 1 }
  await call('create', { ...file, ...creation, blockSize: 134217728 })
  const givenUp = await ReportingDatanode.register(connect(t, namenode), 1)
  const { block } = await call('addBlock', file)
  const datanode = await ReportingDatanode.register(connect(t, namenode), 1)
  const last = { ...block.b, numBytes: 10 }
  await datanode.report([last])
  const late = { code: 'IO_ERROR', message: /has opened another connection since/ }
  await t.rejects(givenUp.report([]), late)
  await t.rejects(givenUp.received(last, 'DELETED'), late)
  await t.rejects(givenUp.heartbeat(), late, 'orders would go nowhere')
  await t.rejects(givenUp.registerAgain(), late)
  t.same(await call('complete', { ...file, last }), { result: true })
  await namenode.stop()
})

t.test('a file is written and read with three datanodes that report', async (t) => {
  const namenode = await start(t, t.testdir())
  const client = connect(t, namenode)
  const call = clientCalls(client)
  const file = { src: '/f', clientName: 'writer' }
  const creation = {
    ...{ ...file, masked: { perm: 0o644 }, createFlag: 1, createParent: true, replication: 3 },
    blockSize: 134217728,
  }
  t.match((await call('create', creation)).fs, {
    ...{ fileType: 'IS_FILE', blocksize: 134217728, block_replication: 3, fileId: 16386 },
  })
  await t.rejects(call('addBlock', file), { code: 'IO_ERROR', message: /there is no datanode/ })
  const datanodes: ReportingDatanode[] = []
  for (const index of [1, 2, 3]) {
    datanodes.push(await ReportingDatanode.register(connect(t, namenode), index))
  }
  t.equal(datanodes[0]?.address, '127.0.0.1', 'the address is the peer of the connection')
  const { block } = await call('addBlock', file)
  t.equal(block.locs.length, 3)
  t.match(block, {
    ...{ offset: 0n, corrupt: false, isCached: [false, false, false], b: { numBytes: 0 } },
    storageTypes: ['DISK', 'DISK', 'DISK'],
    blockToken: { kind: '', service: '' },
  })
  t.equal(new Set(block.storageIDs).size, 3)
  t.match(await call('updateBlockForPipeline', { block: block.b, clientName: 'writer' }), {
    block: { offset: minusOne, locs: [], b: { blockId: block.b.blockId } },
  })
  t.match(
    await call('getAdditionalDatanode', {
      ...{ ...file, blk: block.b, existings: block.locs.slice(0, 2), numAdditionalNodes: 1 },
      existingStorageUuids: block.storageIDs.slice(0, 2),
    }),
    { block: { locs: { length: 3 } } },
  )
  const [lost] = block.locs.slice(2)
  if (lost === undefined) throw new Error('a third location')
  const reduced = {
    ...{ ...file, blk: block.b, existings: block.locs.slice(0, 2), numAdditionalNodes: 1 },
    existingStorageUuids: block.storageIDs.slice(0, 2),
  }
  t.match(
    await call('getAdditionalDatanode', { ...reduced, excludes: [lost] }),
    { block: { locs: { length: 2 } } },
    'the one that failed is avoided',
  )
  const before = { ...lost, id: { ...lost.id, xferPort: lost.id.xferPort + 1 } }
  t.match(
    await call('getAdditionalDatanode', { ...reduced, excludes: [before] }),
    { block: { locs: { length: 3 } } },
    'but not when it is back under another port',
  )
  const asAnother = { blk: block.b, numAdditionalNodes: 1, src: '/f', clientName: 'another' }
  await t.rejects(call('getAdditionalDatanode', asAnother), { code: 'LEASE_EXPIRED' })
  await t.rejects(call('getAdditionalDatanode', { ...asAnother, src: '/gone' }), {
    code: 'FILE_NOT_FOUND',
  })
  await call('fsync', { src: '/f', client: 'writer', lastBlockLength: 10 })
  await call('renewLease', { clientName: 'writer' })
  const last = { ...block.b, numBytes: 100 }
  const done = call('complete', { ...file, last })
  for (const datanode of datanodes) await datanode.received(last)
  t.same(await done, { result: true })
  const wholeFile = { src: '/f', offset: 0, length: 2n ** 63n - 1n }
  const { locations } = await call('getBlockLocations', wholeFile)
  t.match(locations, {
    ...{ fileLength: 100, underConstruction: false, isLastBlockComplete: true },
    blocks: [{ offset: 0n, locs: { length: 3 }, b: { numBytes: 100 } }],
    lastBlock: { b: { blockId: block.b.blockId } },
  })
  t.match(await call('getLocatedFileInfo', { src: '/f' }), {
    fs: { path: nothing, locations: { fileLength: 100 } },
  })
  t.match(await call('getListing', { src: '/', startAfter: nothing, needLocation: true }), {
    dirList: { partialListing: [{ path: bytesOf('f'), locations: { fileLength: 100 } }] },
  })
  t.same(await call('isFileClosed', { src: '/f' }), { result: true })
  t.same(await call('getPreferredBlockSize', { filename: '/f' }), { bsize: 134217728 })
  await call('mkdirs', { src: '/d/e', masked: { perm: 0o755 }, createParent: true })
  t.match(await call('getContentSummary', { path: '/' }), {
    summary: {
      ...{ length: 100, fileCount: 1, directoryCount: 3, spaceConsumed: 300 },
      ...{ quota: 2n ** 63n - 1n, spaceQuota: minusOne },
    },
  })
  t.match(await call('getContentSummary', { path: '/f' }), {
    summary: { length: 100, fileCount: 1, directoryCount: 0, quota: minusOne },
  })
  t.match(await call('getQuotaUsage', { path: '/d' }), { usage: { fileAndDirectoryCount: 2 } })
  await t.rejects(call('getContentSummary', { path: '/missing' }), { code: 'FILE_NOT_FOUND' })
  t.match(await call('getFsStats', {}), { capacity: 3 * 2 ** 40, missing_blocks: 0 })
  t.match(await call('getFsReplicatedBlockStats', {}), { low_redundancy: 0 })
  t.match(await call('getFsECBlockGroupStats', {}), { low_redundancy: 0 })
  const { di } = await call('getDatanodeReport', { type: 'LIVE' })
  t.match(di, [
    { id: { hostName: 'host-1' }, adminState: 'NORMAL', location: '/default-rack' },
    {},
    {},
  ])
  for (const type of [
    'DEAD',
    'DECOMMISSIONING',
    'ENTERING_MAINTENANCE',
    'IN_MAINTENANCE',
  ] as const) {
    t.same((await call('getDatanodeReport', { type })).di, [], type)
  }
  t.match(await call('getDatanodeStorageReport', { type: 'ALL' }), {
    datanodeStorageReports: [{ storageReports: [{ capacity: 2 ** 40 }] }, {}, {}],
  })
  t.same((await call('getSlowDatanodeReport', {})).datanodeInfoProto, [])
  t.match(await call('listCorruptFileBlocks', { path: '/' }), { corrupt: { files: [] } })
  await call('create', { ...creation, src: '/open' })
  t.match(await call('listOpenFiles', { id: 0, types: [], path: '/' }), {
    entries: [{ path: '/open', clientName: 'writer', clientMachine: /127\.0\.0\.1$/ }],
    hasMore: false,
  })
  t.same(await call('recoverLease', { src: '/open', clientName: 'other' }), { result: true })
  t.ok((await call('getCurrentEditLogTxid', {})).txid > 5)
  await namenode.stop()
})

t.test('files are appended to, cut and joined over RPC', async (t) => {
  const namenode = await start(t, t.testdir())
  const call = clientCalls(connect(t, namenode))
  const datanodes: ReportingDatanode[] = []
  for (const index of [1, 2, 3]) {
    datanodes.push(await ReportingDatanode.register(connect(t, namenode), index))
  }
  const complete = async (src: string, last: ExtendedBlock): Promise<void> => {
    for (const datanode of datanodes) await datanode.received(last)
    await call('complete', { src, clientName: 'writer', last })
  }
  const write = async (src: string, numBytes: number): Promise<void> => {
    const replication = { replication: 3, blockSize: 1048576 }
    const creation = { masked: { perm: 0o644 }, createFlag: 5, createParent: true, ...replication }
    await call('create', { src, clientName: 'writer', ...creation })
    const { block } = await call('addBlock', { src, clientName: 'writer' })
    await complete(src, { ...block.b, numBytes })
  }
  await write('/a', 100)
  const { block, stat } = await call('append', { src: '/a', clientName: 'writer', flag: 4 })
  t.match(block, {
    ...{ b: { numBytes: 100 }, offset: 0n, corrupt: false, locs: { length: 3 } },
    ...{ storageIDs: { length: 3 }, storageTypes: { length: 3 }, isCached: { length: 3 } },
  })
  t.match(stat, { path: nothing, length: 100, fileId: 16386, blocksize: 1048576 })
  if (block === undefined) throw new Error('no block')
  const bumped = await call('updateBlockForPipeline', { block: block.b, clientName: 'writer' })
  await call('updatePipeline', {
    ...{ clientName: 'writer', oldBlock: block.b, newBlock: bumped.block.b },
    ...{ newNodes: block.locs.map(({ id }) => id), storageIDs: block.storageIDs },
  })
  await complete('/a', { ...bumped.block.b, numBytes: 1048576 })
  const full = await call('append', { src: '/a', clientName: 'writer' })
  t.match(full, { block: undefined, stat: { length: 1048576 } })
  t.same(await call('complete', { src: '/a', clientName: 'writer', last: bumped.block.b }), {
    result: true,
  })
  await write('/b', 30)
  const fresh = await call('append', { src: '/b', clientName: 'writer', flag: 4 + 32 })
  t.match(fresh.block, { b: { numBytes: 30 }, locs: [] })
  await call('recoverLease', { src: '/b', clientName: 'writer' })
  await call('concat', { trg: '/a', srcs: ['/b'] })
  const cut = { src: '/a', clientName: 'writer' }
  await t.rejects(call('truncate', { ...cut, newLength: 1048607 }), { code: 'INVALID_ARGUMENT' })
  t.same(await call('truncate', { ...cut, newLength: 1048606 }), { result: true }, 'unchanged')
  t.same(await call('truncate', { ...cut, newLength: 1048580 }), { result: false })
  const answers = await Promise.all(datanodes.map((datanode) => datanode.heartbeat()))
  const commands = answers.flatMap(({ cmds }) => cmds).filter(({ recoveryCmd }) => recoveryCmd)
  const recovering = commands[0]?.recoveryCmd?.blocks[0]
  t.equal(commands.length, 1, 'one primary')
  t.match(recovering, { truncateBlock: { numBytes: 4 }, block: { locs: { length: 3 } } })
  await namenode.stop()
})

t.test('datanodes report, get orders, and are heard no more', async (t) => {
  const namenode = await start(t, t.testdir())
  const client = connect(t, namenode)
  const call = clientCalls(client)
  const links = [1, 2, 3].map(() => connect(t, namenode))
  const datanodes: ReportingDatanode[] = []
  for (const [index, link] of links.entries()) {
    datanodes.push(await ReportingDatanode.register(link, index))
  }
  const [first, second] = datanodes
  if (first === undefined || second === undefined) throw new Error('no datanodes')
  const { fullBlockReportLeaseId } = await first.heartbeat(true)
  t.not(fullBlockReportLeaseId, 0n)
  t.match(await first.report([], fullBlockReportLeaseId), { cmd: { cmdType: 'FinalizeCommand' } })
  await t.rejects(first.report([], fullBlockReportLeaseId), {
    message: /lease .* is not valid any more/,
  })
  await t.rejects(first.registerAs('CID-other'), {
    code: 'UNREGISTERED_NODE',
    message: /belongs to cluster "CID-other"/,
  })
  await first.errorReport()
  const stranger = {
    ...{ poolId: '', blockId: 999, generationStamp: 7, numBytes: 5 },
  }
  await first.report([stranger])
  const { cmds } = await first.heartbeat()
  t.match(cmds, [
    { cmdType: 'BlockCommand', blkCmd: { action: 'INVALIDATE', blocks: [{ blockId: 999 }] } },
  ])
  await first.received(stranger, 'DELETED')
  await second.reportLegacy([1, 1, 500, 10, 3, -1, -1, -1, 501, 10, 3, 1])
  await t.rejects(second.reportLegacy([1, 1, 500]), { code: 'IO_ERROR', message: /must hold 12/ })
  await t.rejects(second.reportLegacy([0, 1, -1, -1, -1, 501, 10, 3, 9]), { message: /unknown/ })
  links[2]?.close()
  const deadline = Date.now() + 5000
  while (Date.now() < deadline) {
    const states = namenode.status().datanodes.map(({ liveness }) => liveness)
    if (states.includes('disconnected')) break
    await call('msync', {})
  }
  t.match(namenode.status().datanodes, [
    { liveness: 'live' },
    { liveness: 'live' },
    { liveness: 'disconnected' },
  ])
  await namenode.stop()
})

t.test('the HTTP port shows a page, a document, metrics and health', async (t) => {
  const namenode = await start(t, t.testdir())
  const client = connect(t, namenode)
  await client.call(clientNamenodeProtocol, 'getFileInfo', { src: '/' })
  await client.call(clientNamenodeProtocol, 'mkdirs', {
    ...{ src: '/a', masked: { perm: 0o755 }, createParent: true },
  })
  const datanode = await ReportingDatanode.register(connect(t, namenode), 1)
  await datanode.report([])
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://${namenode.addresses['http'] ?? ''}${path}`)
    return { status: response.status, text: await response.text() }
  }
  const page = (await get('/')).text
  t.match(page, /<dt>Directories<\/dt><dd>2<\/dd>/)
  t.match(page, /127\.0\.0\.1:9001/)
  t.notMatch(page, /<script|https?:\/\//, 'nothing is fetched from elsewhere')
  t.match(JSON.parse((await get('/status.json')).text), {
    ...{ role: 'namenode', safeMode: 'off', journal: { durableTxid: 2 } },
    namespace: { directories: 2 },
  })
  const metrics = (await get('/metrics')).text
  t.match(metrics, /trefoil_namenode_rpc_seconds_count\{method="getFileInfo"\} 1/)
  t.match(metrics, /trefoil_namenode_journal_sync_seconds_count \d/)
  t.match(metrics, /trefoil_namenode_datanodes\{state="live"\} 1/)
  t.match(metrics, /trefoil_namenode_repair_queue_blocks\{danger="last-replica"\} 0/)
  t.match(metrics, /trefoil_namenode_row_cache_hits_total [1-9]/)
  t.match(metrics, /trefoil_namenode_rpc_connections 2/)
  t.match(metrics, /trefoil_namenode_rpc_connections_total 2/)
  t.match(metrics, /trefoil_namenode_rpc_calls_in_flight 0/)
  t.match(metrics, /trefoil_namenode_repair_copied_bytes_total 0/)
  t.match(metrics, /trefoil_namenode_rpc_calls_unknown_total 0/)
  const { getFileInfo } = clientNamenodeProtocol.methods
  const unserved = service('org.example.UnservedProtocol', { getFileInfo: { ...getFileInfo } })
  await t.rejects(client.call(unserved, 'getFileInfo', { src: '/' }), {
    message: /Unknown protocol/,
  })
  t.match((await get('/metrics')).text, /trefoil_namenode_rpc_calls_unknown_total 1/)
  t.match(await get('/health'), { status: 200, text: /"serving":true/ })
  t.match(await get('/healthz'), { status: 200, text: /"status":"ok".*"journal":"ok"/ })
  t.match(await get('/readyz'), { status: 200, text: /"safe-mode":"ok"/ })
  await client.call(clientNamenodeProtocol, 'setSafeMode', { action: 'SAFEMODE_ENTER' })
  t.match(await get('/healthz'), { status: 200 })
  t.match(await get('/readyz'), { status: 503, text: /Safe mode was entered by an operator/ })
  await namenode.stop()
})

t.test('/jmx shows the beans that tools made for HDFS read', async (t) => {
  const directory = t.testdir()
  const namenode = await start(t, directory)
  const client = connect(t, namenode)
  await client.call(clientNamenodeProtocol, 'mkdirs', {
    ...{ src: '/a', masked: { perm: 0o755 }, createParent: true },
  })
  const datanode = await ReportingDatanode.register(connect(t, namenode), 1)
  await datanode.report([])
  await datanode.heartbeat()
  const beanOf = async (name: string): Promise<Record<string, unknown>> => {
    const query = `qry=Hadoop:service=NameNode,name=${name}`
    const response = await fetch(`http://${namenode.addresses['http'] ?? ''}/jmx?${query}`)
    const { beans } = (await response.json()) as { beans: Record<string, unknown>[] }
    t.equal(beans.length, 1)
    return beans[0] ?? {}
  }
  const { capacity } = namenode.status()
  t.match(await beanOf('FSNamesystem'), {
    ...{ 'tag.HAState': 'active', NumLiveDataNodes: 1, NumDeadDataNodes: 0, FilesTotal: 2 },
    ...{ MissingBlocks: 0, UnderReplicatedBlocks: 0, CorruptBlocks: 0, BlocksTotal: 0 },
    ...{ CapacityTotal: capacity.totalBytes, CapacityRemaining: capacity.remainingBytes },
    ...{ LastWrittenTransactionId: 2, TotalSyncCount: 2, 'tag.TotalSyncTimes': /^\d+ $/ },
    LastCheckpointTime: Number,
  })
  t.match(await beanOf('FSNamesystemState'), { FSState: 'Operational', NumLiveDataNodes: 1 })
  const info = await beanOf('NameNodeInfo')
  t.match(info, {
    ...{ Safemode: '', ClusterId: namenode.status().clusterId, TotalFiles: 2, Version: /^3\.5/ },
    ...{ DistinctVersionCount: 1, DeadNodes: '{}', UpgradeFinalized: true },
  })
  const parsed = (field: string): unknown => JSON.parse(String(info[field])) as unknown
  const [live] = Object.entries(parsed('LiveNodes') as Record<string, unknown>)
  t.match(live, [/:9001$/, { xferaddr: '127.0.0.1:9001', adminState: 'In Service', volfails: 0 }])
  t.match(parsed('NameDirStatuses'), { active: { [directory]: 'IMAGE_AND_EDITS' } })
  t.match(parsed('JournalTransactionInfo'), { LastAppliedOrWrittenTxId: '2' })
  t.match(parsed('NodeUsage'), { nodeUsage: { min: /%$/, stdDev: '0.00%' } })
  t.match(await beanOf('NameNodeStatus'), {
    ...{ State: 'active', HostAndPort: namenode.addresses['rpc'] },
  })
  await client.call(clientNamenodeProtocol, 'setSafeMode', { action: 'SAFEMODE_ENTER' })
  t.match(await beanOf('FSNamesystemState'), { FSState: 'safeMode' })
  t.match(await beanOf('NameNodeInfo'), { Safemode: /^Safe mode is ON\. It was turned on/ })
  const bad = await fetch(`http://${namenode.addresses['http'] ?? ''}/jmx?qry=nonsense`)
  t.equal(bad.status, 400)
  await namenode.stop()
})

t.test(
  'after damage was met, a start reads every page first and refuses while there is any',
  async (t) => {
    const directory = t.testdir()
    const namenode = await start(t, directory)
    await namenode.stop()
    const database = join(directory, 'namespace.sqlite')
    const whole = readFileSync(database)
    const marker = join(directory, 'damaged')
    // A page that no start looks at: one of the free pages' list would do, here the header's reserved bytes.
    const damaged = Buffer.from(whole)
    damaged.writeUInt32BE(7, 36)
    writeFileSync(database, damaged)
    await (await start(t, directory)).stop()
    writeFileSync(database, damaged)
    writeFileSync(marker, 'SQLITE_CORRUPT')
    await t.rejects(start(t, directory), {
      ...{ code: 'CORRUPTION', message: /dfs offline schema .* dfs namenode restore/ },
    })
    writeFileSync(database, whole)
    const again = await start(t, directory)
    t.notOk(existsSync(marker), 'a database without findings needs no further check')
    await again.stop()
  },
)

t.test('a directory belongs to one namenode at a time, and outlives it', async (t) => {
  const directory = t.testdir()
  const namenode = await start(t, directory)
  await t.rejects(start(t, directory), {
    code: 'IO_ERROR',
    message: new RegExp(
      `"${directory}" is in use by process ${process.pid}; .*kill ${process.pid}`,
    ),
  })
  const client = connect(t, namenode)
  await client.call(clientNamenodeProtocol, 'mkdirs', {
    ...{ src: '/kept', masked: { perm: 0o755 }, createParent: true },
  })
  const { clusterId } = namenode.status()
  await namenode.stop()
  const again = await start(t, directory)
  t.equal(again.status().clusterId, clusterId)
  t.match(await connect(t, again).call(clientNamenodeProtocol, 'getFileInfo', { src: '/kept' }), {
    fs: { fileType: 'IS_DIR' },
  })
  await again.stop()
})

t.test('runNamenode() says what to do when the directory does not fit', async (t) => {
  const directory = t.testdir()
  t.throws(() => namenodeConfig(withSettings({})), { code: 'INVALID_ARGUMENT', message: /--dir/ })
  const config = namenodeConfig(withSettings({ 'dfs.namenode.name.dir': directory }))
  const namenode = await start(t, directory)
  const [host, port] = (namenode.addresses['rpc'] ?? '').split(':')
  const other = join(directory, 'other')
  await t.rejects(start(t, other, { 'dfs.namenode.rpc-port': Number(port) }), {
    code: 'IO_ERROR',
    message: new RegExp(`Cannot listen on ${host ?? ''}:${port ?? ''}`),
  })
  await namenode.stop()
  const segment = join(config.journal, 'journal-0000000000000001')
  writeFileSync(segment, 'not a segment, but the last one')
  renameSync(config.database, `${config.database}.away`)
  await t.rejects(start(t, directory), {
    code: 'CORRUPTION',
    message: /holds a journal but .* is missing.*mv /,
  })
  rmSync(segment)
  renameSync(`${config.database}.away`, config.database)
  const again = await start(t, directory)
  t.ok(existsSync(config.database))
  t.equal(readFileSync(config.pidFile, 'utf8').trim(), String(process.pid))
  await again.stop()
  const racks = join(directory, 'racks')
  writeFileSync(racks, 'not-a-rack\n')
  await t.rejects(start(t, directory, { 'net.topology.table.file.name': racks }), {
    code: 'INVALID_ARGUMENT',
    message: /rack table/,
  })
})
