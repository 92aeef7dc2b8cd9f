import type { DatanodeView } from '../core/datanode-registry.ts'
import type { Namenode } from './namenode.ts'

/** One datanode in the status document. */
export interface DatanodeStatus {
  readonly uuid: string
  /** `host:port` of its data port. */
  readonly address: string
  /** `host:port` of its HTTP port. */
  readonly httpAddress: string
  readonly rack: string
  readonly liveness: DatanodeView['liveness']
  readonly adminState: DatanodeView['adminState']
  /** False while it comes and goes. */
  readonly isSteady: boolean
  readonly capacityBytes: number
  readonly usedBytes: number
  readonly remainingBytes: number
  readonly replicas: number
  readonly silenceMs: number
}

/** What the status page and `/status.json` show. */
export interface NamenodeStatus {
  readonly role: 'namenode'
  readonly version: string
  readonly clusterId: string
  readonly blockPoolId: string
  readonly uptimeMs: number
  readonly addresses: Readonly<Record<string, string>>
  readonly safeMode: string
  readonly isBlockLoadingDone: boolean
  readonly namespace: {
    readonly files: number
    readonly directories: number
    readonly blocks: number
    readonly openFiles: number
    readonly residentInodes: number
  }
  readonly capacity: {
    readonly totalBytes: number
    readonly usedBytes: number
    readonly remainingBytes: number
  }
  readonly blocks: {
    readonly underReplicated: number
    readonly missing: number
    readonly corrupt: number
    readonly pendingCopies: number
    readonly pendingDeletions: number
    readonly isRepairPaused: boolean
    readonly isScanning: boolean
  }
  readonly journal: {
    readonly txid: number
    readonly durableTxid: number
    readonly segments: readonly string[]
  }
  readonly checkpoint: {
    readonly txid: number
    readonly lagTransactions: number
    readonly lastFold: { transactions: number; rows: number; durationMs: number } | undefined
  }
  readonly disk: {
    /** As of the last look; absent before the first. */
    readonly freeBytes: number | undefined
    /** Changes are refused until there is space. */
    readonly isLow: boolean
  }
  readonly datanodes: readonly DatanodeStatus[]
}

/** What the namenode does not know of itself. */
export interface StatusSurroundings {
  readonly version: string
  readonly addresses: Readonly<Record<string, string>>
  /** Monotonic time of the start. */
  readonly startedAt: number
}

export function namenodeStatus(
  namenode: Namenode,
  { version, addresses, startedAt }: StatusSurroundings,
): NamenodeStatus {
  const { namesystem, blocks, journal, checkpointer, store } = namenode
  const { totals, openFiles, residentInodes } = namesystem.status()
  const stats = blocks.stats()
  const { files, directories } = totals
  return {
    role: 'namenode',
    version,
    clusterId: store.identity.clusterId,
    blockPoolId: store.identity.blockPoolId,
    uptimeMs: namenode.now() - startedAt,
    addresses,
    safeMode: blocks.safeMode,
    isBlockLoadingDone: namenode.blockLoading.isDone,
    namespace: { files, directories, blocks: totals.blocks, openFiles, residentInodes },
    capacity: {
      totalBytes: stats.capacity,
      usedBytes: stats.used,
      remainingBytes: stats.remaining,
    },
    blocks: {
      underReplicated: stats.underReplicatedBlocks,
      missing: stats.missingBlocks,
      corrupt: stats.corruptBlocks,
      pendingCopies: stats.pendingCopies,
      pendingDeletions: stats.pendingDeletionReplicas,
      isRepairPaused: stats.isRepairPaused,
      isScanning: stats.isScanning,
    },
    journal: {
      txid: journal.nextTxid - 1,
      durableTxid: journal.durableTxid,
      segments: journal.segments.map(({ name }) => name),
    },
    checkpoint: {
      txid: checkpointer.foldedTxid,
      lagTransactions: checkpointer.lag,
      lastFold: checkpointer.lastFold,
    },
    disk: { freeBytes: namenode.freeBytes, isLow: namenode.isLowOnSpace },
    datanodes: blocks.datanodes('all').map((view) => datanodeStatus(namenode, view)),
  }
}

function datanodeStatus(namenode: Namenode, view: DatanodeView): DatanodeStatus {
  return {
    uuid: view.uuid,
    address: `${view.ipAddress}:${view.transferPort}`,
    httpAddress: `${view.ipAddress}:${view.infoPort}`,
    rack: view.rack,
    liveness: view.liveness,
    adminState: view.adminState,
    isSteady: view.isSteady,
    capacityBytes: view.capacity,
    usedBytes: view.used,
    remainingBytes: view.remaining,
    replicas: view.replicaCount,
    silenceMs: namenode.blocks.silenceMs(view.uuid) ?? 0,
  }
}
