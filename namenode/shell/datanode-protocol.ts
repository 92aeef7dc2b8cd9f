import type { Logger } from '../../base/log.ts'
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
  namenodeCapabilities,
  type namespaceInfo,
  type ReceivedDeletedBlockInfo,
} from '../../protocol/messages/datanode-namenode.ts'
import type { RpcCall, RpcConnectionInfo, RpcHandlers } from '../../transport/rpc-server.ts'
import type { HeartbeatReport } from '../core/datanode-registry.ts'
import type { ReplicaEvent } from '../core/report-intake.ts'
import type { Caller } from '../core/requests.ts'
import { BlockReports } from './block-reports.ts'
import { type ClientContext, connectionState, mapReply } from './client-context.ts'
import { blockOf, locationsOf } from './client-protocol-write.ts'
import { type WireCommand, wireCommands } from './datanode-orders.ts'
import type { DatanodeTraffic } from './datanode-traffic.ts'
import type { Namenode } from './namenode.ts'
import { ReportLeases } from './report-leases.ts'
import { hdfsVersion } from './wire-views.ts'

/** Layout version of Hadoop 3.5's namenode, -67, which datanodes are told. */
const hdfsLayoutVersion = -67 >>> 0
/** Full reports may come as block lists in buffers, and by differences. */
const capabilities = namenodeCapabilities.blockBuffers + namenodeCapabilities.replicaBuckets
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
  readonly #reports: BlockReports
  readonly #traffic: DatanodeTraffic
  /** The connection a datanode speaks over now; an earlier one, and its late close, says nothing any more (S10). */
  readonly #connectionByDatanode = new Map<DatanodeUuid, number>()

  constructor(context: ClientContext, logger: Logger, traffic: DatanodeTraffic) {
    this.#context = context
    this.#traffic = traffic
    this.#namenode = context.namenode
    this.#logger = logger.child({ part: 'datanodes' })
    this.#leases = new ReportLeases(context.namenode.wall())
    this.#reports = new BlockReports({
      ...{ namenode: context.namenode, timers: context.namenode.timers },
      ...{ leases: this.#leases, logger: this.#logger },
    })
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
        const datanode = this.#identify(registration, call)
        const { blockPoolId } = this.#context
        return this.#reports.take({ datanode, reports, context }).then((wanted) => ({
          cmd: { cmdType: 'FinalizeCommand', finalizeCmd: { blockPoolId } },
          wanted,
        }))
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
      capabilities,
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
   * Checks that a datanode belongs to this namespace and speaks over its latest connection, which is noted. Of one that it
   * gave up the network may bring calls all the same, long after it registered and reported anew over another.
   * @throws {@link DfsError} UNREGISTERED_NODE when it was formatted for another namespace, IO_ERROR for an earlier connection.
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
    const { id } = call.connection
    if (id < (this.#connectionByDatanode.get(uuid) ?? id)) {
      throw new DfsError(
        'IO_ERROR',
        `Datanode ${datanodeID.hostName}:${datanodeID.xferPort} has opened another connection since: ` +
          'what comes over an earlier one is out of date',
        { datanode: uuid },
      )
    }
    connectionState(call.connection).datanode = uuid
    this.#connectionByDatanode.set(uuid, id)
    return uuid
  }

  #heartbeat(request: HeartbeatRequest, call: RpcCall): HeartbeatReply | Promise<HeartbeatReply> {
    const uuid = this.#identify(request.registration, call)
    const namenode = this.#namenode
    const now = namenode.now()
    const orders = namenode.blocks.heartbeat(now, uuid, heartbeatReport(request))
    const { receivedBytes, sentBytes } = request
    if (receivedBytes !== undefined && sentBytes !== undefined) {
      this.#traffic.note(uuid, { receivedBytes, sentBytes })
    }
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

  #incrementalReport(
    uuid: DatanodeUuid,
    storage: string,
    infos: readonly ReceivedDeletedBlockInfo[],
  ): void {
    const events = infos.map(
      ({ block, status, digest }): ReplicaEvent => ({
        kind: eventKinds[status],
        blockId: blockId(block.blockId),
        generationStamp: generationStamp(block.genStamp),
        length: block.numBytes,
        digest: digest === 0n ? undefined : digest,
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
