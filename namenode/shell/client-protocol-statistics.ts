import { unreachable } from '../../base/assert.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type {
  clientNamenodeProtocol,
  DatanodeReportType,
} from '../../protocol/messages/client-namenode.ts'
import type {
  fsServerDefaults,
  OpenFilesType,
  openFilesBatchResponse,
} from '../../protocol/messages/hdfs.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { RpcCall, RpcHandlers } from '../../transport/rpc-server.ts'
import type { BlockManager } from '../core/block-manager.ts'
import type { DatanodeView, StorageView } from '../core/datanode-registry.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { hotPolicyId } from './storage-policies.ts'
import { wireDatanodeInfo } from './wire-views.ts'

const corruptFilesPerPage = 100
const openFilesPerPage = 1000
const nothing = {}

/** Methods about the cluster as a whole: its defaults, space and block health. */
export function statisticsHandlers(
  context: ClientContext,
): RpcHandlers<typeof clientNamenodeProtocol> {
  const { blocks, settings } = context.namenode
  const serverDefaults = serverDefaultsOf(settings)
  return {
    getServerDefaults: () => ({ serverDefaults }),
    getFsStats: () => {
      const stats = blocks.stats()
      return {
        capacity: stats.capacity,
        used: stats.used,
        remaining: stats.remaining,
        under_replicated: stats.underReplicatedBlocks,
        corrupt_blocks: stats.corruptBlocks,
        missing_blocks: stats.missingBlocks,
        missing_repl_one_blocks: stats.missingBlocksWithReplicationOne,
        blocks_in_future: 0,
        pending_deletion_blocks: stats.pendingDeletionReplicas,
      }
    },
    getFsReplicatedBlockStats: () => {
      const stats = blocks.stats()
      return {
        low_redundancy: stats.underReplicatedBlocks,
        corrupt_blocks: stats.corruptBlocks,
        missing_blocks: stats.missingBlocks,
        missing_repl_one_blocks: stats.missingBlocksWithReplicationOne,
        blocks_in_future: 0,
        pending_deletion_blocks: stats.pendingDeletionReplicas,
        highest_prio_low_redundancy_blocks: stats.lastReplicaBlocks,
        badly_distributed_blocks: stats.badlyDistributedBlocks,
      }
    },
    // There are no erasure-coded files, so there is none in any bad state.
    getFsECBlockGroupStats: () => ({
      low_redundancy: 0,
      corrupt_blocks: 0,
      missing_blocks: 0,
      blocks_in_future: 0,
      pending_deletion_blocks: 0,
      highest_prio_low_redundancy_blocks: 0,
      badly_distributed_blocks: 0,
    }),
  }
}

/** Methods about datanodes, open files and the state of the namenode. */
export function administrationHandlers(
  context: ClientContext,
): RpcHandlers<typeof clientNamenodeProtocol> {
  const { namenode } = context
  const { blocks } = namenode
  return {
    // What is asked of a datanode is journaled: nobody sees it before it is durable.
    getDatanodeReport: ({ type }) =>
      namenode.release({
        di: datanodesOf(blocks, type).map((view) => wireDatanodeInfo(context, view)),
      }),
    // Which datanodes leave is asked by OperatorProtocol; there are no files of hosts to read again.
    refreshNodes: (_request, call) => mapReply(context.requireSuperuser(call), () => nothing),
    getDatanodeStorageReport: ({ type }) =>
      namenode.release({
        datanodeStorageReports: datanodesOf(blocks, type).map((view) => ({
          datanodeInfo: wireDatanodeInfo(context, view),
          storageReports: view.storages.map(wireStorageReport),
        })),
      }),
    // HDFS's is per datanode, ours for all of them together.
    setBalancerBandwidth: ({ bandwidth }, call) =>
      mapReply(context.requireSuperuser(call), () => {
        if (bandwidth <= 0) {
          throw new DfsError('INVALID_ARGUMENT', 'Bandwidth should be positive')
        }
        blocks.setBalance({
          bytesPerSecond: bandwidth * Math.max(1, blocks.datanodes('live').length),
        })
        return nothing
      }),
    getSlowDatanodeReport: () => ({ datanodeInfoProto: [] }),
    setSafeMode: ({ action }, call) => {
      if (action === 'SAFEMODE_GET') {
        return { result: blocks.safeMode !== 'off' || namenode.isLowOnSpace }
      }
      const wish = action === 'SAFEMODE_ENTER' ? 'enter' : 'leave'
      return mapReply(context.requireSuperuser(call), () => ({
        result: blocks.setSafeMode(wish) !== 'off',
      }))
    },
    listCorruptFileBlocks: async ({ path, cookie }, call) => {
      await context.requireSuperuser(call)
      return { corrupt: await corruptFiles(context, call, path, cookie) }
    },
    listOpenFiles: async ({ id, types, path }, call) => {
      await context.requireSuperuser(call)
      const isBlocking = types.length > 0 && !types.includes('ALL_OPEN_FILES')
      const only = isBlocking ? await filesOnDrains(context, call) : undefined
      return openFiles(context, call, { startAfter: id, prefix: path, only })
    },
    getCurrentEditLogTxid: () => ({ txid: namenode.journal.durableTxid }),
    getHAServiceState: () => ({ state: 'ACTIVE' }),
    // The only namenode is always up to date with itself.
    msync: () => nothing,
    upgradeStatus: () => ({ upgradeFinalized: true }),
    rollingUpgrade: ({ action }) => {
      if (action === 'QUERY') return nothing
      throw new DfsError('UNSUPPORTED_OPERATION', 'Rolling upgrades are not supported')
    },
  }
}

function datanodesOf(blocks: BlockManager, type: DatanodeReportType): readonly DatanodeView[] {
  switch (type) {
    case 'ALL':
      return blocks.datanodes('all')
    case 'LIVE':
      return blocks.datanodes('live')
    case 'DEAD':
      return blocks.datanodes('dead')
    case 'DECOMMISSIONING':
      return blocks.datanodes('decommissioning')
    case 'ENTERING_MAINTENANCE':
      return blocks
        .datanodes('all')
        .filter(({ adminState }) => adminState === 'entering-maintenance')
    case 'IN_MAINTENANCE':
      return blocks.datanodes('all').filter(({ adminState }) => adminState === 'in-maintenance')
    default:
      return unreachable(type)
  }
}

interface OpenFilesPage {
  readonly entries: readonly EncodableOf<typeof openFilesBatchResponse>[]
  readonly hasMore: boolean
  readonly types: readonly [OpenFilesType]
}

/** Files whose block under construction holds up the draining of a datanode. */
async function filesOnDrains(context: ClientContext, call: RpcCall): Promise<ReadonlySet<string>> {
  const files = new Set<string>()
  for (const block of context.namenode.blocks.openBlocksOnDrains()) {
    const path = await context.execute(call, { kind: 'getBlockPath', block })
    if (path !== undefined) files.add(path)
  }
  return files
}

/** Open files with inode ids after `startAfter`, below `prefix`, among `only`, in the order of their ids. */
async function openFiles(
  context: ClientContext,
  call: RpcCall,
  {
    startAfter,
    prefix = '',
    only,
  }: {
    readonly startAfter: number
    readonly prefix?: string | undefined
    readonly only: ReadonlySet<string> | undefined
  },
): Promise<OpenFilesPage> {
  const ids = [...context.namenode.namesystem.leases()]
    .flatMap(({ files }) => [...files])
    .filter((inode) => inode > startAfter)
    .sort((left, right) => left - right)
  const entries: EncodableOf<typeof openFilesBatchResponse>[] = []
  let looked = 0
  // An empty page that is not the last would have clients ask for it for ever.
  for (const inode of ids) {
    if (entries.length === openFilesPerPage) break
    looked += 1
    const file = await context.execute(call, { kind: 'getOpenFile', inode })
    if (file?.path.startsWith(prefix) !== true || only?.has(file.path) === false) continue
    const { path, holder, clientHost } = file
    entries.push({ id: inode, path, clientName: holder, clientMachine: clientHost })
  }
  const type = only === undefined ? 'ALL_OPEN_FILES' : 'BLOCKING_DECOMMISSION'
  return { entries, hasMore: looked < ids.length, types: [type] }
}

function serverDefaultsOf(settings: Settings): EncodableOf<typeof fsServerDefaults> {
  return {
    blockSize: settings['dfs.blocksize'],
    bytesPerChecksum: settings['dfs.bytes-per-checksum'],
    writePacketSize: settings['dfs.client-write-packet-size'],
    replication: settings['dfs.replication'],
    fileBufferSize: 4096,
    encryptDataTransfer: false,
    trashInterval: settings['fs.trash.interval'],
    checksumType: 'CHECKSUM_CRC32C',
    keyProviderUri: '',
    policyId: hotPolicyId,
    snapshotTrashRootEnabled: false,
  }
}

function wireStorageReport(view: StorageView): {
  storageUuid: string
  failed: boolean
  capacity: number
  dfsUsed: number
  remaining: number
  blockPoolUsed: number
  nonDfsUsed: number
  oldestUnverifiedMs?: number
  storage: { storageUuid: string; state: 'NORMAL'; storageType: 'DISK' }
} {
  return {
    storageUuid: view.storage,
    failed: view.isFailed,
    capacity: view.capacity,
    dfsUsed: view.used,
    remaining: view.remaining,
    blockPoolUsed: view.blockPoolUsed,
    nonDfsUsed: view.nonDfsUsed,
    storage: { storageUuid: view.storage, state: 'NORMAL', storageType: 'DISK' },
    ...(view.oldestUnverifiedMs === undefined
      ? {}
      : { oldestUnverifiedMs: view.oldestUnverifiedMs }),
  }
}

/** Files with a block that no good replica is left of, a page at a time. */
async function corruptFiles(
  context: ClientContext,
  call: RpcCall,
  path: string,
  cookie = '0',
): Promise<{ files: string[]; cookie: string }> {
  const { namenode } = context
  const from = Number(cookie)
  const ids = namenode.blocks
    .missingBlocks(from + corruptFilesPerPage)
    .slice(Number.isSafeInteger(from) ? from : 0)
  const files = new Set<string>()
  for (const id of ids) {
    const file = await context.execute(call, { kind: 'getBlockPath', block: id })
    if (file !== undefined && isAtOrBelow(file, path)) files.add(file)
  }
  return { files: [...files], cookie: String(from + ids.length) }
}

function isAtOrBelow(file: string, path: string): boolean {
  return path === '/' || file === path || file.startsWith(`${path}/`)
}
