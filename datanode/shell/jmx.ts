/** A datanode's beans under the names and fields of HDFS's, for tools that were made for it. */
import { hostname } from 'node:os'
import { productVersion } from '../../protocol/product.ts'
import { type JmxBean, type JmxValue, processBeans } from '../../transport/jmx.ts'
import type { DatanodeStatus, StorageStatus } from './http-server.ts'
import { hdfsSoftwareVersion } from './namenode-link.ts'
import type { VolumeFailure } from './volume.ts'

export interface DatanodeBeansOptions {
  readonly status: () => DatanodeStatus
  readonly failures: () => readonly VolumeFailure[]
  /** Of each data directory. */
  readonly reservedBytes: number
}

type Fields = Readonly<Record<string, JmxValue>>

/** The beans of a datanode, read when they are asked for. */
export function datanodeBeans(options: DatanodeBeansOptions): JmxBean[] {
  const bean = (name: string, modelerType: string, read: () => Fields): JmxBean => {
    return { name: `Hadoop:service=DataNode,name=${name}`, modelerType, read }
  }
  const datanode = 'org.apache.hadoop.hdfs.server.datanode.DataNode'
  return [
    bean('DataNodeInfo', datanode, () => dataNodeInfo(options)),
    bean('FSDatasetState', 'FSDatasetState', () => fsDatasetState(options)),
    ...processBeans(),
  ]
}

function dataNodeInfo({ status, reservedBytes }: DatanodeBeansOptions): Fields {
  const now = status()
  const portOf = (name: string): string => (now.addresses[name] ?? '').split(':').at(-1) ?? ''
  const blockPool = now.blockPoolId ?? ''
  const [host = ''] = now.namenode.split(':')
  return {
    Version: `${hdfsSoftwareVersion}, rtrefoil-${productVersion}`,
    SoftwareVersion: hdfsSoftwareVersion,
    ...{ RpcPort: portOf('ipc'), HttpPort: portOf('http'), DataPort: portOf('transfer') },
    NamenodeAddresses: JSON.stringify({ [host]: blockPool }),
    DatanodeHostname: hostname(),
    BPServiceActorInfo: JSON.stringify([
      {
        ...{ NamenodeAddress: now.namenode, NamenodeHaState: 'active', BlockPoolID: blockPool },
        ActorState: now.session === 'registered' ? 'RUNNING' : 'CONNECTING',
      },
    ]),
    VolumeInfo: JSON.stringify(
      Object.fromEntries(
        now.storages
          .filter(({ failed }) => !failed)
          .map((storage) => [storage.path, volumeInfo(storage, reservedBytes)]),
      ),
    ),
    ...{ ClusterId: now.clusterId ?? '', XceiverCount: now.activeTransfers },
    DatanodeNetworkCounts: [],
  }
}

function volumeInfo(storage: StorageStatus, reservedBytes: number): Fields {
  return {
    ...{ storageType: 'DISK', directoryUUID: storage.uuid, numBlocks: storage.replicas },
    ...{ freeSpace: storage.remainingBytes, usedSpace: storage.usedBytes },
    ...{ reservedSpace: reservedBytes, reservedSpaceForReplicas: 0 },
  }
}

function fsDatasetState({ status, failures }: DatanodeBeansOptions): Fields {
  const working = status().storages.filter(({ failed }) => !failed)
  const sum = (read: (storage: StorageStatus) => number): number =>
    working.reduce((total, storage) => total + read(storage), 0)
  const failed = failures()
  const paths = working.map(({ path }) => path).join(', ')
  return {
    ...{ 'tag.Context': 'FSDatasetState', 'tag.Hostname': hostname() },
    'tag.StorageInfo': `FSDataset{dirpath='[${paths}]'}`,
    Capacity: sum(({ capacityBytes }) => capacityBytes),
    DfsUsed: sum(({ usedBytes }) => usedBytes),
    Remaining: sum(({ remainingBytes }) => remainingBytes),
    NumFailedVolumes: failed.length,
    FailedStorageLocations: failed.map(({ directory }) => directory).sort(),
    LastVolumeFailureDate: Math.max(0, ...failed.map(({ failedAt }) => Math.round(failedAt))),
    EstimatedCapacityLostTotal: failed.reduce((total, { capacityBytes }) => {
      return total + capacityBytes
    }, 0),
    ...{ CacheUsed: 0, CacheCapacity: 0, NumBlocksCached: 0 },
    ...{ NumBlocksFailedToCache: 0, NumBlocksFailedToUncache: 0, NumBlocksFailedToUnCache: 0 },
  }
}
