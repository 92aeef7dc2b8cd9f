/** The namespace's views as HDFS messages: file status, located blocks, datanodes. */
import type { DatanodeUuid } from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import {
  type datanodeID,
  type datanodeInfo,
  type extendedBlock,
  fileStatusFlags,
  type hdfsFileStatus,
  type locatedBlock,
  type locatedBlocks,
} from '../../protocol/messages/hdfs.ts'
import type { AdminState } from '../../protocol/states.ts'
import type { InodeRow } from '../core/changes.ts'
import type { DatanodeView } from '../core/datanode-registry.ts'
import type {
  BlockReference,
  FileStatusView,
  LocatedBlocksView,
  LocatedBlockView,
  ReplicaLocation,
} from '../core/requests.ts'

export type WireFileStatus = EncodableOf<typeof hdfsFileStatus>
export type WireLocatedBlock = EncodableOf<typeof locatedBlock>
export type WireLocatedBlocks = EncodableOf<typeof locatedBlocks>
export type WireDatanodeInfo = EncodableOf<typeof datanodeInfo>
export type WireDatanodeId = EncodableOf<typeof datanodeID>
export type WireExtendedBlock = EncodableOf<typeof extendedBlock>

/** "No offset" of a located block, -1 as an unsigned number. */
const noOffset = 2n ** 64n - 1n
const emptyBytes = new Uint8Array(0)
/** Every located block carries one, also where tokens are off. */
const noToken = { identifier: emptyBytes, password: emptyBytes, kind: '', service: '' }
/** HDFS knows no special files: its clients see empty ones. */
const fileTypes = {
  file: 'IS_FILE',
  directory: 'IS_DIR',
  symlink: 'IS_SYMLINK',
  fifo: 'IS_FILE',
  socket: 'IS_FILE',
  'character-device': 'IS_FILE',
  'block-device': 'IS_FILE',
} as const satisfies Record<InodeRow['kind'], string>
/** Bits that HDFS's own namenode answers: some of its clients take others for what they are not. */
const hdfsModeMask = 0o1777

export const adminStateNames = {
  normal: 'NORMAL',
  'decommission-in-progress': 'DECOMMISSION_INPROGRESS',
  decommissioned: 'DECOMMISSIONED',
  'entering-maintenance': 'ENTERING_MAINTENANCE',
  'in-maintenance': 'IN_MAINTENANCE',
} as const satisfies Record<AdminState, string>

/** What views do not say themselves: the pool's id and who the datanodes are. */
export interface ViewSource {
  readonly blockPoolId: string
  datanode(uuid: DatanodeUuid): DatanodeView | undefined
  /** Wall-clock milliseconds minus monotonic ones. */
  readonly wallOffsetMs: number
}

/** Name of the version that HDFS's compatibility checks are made for. */
export const hdfsVersion = '3.5.0'

export function wireFileStatus(source: ViewSource, view: FileStatusView): WireFileStatus {
  const { inode, name, located } = view
  return {
    fileType: fileTypes[inode.kind],
    path: name === '' ? emptyBytes : Buffer.from(name),
    length: view.length,
    permission: { perm: inode.mode & hdfsModeMask },
    owner: inode.owner,
    group: inode.group,
    // HDFS knows no time before 1970.
    modification_time: Math.max(0, inode.mtime),
    access_time: Math.max(0, inode.atime),
    symlink: inode.target === undefined ? undefined : Buffer.from(inode.target),
    block_replication: inode.replication,
    blocksize: inode.blockSize,
    locations: located === undefined ? undefined : wireLocatedBlocks(source, located),
    fileId: inode.id,
    childrenNum: inode.childCount,
    storagePolicy: 0,
    flags: inode.acl === undefined ? 0 : fileStatusFlags.HAS_ACL,
  }
}

export function wireLocatedBlocks(source: ViewSource, view: LocatedBlocksView): WireLocatedBlocks {
  const { lastBlock } = view
  return {
    fileLength: view.fileLength,
    blocks: view.blocks.map((block) => wireLocatedBlock(source, block)),
    underConstruction: view.isUnderConstruction,
    lastBlock: lastBlock === undefined ? undefined : wireLocatedBlock(source, lastBlock),
    isLastBlockComplete: view.isLastBlockComplete,
  }
}

export function wireLocatedBlock(source: ViewSource, view: LocatedBlockView): WireLocatedBlock {
  return locatedAt(source, view.block, {
    offset: BigInt(view.offset),
    locations: view.locations,
    isCorrupt: view.isCorrupt,
  })
}

/** A block without a place in a file, as pipeline calls and recovery orders carry it. */
export function wirePlacelessBlock(
  source: ViewSource,
  block: BlockReference,
  locations: readonly ReplicaLocation[],
): WireLocatedBlock {
  return locatedAt(source, block, { offset: noOffset, locations, isCorrupt: false })
}

interface Placement {
  readonly offset: bigint
  readonly locations: readonly ReplicaLocation[]
  readonly isCorrupt: boolean
}

/** The lists of locations, storage types and storage ids are parallel. */
function locatedAt(
  source: ViewSource,
  block: BlockReference,
  { offset, locations, isCorrupt }: Placement,
): WireLocatedBlock {
  const locs: WireDatanodeInfo[] = []
  const storageIDs: string[] = []
  for (const { datanode, storage } of locations) {
    const view = source.datanode(datanode)
    if (view === undefined) continue
    locs.push(wireDatanodeInfo(source, view))
    storageIDs.push(storage)
  }
  return {
    b: wireBlock(source, block),
    offset,
    locs,
    corrupt: isCorrupt,
    blockToken: noToken,
    isCached: locs.map(() => false),
    storageTypes: locs.map(() => 'DISK' as const),
    storageIDs,
  }
}

export function wireBlock(source: ViewSource, block: BlockReference): WireExtendedBlock {
  return {
    poolId: source.blockPoolId,
    blockId: block.id,
    generationStamp: block.generationStamp,
    numBytes: block.length,
  }
}

export function wireDatanodeId(view: DatanodeView): WireDatanodeId {
  return {
    ipAddr: view.ipAddress,
    hostName: view.hostName,
    datanodeUuid: view.uuid,
    xferPort: view.transferPort,
    infoPort: view.infoPort,
    ipcPort: view.ipcPort,
    infoSecurePort: 0,
  }
}

export function wireDatanodeInfo(source: ViewSource, view: DatanodeView): WireDatanodeInfo {
  const reportedAt = view.lastBlockReportAt
  return {
    id: wireDatanodeId(view),
    capacity: view.capacity,
    dfsUsed: view.used,
    remaining: view.remaining,
    blockPoolUsed: view.blockPoolUsed,
    lastUpdate: view.lastHeartbeatAt + source.wallOffsetMs,
    xceiverCount: view.transfers,
    location: view.rack,
    nonDfsUsed: view.nonDfsUsed,
    adminState: adminStateNames[view.adminState],
    cacheCapacity: 0,
    cacheUsed: 0,
    lastUpdateMonotonic: view.lastHeartbeatAt,
    lastBlockReportTime: reportedAt === undefined ? 0 : reportedAt + source.wallOffsetMs,
    lastBlockReportMonotonic: reportedAt ?? 0,
    numBlocks: view.replicaCount,
    softwareVersion: hdfsVersion,
  }
}
