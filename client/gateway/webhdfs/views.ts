/** What the namenode answers, in the JSON of org.apache.hadoop.hdfs.web.JsonUtil. */
import { fileStatusFlags } from '../../../protocol/messages/hdfs.ts'
import { aclEntryText, type NamenodeReply } from '../../index.ts'
import type { Json } from './json.ts'

type WireStatus = NonNullable<NamenodeReply<'getFileInfo'>['fs']>
type WireLocatedBlocks = NonNullable<NamenodeReply<'getBlockLocations'>['locations']>
type WireLocatedBlock = WireLocatedBlocks['blocks'][number]
type WireDatanode = WireLocatedBlock['locs'][number]
type WireSummary = NamenodeReply<'getContentSummary'>['summary']
type WirePolicy = NamenodeReply<'getStoragePolicy'>['storagePolicy']
type View = Readonly<Record<string, Json>>

const types = { IS_FILE: 'FILE', IS_DIR: 'DIRECTORY', IS_SYMLINK: 'SYMLINK' } as const
const checksumTypes = { CHECKSUM_NULL: 0, CHECKSUM_CRC32: 1, CHECKSUM_CRC32C: 2 } as const
const defaultRack = '/default-rack'

/** A quota as Java has it: -1 for none. */
function signed(quota: bigint): bigint {
  return BigInt.asIntN(64, quota)
}

/** Names and symlinks travel as bytes. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8')
}

export function fileStatusView(status: WireStatus): View {
  return {
    accessTime: status.access_time,
    aclBit: (status.flags & fileStatusFlags.HAS_ACL) === 0 ? undefined : true,
    blockSize: status.blocksize,
    childrenNum: status.childrenNum,
    fileId: status.fileId,
    group: status.group,
    length: status.length,
    modificationTime: status.modification_time,
    owner: status.owner,
    pathSuffix: textOf(status.path),
    permission: status.permission.perm.toString(8),
    replication: status.block_replication,
    storagePolicy: status.storagePolicy,
    symlink:
      status.fileType === 'IS_SYMLINK' ? textOf(status.symlink ?? new Uint8Array()) : undefined,
    type: types[status.fileType],
  }
}

export function contentSummaryView(summary: WireSummary): View {
  return {
    directoryCount: summary.directoryCount,
    ecPolicy: summary.erasureCodingPolicy ?? '',
    fileCount: summary.fileCount,
    length: summary.length,
    quota: signed(summary.quota),
    snapshotDirectoryCount: summary.snapshotDirectoryCount ?? 0,
    snapshotFileCount: summary.snapshotFileCount ?? 0,
    snapshotLength: summary.snapshotLength ?? 0,
    snapshotSpaceConsumed: summary.snapshotSpaceConsumed ?? 0,
    spaceConsumed: summary.spaceConsumed,
    spaceQuota: signed(summary.spaceQuota),
    typeQuota: {},
  }
}

export function quotaUsageView({ usage }: NamenodeReply<'getQuotaUsage'>): View {
  return {
    fileAndDirectoryCount: usage.fileAndDirectoryCount,
    quota: signed(usage.quota),
    spaceConsumed: usage.spaceConsumed,
    spaceQuota: signed(usage.spaceQuota),
    typeQuota: {},
  }
}

/** One block as FileSystem.getFileBlockLocations tells it. */
export function blockLocationView(block: WireLocatedBlock): View {
  const names = block.locs.map(nameOf)
  return {
    cachedHosts: block.locs.filter((_, index) => block.isCached[index] === true).map(hostOf),
    corrupt: block.corrupt,
    hosts: block.locs.map(hostOf),
    length: block.b.numBytes,
    names,
    offset: block.offset,
    storageTypes: block.storageTypes,
    topologyPaths: block.locs.map((node) => `${node.location ?? defaultRack}/${nameOf(node)}`),
  }
}

export function locatedBlocksView(located: WireLocatedBlocks): View {
  const last = located.lastBlock
  return {
    fileLength: located.fileLength,
    isLastBlockComplete: located.isLastBlockComplete,
    isUnderConstruction: located.underConstruction,
    lastLocatedBlock: last === undefined ? null : locatedBlockView(last),
    locatedBlocks: located.blocks.map(locatedBlockView),
  }
}

function locatedBlockView(block: WireLocatedBlock): View {
  return {
    block: {
      blockId: block.b.blockId,
      blockPoolId: block.b.poolId,
      generationStamp: block.b.generationStamp,
      numBytes: block.b.numBytes,
    },
    blockToken: { urlString: tokenText(block.blockToken) },
    cachedLocations: block.locs
      .filter((_, index) => block.isCached[index] === true)
      .map(datanodeView),
    isCorrupt: block.corrupt,
    locations: block.locs.map(datanodeView),
    startOffset: block.offset,
    storageTypes: block.storageTypes,
  }
}

/** Token.encodeToUrlString: the Writable form in URL-safe base64 without padding. */
export function tokenText(token: WireLocatedBlock['blockToken']): string {
  const fields = [
    token.identifier,
    token.password,
    Buffer.from(token.kind),
    Buffer.from(token.service),
  ]
  const parts = fields.flatMap((field) => [Buffer.from(vint(field.length)), Buffer.from(field)])
  return Buffer.concat(parts).toString('base64url')
}

/** WritableUtils.writeVInt of a length. */
function vint(value: number): number[] {
  if (value <= 127) return [value]
  const bytes: number[] = []
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [256 - 112 - bytes.length, ...bytes]
}

function datanodeView(node: WireDatanode): View {
  return {
    adminState: node.adminState,
    blockPoolUsed: node.blockPoolUsed,
    cacheCapacity: node.cacheCapacity,
    cacheUsed: node.cacheUsed,
    capacity: node.capacity,
    dfsUsed: node.dfsUsed,
    hostName: node.id.hostName,
    infoPort: node.id.infoPort,
    infoSecurePort: node.id.infoSecurePort,
    ipAddr: node.id.ipAddr,
    ipcPort: node.id.ipcPort,
    lastBlockReportMonotonic: node.lastBlockReportMonotonic,
    lastBlockReportTime: node.lastBlockReportTime,
    lastUpdate: node.lastUpdate,
    lastUpdateMonotonic: node.lastUpdateMonotonic,
    name: nameOf(node),
    networkLocation: node.location ?? defaultRack,
    remaining: node.remaining,
    storageID: node.id.datanodeUuid,
    xceiverCount: node.xceiverCount,
    xferPort: node.id.xferPort,
  }
}

function nameOf({ id }: WireDatanode): string {
  return `${id.ipAddr}:${id.xferPort}`
}

function hostOf({ id }: WireDatanode): string {
  return id.hostName
}

export function storagePolicyView(policy: WirePolicy): View {
  return {
    copyOnCreateFile: false,
    creationFallbacks: policy.creationFallbackPolicy?.storageTypes ?? [],
    id: policy.policyId,
    name: policy.name,
    replicationFallbacks: policy.replicationFallbackPolicy?.storageTypes ?? [],
    storageTypes: policy.creationPolicy.storageTypes,
  }
}

export function aclStatusView({ result }: NamenodeReply<'getAclStatus'>): View {
  return {
    entries: result.entries.map(aclEntryText),
    group: result.group,
    owner: result.owner,
    permission: result.permission?.perm.toString(8),
    stickyBit: result.sticky,
  }
}

export function serverDefaultsView({ serverDefaults }: NamenodeReply<'getServerDefaults'>): View {
  return {
    blockSize: serverDefaults.blockSize,
    bytesPerChecksum: serverDefaults.bytesPerChecksum,
    checksumType: checksumTypes[serverDefaults.checksumType],
    defaultStoragePolicyId: serverDefaults.policyId,
    encryptDataTransfer: serverDefaults.encryptDataTransfer,
    fileBufferSize: serverDefaults.fileBufferSize,
    keyProviderUri: serverDefaults.keyProviderUri ?? '',
    replication: serverDefaults.replication,
    trashInterval: serverDefaults.trashInterval,
    writePacketSize: serverDefaults.writePacketSize,
  }
}
