import type { Logger } from '../../base/log.ts'
import { decodeBlockList, type ListedReplica } from '../../protocol/block-list.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  blockId,
  type DatanodeUuid,
  datanodeUuid,
  generationStamp,
  storageUuid,
} from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import {
  type DatanodeRegistration,
  type datanodeProtocol,
  type HeartbeatRequest,
  type namespaceInfo,
  type ReceivedDeletedBlockInfo,
  type StorageBlockReport,
} from '../../protocol/messages/datanode-namenode.ts'
import { type ReplicaState, replicaStates } from '../../protocol/states.ts'
import type { RpcCall, RpcConnectionInfo, RpcHandlers } from '../../transport/rpc-server.ts'
import type { HeartbeatReport } from '../core/datanode-registry.ts'
import type { ReplicaEvent } from '../core/report-intake.ts'
import type { Caller } from '../core/requests.ts'
import { type ClientContext, connectionState, mapReply } from './client-context.ts'
import { blockOf, locationsOf } from './client-protocol-write.ts'
import { type WireCommand, wireCommands } from './datanode-orders.ts'
import type { Namenode } from './namenode.ts'
import { ReportLeases } from './report-leases.ts'
import { hdfsVersion } from './wire-views.ts'

/** Layout version of Hadoop 3.5's namenode, -67, which datanodes are told. */
const hdfsLayoutVersion = -67 >>> 0
/** Full reports may come as block lists in buffers. */
const acceptsBlockLists = 1
/** Replicas of a legacy list are separated from the open ones by a replica of three -1. */
const legacySeparatorValues = 3
const nothing = {}

const eventKinds = {
  RECEIVING: 'receiving',
  RECEIVED: 'received',
  DELETED: 'deleted',
} as const

/** Serves DatanodeProtocol: what datanodes say of themselves and their replicas. */
export class DatanodeService {
  readonly #context: ClientContext
  readonly #namenode: Namenode
  readonly #logger: Logger
  readonly #leases: ReportLeases
  /** The connection a datanode speaks over now; a late close of an earlier one says nothing. */
  readonly #connectionByDatanode = new Map<DatanodeUuid, number>()

  constructor(context: ClientContext, logger: Logger) {
    this.#context = context
    this.#namenode = context.namenode
    this.#logger = logger.child({ part: 'datanodes' })
    this.#leases = new ReportLeases(context.namenode.wall())
  }

  /** Tells the block side at once when the connection of a datanode is gone. */
  connectionClosed(connection: RpcConnectionInfo): void {
    const { datanode } = connectionState(connection)
    if (datanode === undefined) return
    if (this.#connectionByDatanode.get(datanode) !== connection.id) return
    this.#connectionByDatanode.delete(datanode)
    this.#logger.warn('datanode-disconnected', { datanode, address: connection.remoteAddress })
    this.#namenode.blocks.disconnected(this.#namenode.now(), datanode)
  }

  handlers(): RpcHandlers<typeof datanodeProtocol> {
    return {
      versionRequest: () => ({ info: this.#namespaceInfo() }),
      registerDatanode: ({ registration }, call) => ({
        registration: this.#register(registration, call),
      }),
      sendHeartbeat: (request, call) => this.#heartbeat(request, call),
      blockReport: ({ registration, reports, context }, call) => {
        const uuid = this.#identify(registration, call)
        const lease = context?.leaseId ?? 0n
        this.#leases.check(this.#namenode.now(), uuid, lease)
        for (const report of reports) this.#fullReport(uuid, report)
        const isLast = context === undefined || context.curRpc + 1 >= context.totalRpcs
        if (isLast) this.#leases.release(uuid, lease)
        const { blockPoolId } = this.#context
        return { cmd: { cmdType: 'FinalizeCommand', finalizeCmd: { blockPoolId } } }
      },
      blockReceivedAndDeleted: ({ registration, blocks }, call) => {
        const uuid = this.#identify(registration, call)
        for (const { storageUuid: storage, blocks: events } of blocks) {
          this.#incrementalReport(uuid, storage, events)
        }
        return nothing
      },
      reportBadBlocks: ({ blocks }) => {
        for (const bad of blocks) {
          const reference = blockOf(bad.b, this.#context.blockPoolId)
          const datanodes = bad.locs.map(({ id }) => id)
          for (const location of locationsOf(datanodes, bad.storageIDs)) {
            this.#logger.warn('corrupt-replica', { block: reference.id, ...location })
            const { blocks: side } = this.#namenode
            side.reportBadReplica(reference.id, reference.generationStamp, location)
          }
        }
        return nothing
      },
      errorReport: ({ registartion, errorCode, msg }) => {
        const datanode = registartion.datanodeID.datanodeUuid
        this.#logger.warn('datanode-error', { datanode, errorCode, message: msg })
        return nothing
      },
      commitBlockSynchronization: (request, call) => {
        const block = blockOf(request.block, this.#context.blockPoolId)
        return mapReply(
          this.#namenode.execute(datanodeCaller(call), {
            kind: 'commitBlockSynchronization',
            block,
            newGenerationStamp: generationStamp(request.newGenStamp),
            newLength: request.newLength,
            closeFile: request.closeFile,
            deleteBlock: request.deleteBlock,
            locations: locationsOf(request.newTaragets, request.newTargetStorages),
          }),
          () => nothing,
        )
      },
    }
  }

  #namespaceInfo(): EncodableOf<typeof namespaceInfo> {
    const { clusterId, namespaceId, cTime, blockPoolId } = this.#namenode.store.identity
    return {
      buildVersion: 'trefoil',
      unused: 0,
      blockPoolID: blockPoolId,
      storageInfo: {
        layoutVersion: hdfsLayoutVersion,
        namespceID: namespaceId,
        clusterID: clusterId,
        cTime,
      },
      softwareVersion: hdfsVersion,
      capabilities: acceptsBlockLists,
      state: 'ACTIVE',
    }
  }

  #register(registration: DatanodeRegistration, call: RpcCall): DatanodeRegistration {
    const uuid = this.#identify(registration, call)
    const { datanodeID } = registration
    const ipAddr = call.connection.remoteAddress
    this.#namenode.blocks.register(this.#namenode.now(), {
      uuid,
      ipAddress: ipAddr,
      hostName: datanodeID.hostName,
      transferPort: datanodeID.xferPort,
      infoPort: datanodeID.infoPort,
      ipcPort: datanodeID.ipcPort,
      softwareVersion: registration.softwareVersion,
    })
    this.#leases.forget(uuid)
    this.#logger.info('datanode-registered', {
      datanode: uuid,
      address: `${ipAddr}:${datanodeID.xferPort}`,
    })
    return { ...registration, datanodeID: { ...datanodeID, ipAddr } }
  }

  /**
   * Checks that a datanode belongs to this namespace and notes the connection it speaks over.
   * @throws {@link DfsError} UNREGISTERED_NODE when it was formatted for another one.
   */
  #identify(registration: DatanodeRegistration, call: RpcCall): DatanodeUuid {
    const { storageInfo, datanodeID } = registration
    const { clusterId, namespaceId } = this.#namenode.store.identity
    if (storageInfo.clusterID !== clusterId || storageInfo.namespceID !== namespaceId) {
      throw new DfsError(
        'UNREGISTERED_NODE',
        `Datanode ${datanodeID.hostName}:${datanodeID.xferPort} belongs to cluster ` +
          `"${storageInfo.clusterID}" (namespace ${storageInfo.namespceID}), this namenode serves ` +
          `"${clusterId}" (namespace ${namespaceId})`,
        { datanode: `${datanodeID.hostName}:${datanodeID.xferPort}` },
      )
    }
    const uuid = datanodeUuid(datanodeID.datanodeUuid)
    connectionState(call.connection).datanode = uuid
    this.#connectionByDatanode.set(uuid, call.connection.id)
    return uuid
  }

  #heartbeat(request: HeartbeatRequest, call: RpcCall): HeartbeatReply | Promise<HeartbeatReply> {
    const uuid = this.#identify(request.registration, call)
    const namenode = this.#namenode
    const now = namenode.now()
    const orders = namenode.blocks.heartbeat(now, uuid, heartbeatReport(request))
    const cmds = wireCommands(this.#context, orders)
    const wantsLease = request.requestFullBlockReportLease
    const reply: HeartbeatReply = {
      cmds,
      haStatus: { state: 'ACTIVE', txid: namenode.journal.durableTxid },
      fullBlockReportLeaseId: wantsLease ? this.#leases.grant(now, uuid) : 0n,
      isSlownode: false,
    }
    // An order may follow from a deletion that a crash could still undo.
    return cmds.length === 0 ? reply : namenode.release(reply)
  }

  #fullReport(uuid: DatanodeUuid, report: StorageBlockReport): void {
    const { blocks } = this.#namenode
    const replicas = replicasOf(report)
    const storage = storageUuid(report.storage.storageUuid)
    const changed = blocks.blockReport(this.#namenode.now(), uuid, storage, replicas)
    this.#logger.info('block-report', { datanode: uuid, storage, replicas: replicas.length })
    this.#namenode.replicasChanged(changed)
  }

  #incrementalReport(
    uuid: DatanodeUuid,
    storage: string,
    infos: readonly ReceivedDeletedBlockInfo[],
  ): void {
    const events = infos.map(
      ({ block, status }): ReplicaEvent => ({
        kind: eventKinds[status],
        blockId: blockId(block.blockId),
        generationStamp: generationStamp(block.genStamp),
        length: block.numBytes,
      }),
    )
    const { blocks } = this.#namenode
    const now = this.#namenode.now()
    this.#namenode.replicasChanged(
      blocks.incrementalReport(now, uuid, storageUuid(storage), events),
    )
  }
}

interface HeartbeatReply {
  readonly cmds: readonly WireCommand[]
  readonly haStatus: { readonly state: 'ACTIVE'; readonly txid: number }
  readonly fullBlockReportLeaseId: bigint
  readonly isSlownode: boolean
}

/** Datanodes act for the namenode, whatever user runs them. */
function datanodeCaller(call: RpcCall): Caller {
  return {
    user: call.user,
    groups: [],
    isSuperuser: true,
    host: call.connection.remoteAddress,
  }
}

function heartbeatReport(request: HeartbeatRequest): HeartbeatReport {
  return {
    storages: request.reports.map((report) => ({
      storage: storageUuid(report.storageUuid),
      isFailed: report.failed,
      capacity: report.capacity,
      used: report.dfsUsed,
      remaining: report.remaining,
      blockPoolUsed: report.blockPoolUsed,
      nonDfsUsed:
        report.nonDfsUsed ?? Math.max(0, report.capacity - report.dfsUsed - report.remaining),
      oldestUnverifiedMs: report.oldestUnverifiedMs,
    })),
    transfers: request.xceiverCount,
    copies: request.xmitsInProgress,
    failedVolumes: request.failedVolumes,
  }
}

function replicasOf(report: StorageBlockReport): readonly ListedReplica[] {
  if (report.numberOfBlocks === undefined) return legacyReplicas(report.blocks)
  const replicas: ListedReplica[] = []
  decodeBlockList(report.numberOfBlocks, report.blocksBuffers, (id, stamp, length, state) => {
    replicas.push({ blockId: id, generationStamp: stamp, length, state })
  })
  return replicas
}

/**
 * The encoding of old datanodes: two counts, (id, length, stamp) of each finalized replica, -1 three
 * times, (id, length, stamp, state) of each open one.
 */
function legacyReplicas(values: readonly number[]): readonly ListedReplica[] {
  const [finalizedCount = 0, openCount = 0] = values
  const replicas: ListedReplica[] = []
  const openStart = 2 + 3 * finalizedCount + legacySeparatorValues
  const wanted = values.length === 0 ? 0 : openStart + 4 * openCount
  if (values.length !== wanted) {
    throw new DfsError(
      'BAD_FRAME',
      `Block list of ${finalizedCount} finalized and ${openCount} open replicas must hold ` +
        `${wanted} numbers, got ${values.length}`,
    )
  }
  const add = (at: number, state: ReplicaState): void => {
    const [id = -1, length = -1, stamp = -1] = values.slice(at, at + 3)
    replicas.push({
      blockId: blockId(id),
      generationStamp: generationStamp(stamp),
      length,
      state,
    })
  }
  for (let index = 0; index < finalizedCount; index += 1) add(2 + 3 * index, 'finalized')
  for (let index = 0; index < openCount; index += 1) {
    const at = openStart + 4 * index
    const state = replicaStates[values[at + 3] ?? -1]
    if (state === undefined) {
      throw new DfsError('BAD_FRAME', `Replica state ${String(values[at + 3])} is unknown`)
    }
    add(at, state)
  }
  return replicas
}
