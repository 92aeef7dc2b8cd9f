/**
 * The datanode's RPC services (port 9867): what readers of open files and administrators ask
 * (ClientDatanodeProtocol), and what the primary of a block recovery asks (InterDatanodeProtocol).
 */
import type { Clock } from '../../base/clock.ts'
import { DfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import { clientDatanodeProtocol } from '../../protocol/messages/client-datanode.ts'
import type {
  datanodeVolumeInfo,
  ExtendedBlock,
  ReplicaState as WireReplicaState,
} from '../../protocol/messages/hdfs-blocks.ts'
import {
  type initReplicaRecoveryResponse,
  interDatanodeProtocol,
} from '../../protocol/messages/inter-datanode.ts'
import { productVersion } from '../../protocol/product.ts'
import type { ReplicaState } from '../../protocol/states.ts'
import type { RpcServer } from '../../transport/rpc-server.ts'
import { type RecoverOrder, recoverOrder } from '../core/orders.ts'
import { isReadable, type ReplicaInfo } from '../core/replica.ts'
import { hdfsSoftwareVersion } from './namenode-link.ts'
import type { ReplicaCatalog } from './replica-catalog.ts'

export interface IpcServices {
  readonly store: ReplicaCatalog
  /** Pool of the namespace we serve; empty before the data directories belong to one. */
  readonly blockPoolId: () => string
  readonly clock: Clock
  readonly bandwidthBytesPerSecond: number
  readonly reservedBytes: number
  readonly reportWanted: (isIncremental: boolean) => void
}

/** What getReplicaVisibleLength answers for a replica that exists and may not be read: -1 as u64. */
const notReadable = 2n ** 64n - 1n

const wireStates = {
  finalized: 'FINALIZED',
  rbw: 'RBW',
  rwr: 'RWR',
  rur: 'RUR',
  temporary: 'TEMPORARY',
} as const satisfies Record<ReplicaState, WireReplicaState>
const statesByWire = {
  FINALIZED: 'finalized',
  RBW: 'rbw',
  RWR: 'rwr',
  RUR: 'rur',
  TEMPORARY: 'temporary',
} as const satisfies Record<WireReplicaState, ReplicaState>

export function replicaStateOf(state: WireReplicaState): ReplicaState {
  return statesByWire[state]
}

/** Registers both services with `server`. */
export function registerIpcServices(
  server: Pick<RpcServer, 'register'>,
  services: IpcServices,
): void {
  registerClientServices(server, services)
  registerPeerServices(server, services)
}

function registerClientServices(server: Pick<RpcServer, 'register'>, services: IpcServices): void {
  const { clock } = services
  const startedAt = clock.monotonic()
  server.register(clientDatanodeProtocol, {
    getReplicaVisibleLength: ({ block }) => ({ length: visibleLength(services, block) }),
    refreshNamenodes: () => ({}),
    getDatanodeInfo: () => ({
      localInfo: {
        softwareVersion: hdfsSoftwareVersion,
        configVersion: `core-${productVersion},hdfs-1`,
        uptime: Math.floor((clock.monotonic() - startedAt) / 1000),
      },
    }),
    getVolumeReport: () => ({ volumeInfo: volumeReport(services) }),
    triggerBlockReport: ({ incremental }) => {
      services.reportWanted(incremental)
      return {}
    },
    getBalancerBandwidth: () => ({ bandwidth: services.bandwidthBytesPerSecond }),
  })
}

function registerPeerServices(server: Pick<RpcServer, 'register'>, services: IpcServices): void {
  const { store } = services
  server.register(interDatanodeProtocol, {
    initReplicaRecovery: ({ block }) => {
      checkPool(services, block.block.b)
      return answerInitRecovery(store, recoverOrder(block))
    },
    updateReplicaUnderRecovery: async ({ block, recoveryId, newLength, newBlockId }) => {
      checkPool(services, block)
      if (newBlockId !== 0 && newBlockId !== block.blockId) {
        throw new DfsError(
          'UNSUPPORTED_OPERATION',
          `Cannot recover block ${block.blockId} into another block ${newBlockId}`,
          { blockId: block.blockId },
        )
      }
      const storage = await store.recovery.updateReplicaUnderRecovery(
        blockId(block.blockId),
        generationStamp(recoveryId),
        newLength,
      )
      return { storageUuid: storage }
    },
  })
}

/** Begins a recovery at our own replica and answers as InterDatanodeProtocol does. */
export async function answerInitRecovery(
  store: ReplicaCatalog,
  { block, recoveryStamp }: RecoverOrder,
): Promise<EncodableOf<typeof initReplicaRecoveryResponse>> {
  if (store.find(block.blockId) === undefined) return { replicaFound: false }
  const found = await store.recovery.initReplicaRecovery(
    block.blockId,
    block.generationStamp,
    recoveryStamp,
  )
  if (found === undefined) return { replicaFound: false }
  return {
    replicaFound: true,
    state: wireStates[found.state],
    block: {
      blockId: block.blockId,
      genStamp: found.generationStamp,
      numBytes: found.length,
    },
  }
}

function visibleLength(services: IpcServices, block: ExtendedBlock): bigint {
  checkPool(services, block)
  const replica = findReplica(services.store, block)
  return isReadable(replica) ? BigInt(replica.visibleLength) : notReadable
}

function findReplica(store: ReplicaCatalog, block: ExtendedBlock): ReplicaInfo {
  const replica = store.find(blockId(block.blockId))
  if (replica === undefined) {
    throw new DfsError('REPLICA_NOT_FOUND', `Replica of block ${block.blockId} is not here`, {
      blockId: block.blockId,
    })
  }
  if (replica.generationStamp < block.generationStamp) {
    throw new DfsError(
      'IO_ERROR',
      `Replica of block ${block.blockId} has stamp ${replica.generationStamp}, older than the ${block.generationStamp} asked for`,
      { blockId: block.blockId },
    )
  }
  return replica
}

/**
 * @throws {@link DfsError} REPLICA_NOT_FOUND for a block of another pool; RETRIABLE before it is known which pool is
 *   served here: a reader takes what nobody has for a block of which nothing was written yet
 */
function checkPool({ blockPoolId }: IpcServices, { poolId, blockId: id }: ExtendedBlock): void {
  const own = blockPoolId()
  if (poolId === own) return
  if (own === '') {
    throw new DfsError(
      'RETRIABLE',
      `Block ${id} cannot be looked up yet: this datanode has just started and has never reached a namenode. Try again.`,
      { blockId: id },
    )
  }
  throw new DfsError(
    'REPLICA_NOT_FOUND',
    `Block pool "${poolId}" of block ${id} is not served here: ours is "${own}"`,
    { blockId: id },
  )
}

function volumeReport(services: IpcServices): EncodableOf<typeof datanodeVolumeInfo>[] {
  const { store, reservedBytes } = services
  return store.storages().map(({ uuid, path, used, remaining }) => {
    let numBlocks = 0
    for (const replica of store.replicas(uuid)) numBlocks += replica.state === 'finalized' ? 1 : 0
    return {
      path,
      storageType: 'DISK',
      usedSpace: used,
      freeSpace: remaining,
      reservedSpace: reservedBytes,
      reservedSpaceForReplicas: 0,
      numBlocks,
    }
  })
}
