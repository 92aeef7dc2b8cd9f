import type { DatanodeInfo, LocatedBlock } from '../protocol/messages/hdfs.ts'

/** One replica's datanode, as callers see it. */
export interface ReplicaHolder {
  readonly uuid: string
  readonly host: string
  /** `ip:port` of its data transfer port. */
  readonly address: string
  readonly rack: string
  readonly storageId: string | undefined
  /** What is planned with the datanode: `NORMAL`, or on its way out, or in maintenance. */
  readonly adminState: DatanodeInfo['adminState']
}

/** Where the bytes `[offset, offset + length)` of a file are. */
export interface BlockLocation {
  readonly offset: number
  readonly length: number
  readonly blockId: number
  readonly generationStamp: number
  readonly blockPoolId: string
  /** Host names, nearest first. */
  readonly hosts: readonly string[]
  readonly datanodes: readonly ReplicaHolder[]
  /** Every replica the namenode knows is corrupt. */
  readonly isCorrupt: boolean
}

/** The public picture of a located block. */
export function toBlockLocation({
  b,
  offset,
  locs,
  corrupt,
  storageIDs,
}: LocatedBlock): BlockLocation {
  return {
    offset: Number(offset),
    length: b.numBytes,
    blockId: b.blockId,
    generationStamp: b.generationStamp,
    blockPoolId: b.poolId,
    hosts: locs.map(({ id }) => id.hostName),
    datanodes: locs.map((info, index) => toHolder(info, storageIDs[index])),
    isCorrupt: corrupt,
  }
}

function toHolder(
  { id, location, adminState }: DatanodeInfo,
  storageId: string | undefined,
): ReplicaHolder {
  return {
    uuid: id.datanodeUuid,
    host: id.hostName,
    address: `${id.ipAddr}:${id.xferPort}`,
    rack: location ?? '/default-rack',
    storageId,
    adminState,
  }
}
