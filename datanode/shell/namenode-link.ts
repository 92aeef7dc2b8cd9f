/** Turns the calls of a {@link NamenodeSession} into DatanodeProtocol RPCs, and failures into its reasons. */
import { unreachable } from '../../base/assert.ts'
import { encodeBlockList, type ListedReplica } from '../../protocol/block-list.ts'
import { DfsError, type ErrorCode, isDfsError } from '../../protocol/errors.ts'
import {
  type DatanodeUuid,
  type GenerationStamp,
  type StorageUuid,
  storageUuid,
} from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import {
  type DatanodeRegistration,
  datanodeErrorCodes,
  datanodeProtocol,
  type NamespaceInfo,
  namenodeCapabilities,
  type storageBlockReport,
  type storageReceivedDeletedBlocks,
  type volumeFailureSummary,
} from '../../protocol/messages/datanode-namenode.ts'
import type {
  DatanodeID,
  locatedBlock,
  storageReport,
} from '../../protocol/messages/hdfs-blocks.ts'
import type { RpcClient } from '../../transport/rpc-client.ts'
import { ordersOfCommand } from '../core/orders.ts'
import { reportedState } from '../core/replica.ts'
import { bucketsOf, listBuckets } from '../core/report-buckets.ts'
import type { ReplicaEvent } from '../core/report-queue.ts'
import type {
  BadReplica,
  FailureReason,
  NamespaceIdentity,
  SessionAnswer,
  SessionRequest,
} from '../core/session-events.ts'
import type { ReplicaCatalog } from './replica-catalog.ts'
import type { VolumeFailure } from './volume.ts'

/** Version 3.5.0 of HDFS is what we claim to be; peers refuse software older than 2.1. */
export const hdfsSoftwareVersion = '3.5.0'

/** DataNodeLayoutVersion -57 as HDFS writes it into an unsigned field. */
const datanodeLayoutVersion = 2 ** 32 - 57
/** Beyond this, storages report in a call each (dfs.blockreport.split.threshold). */
const replicasPerReportMax = 1_000_000

const noKeys = {
  isBlockTokenEnabled: false,
  keyUpdateInterval: 0,
  tokenLifeTime: 0,
  currentKey: { keyId: 0, expiryDate: 0, keyBytes: new Uint8Array() },
}
const noToken = {
  identifier: new Uint8Array(),
  password: new Uint8Array(),
  kind: '',
  service: '',
}
const statusByKind = {
  receiving: 'RECEIVING',
  received: 'RECEIVED',
  deleted: 'DELETED',
} as const

/** Load that heartbeats tell. */
export interface DatanodeLoad {
  /** Transfers ordered by the namenode that are queued or run. */
  readonly orderedTransfers: number
  /** Connections of the transfer server that carry data. */
  readonly activeTransfers: number
  /** Through the data transfer port since the start. */
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** The part of an {@link RpcClient} that a link uses. */
export type NamenodeConnection = Pick<RpcClient, 'call' | 'close' | 'onClosed'>

export interface NamenodeLinkOptions {
  /** Makes a client of the namenode's RPC port; called again after each disconnect. */
  readonly connect: () => NamenodeConnection
  /** The connection broke, other than by `disconnect`. */
  readonly onLost: () => void
  readonly store: ReplicaCatalog
  /** Who we are, as far as we know it ourselves. */
  readonly self: DatanodeID
  readonly load: () => DatanodeLoad
}

/** What the primary of a block recovery tells the namenode at the end. */
export interface RecoveryResult {
  readonly block: { readonly blockId: number; readonly generationStamp: number }
  readonly newStamp: GenerationStamp
  readonly newLength: number
  readonly deleteBlock: boolean
  readonly participants: readonly {
    readonly datanode: DatanodeID
    readonly storage: StorageUuid
  }[]
}

/** See the head of this file. One per datanode; the session decides when it calls. */
export class NamenodeLink {
  readonly #options: NamenodeLinkOptions
  readonly #store: ReplicaCatalog
  #client: NamenodeConnection | undefined
  #self: DatanodeID
  #identity: NamespaceIdentity | undefined
  /** The namenode compares digests of buckets. */
  #takesBuckets = false

  constructor(options: NamenodeLinkOptions) {
    this.#options = options
    this.#store = options.store
    this.#self = options.self
  }

  /** Our address as the namenode sees it, once registered. */
  get self(): DatanodeID {
    return this.#self
  }

  get blockPoolId(): string {
    return this.#identity?.blockPoolId ?? ''
  }

  /**
   * Performs one call. A block report lists the replicas before this returns its promise.
   *
   * @throws {@link DfsError} as the namenode or the connection says; see {@link failureReason}
   */
  async perform(request: SessionRequest): Promise<SessionAnswer> {
    switch (request.kind) {
      case 'version':
        return { kind: 'version', identity: await this.#askVersion() }
      case 'bind':
        await this.#bind(request.identity)
        return { kind: 'bound' }
      case 'register':
        await this.#register()
        return { kind: 'registered' }
      case 'heartbeat':
        return this.#beat(request.wantsReportLease)
      case 'block-report':
        return this.#reportBlocks(request.leaseId, request.reportId)
      case 'incremental-report':
        await this.#reportEvents(request.events)
        return { kind: 'noted' }
      case 'bad-replicas':
        await this.#reportBadReplicas(request.replicas)
        return { kind: 'noted' }
      default:
        return unreachable(request)
    }
  }

  /** Tells the namenode the result of a block recovery we led. */
  async commitRecovery(result: RecoveryResult): Promise<void> {
    await this.#rpc().call(datanodeProtocol, 'commitBlockSynchronization', {
      block: { poolId: this.blockPoolId, ...result.block },
      newGenStamp: result.newStamp,
      newLength: result.newLength,
      closeFile: true,
      deleteBlock: result.deleteBlock,
      newTaragets: result.participants.map(({ datanode }) => datanode),
      newTargetStorages: result.participants.map(({ storage }) => storage),
    })
  }

  /** Tells the namenode of a failed disk, for its log; that it does not get through is fine. */
  async reportDiskError(message: string, isFatal: boolean): Promise<void> {
    await this.#rpc().call(datanodeProtocol, 'errorReport', {
      registartion: this.#registration(),
      errorCode: isFatal ? datanodeErrorCodes.FATAL_DISK_ERROR : datanodeErrorCodes.DISK_ERROR,
      msg: message,
    })
  }

  /** Closes the connection; calls under way fail. The next call opens another. */
  disconnect(): void {
    const client = this.#client
    this.#client = undefined
    client?.close()
  }

  #rpc(): NamenodeConnection {
    if (this.#client !== undefined) return this.#client
    const client = this.#options.connect()
    this.#client = client
    client.onClosed(() => {
      if (this.#client === client) this.#options.onLost()
    })
    return client
  }

  async #askVersion(): Promise<NamespaceIdentity> {
    const { info } = await this.#rpc().call(datanodeProtocol, 'versionRequest', {})
    this.#takesBuckets = hasCapability(info, namenodeCapabilities.replicaBuckets)
    return identityOf(info)
  }

  async #bind(identity: NamespaceIdentity): Promise<void> {
    await this.#store.bindTo(identity)
    this.#identity = identity
  }

  async #register(): Promise<void> {
    const registration = this.#registration()
    const answer = await this.#rpc().call(datanodeProtocol, 'registerDatanode', { registration })
    this.#self = answer.registration.datanodeID
  }

  async #beat(wantsReportLease: boolean): Promise<SessionAnswer> {
    const { orderedTransfers, activeTransfers, receivedBytes, sentBytes } = this.#options.load()
    const storages = this.#store.storages()
    const failures = this.#store.volumeFailures?.() ?? []
    const answer = await this.#rpc().call(datanodeProtocol, 'sendHeartbeat', {
      registration: this.#registration(),
      reports: storages.map((storage) => {
        const scrub = this.#store.scrubStatus?.(storage.uuid)
        const report = storageReportOf(storage)
        return scrub === undefined ? report : { ...report, oldestUnverifiedMs: scrub.oldestAgeMs }
      }),
      xmitsInProgress: orderedTransfers,
      xceiverCount: activeTransfers,
      failedVolumes: failures.length,
      ...(failures.length === 0 ? {} : { volumeFailureSummary: summaryOf(failures) }),
      requestFullBlockReportLease: wantsReportLease,
      ...{ receivedBytes, sentBytes },
    })
    return {
      kind: 'heartbeat',
      orders: answer.cmds.flatMap((command) => ordersOfCommand(command)),
      isActive: answer.haStatus.state === 'ACTIVE',
      reportLeaseId: answer.fullBlockReportLeaseId,
    }
  }

  async #reportBlocks(leaseId: bigint, reportId: number): Promise<SessionAnswer> {
    return this.#takesBuckets
      ? this.#reportDifferences(leaseId, reportId)
      : this.#reportWhole(leaseId, reportId)
  }

  /** Tells the digests of all buckets, then lists the replicas of those that differ. */
  async #reportDifferences(leaseId: bigint, reportId: number): Promise<SessionAnswer> {
    const id = BigInt(reportId)
    const head = { registration: this.#registration(), blockPoolId: this.blockPoolId }
    const first = await this.#rpc().call(datanodeProtocol, 'blockReport', {
      ...head,
      reports: this.#store.storages().map(({ uuid }) => ({
        storage: { storageUuid: uuid, state: 'NORMAL', storageType: 'DISK' } as const,
        blocksBuffers: [],
        buckets: bucketsOf(reportableReplicas(this.#store, uuid)),
      })),
      context: { totalRpcs: 1, curRpc: 0, id, leaseId },
    })
    const orders = first.cmd === undefined ? [] : [...ordersOfCommand(first.cmd)]
    const known = new Set(this.#store.storages().map(({ uuid }) => uuid))
    const listings = first.wanted.flatMap(({ storageUuid: wanted, buckets }) => {
      const uuid = storageUuid(wanted)
      const replicas = known.has(uuid) ? reportableReplicas(this.#store, uuid) : []
      return listBuckets(replicas, buckets).map((listing) => ({ uuid, ...listing }))
    })
    const totalRpcs = 1 + listings.length
    for (const [index, { uuid, buckets, replicas }] of listings.entries()) {
      const { count, pieces, digests } = encodeBlockList(replicas)
      const report = {
        storage: { storageUuid: uuid, state: 'NORMAL', storageType: 'DISK' },
        numberOfBlocks: count,
        blocksBuffers: pieces,
        buckets,
        ...(digests === undefined ? {} : { digests }),
      } as const
      const { cmd } = await this.#rpc().call(datanodeProtocol, 'blockReport', {
        ...head,
        reports: [report],
        context: { totalRpcs, curRpc: index + 1, id, leaseId: 0n },
      })
      if (cmd !== undefined) orders.push(...ordersOfCommand(cmd))
    }
    return { kind: 'reported', orders }
  }

  async #reportWhole(leaseId: bigint, reportId: number): Promise<SessionAnswer> {
    const reports = this.#store.storages().map(({ uuid }) => this.#listReplicas(uuid))
    const total = reports.reduce((sum, { numberOfBlocks }) => sum + (numberOfBlocks ?? 0), 0)
    const calls = total > replicasPerReportMax ? reports.map((report) => [report]) : [reports]
    const orders = []
    for (const [index, part] of calls.entries()) {
      const { cmd } = await this.#rpc().call(datanodeProtocol, 'blockReport', {
        registration: this.#registration(),
        blockPoolId: this.blockPoolId,
        reports: part,
        context: { totalRpcs: calls.length, curRpc: index, id: BigInt(reportId), leaseId },
      })
      if (cmd !== undefined) orders.push(...ordersOfCommand(cmd))
    }
    return { kind: 'reported', orders }
  }

  #listReplicas(storage: StorageUuid): EncodableOf<typeof storageBlockReport> {
    const { count, pieces, digests } = encodeBlockList(reportableReplicas(this.#store, storage))
    return {
      storage: { storageUuid: storage, state: 'NORMAL', storageType: 'DISK' },
      numberOfBlocks: count,
      blocksBuffers: pieces,
      buckets: [],
      ...(digests === undefined ? {} : { digests }),
    }
  }

  async #reportEvents(events: readonly ReplicaEvent[]): Promise<void> {
    await this.#rpc().call(datanodeProtocol, 'blockReceivedAndDeleted', {
      registration: this.#registration(),
      blockPoolId: this.blockPoolId,
      blocks: eventsByStorage(events),
    })
  }

  async #reportBadReplicas(replicas: readonly BadReplica[]): Promise<void> {
    await this.#rpc().call(datanodeProtocol, 'reportBadBlocks', {
      blocks: replicas.map((replica) => this.#badBlock(replica)),
    })
  }

  #badBlock(replica: BadReplica): EncodableOf<typeof locatedBlock> {
    return {
      b: {
        poolId: this.blockPoolId,
        blockId: replica.blockId,
        generationStamp: replica.generationStamp,
        numBytes: replica.length,
      },
      offset: 0n,
      locs: [{ id: this.#self }],
      corrupt: false,
      blockToken: noToken,
      storageTypes: ['DISK'],
      storageIDs: [replica.storage],
    }
  }

  #registration(): DatanodeRegistration {
    const { clusterId = '', namespaceId = 0, creationTimeMs = 0 } = this.#identity ?? {}
    return {
      datanodeID: this.#self,
      storageInfo: {
        layoutVersion: datanodeLayoutVersion,
        namespceID: namespaceId,
        clusterID: clusterId,
        cTime: creationTimeMs,
      },
      keys: { ...noKeys, allKeys: [] },
      softwareVersion: hdfsSoftwareVersion,
    }
  }
}

const reasonByCode = new Map<ErrorCode, FailureReason>([
  ['CONNECTION_LOST', 'connection'],
  ['OUTCOME_UNKNOWN', 'connection'],
  ['TIMED_OUT', 'connection'],
  ['ABORTED', 'connection'],
  ['BAD_FRAME', 'connection'],
  ['VERSION_MISMATCH', 'refused'],
  ['NO_SUCH_PROTOCOL', 'refused'],
])
const disallowedDatanode = 'org.apache.hadoop.hdfs.server.protocol.DisallowedDatanodeException'

/** Says what a failed call means for the session. */
export function failureReason(request: SessionRequest, error: unknown): FailureReason {
  if (!isDfsError(error)) return 'rejected'
  if (request.kind === 'bind' || error.javaClass === disallowedDatanode) return 'refused'
  if (error.code === 'UNREGISTERED_NODE') {
    return request.kind === 'register' ? 'refused' : 'unregistered'
  }
  if (request.kind === 'version' && error.code === 'UNSUPPORTED_OPERATION') return 'refused'
  return reasonByCode.get(error.code) ?? 'rejected'
}

/** The replicas of a storage as a full report lists them. */
export function* reportableReplicas(
  store: ReplicaCatalog,
  storage: StorageUuid,
): IterableIterator<ListedReplica> {
  for (const replica of store.replicas(storage)) {
    const state = reportedState(replica)
    if (state === undefined) continue
    const { blockId, generationStamp, length, digest } = replica
    yield { blockId, generationStamp, length, state, digest }
  }
}

function hasCapability({ capabilities }: NamespaceInfo, bit: number): boolean {
  return Math.floor(capabilities / bit) % 2 === 1
}

function identityOf(info: NamespaceInfo): NamespaceIdentity {
  if (!hasCapability(info, namenodeCapabilities.blockBuffers)) {
    throw new DfsError(
      'UNSUPPORTED_OPERATION',
      `Namenode of version ${info.softwareVersion} does not take block lists as buffers: 2.7 or later is needed`,
    )
  }
  return {
    clusterId: info.storageInfo.clusterID,
    namespaceId: info.storageInfo.namespceID,
    blockPoolId: info.blockPoolID,
    creationTimeMs: info.storageInfo.cTime,
  }
}

function summaryOf(failures: readonly VolumeFailure[]): EncodableOf<typeof volumeFailureSummary> {
  return {
    failedStorageLocations: failures.map(({ directory }) => directory),
    lastVolumeFailureDate: Math.max(...failures.map(({ failedAt }) => failedAt)),
    estimatedCapacityLostTotal: failures.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0),
  }
}

function storageReportOf(
  storage: ReturnType<ReplicaCatalog['storages']>[number],
): EncodableOf<typeof storageReport> {
  const { uuid, failed, capacity, used, remaining } = storage
  return {
    storageUuid: uuid,
    failed,
    capacity,
    dfsUsed: used,
    remaining,
    blockPoolUsed: used,
    storage: { storageUuid: uuid, state: 'NORMAL', storageType: 'DISK' },
    nonDfsUsed: Math.max(0, capacity - used - remaining),
    mount: '',
  }
}

function eventsByStorage(
  events: readonly ReplicaEvent[],
): EncodableOf<typeof storageReceivedDeletedBlocks>[] {
  const byStorage = new Map<StorageUuid, ReplicaEvent[]>()
  for (const event of events) {
    const list = byStorage.get(event.storage)
    if (list === undefined) byStorage.set(event.storage, [event])
    else list.push(event)
  }
  return [...byStorage].map(([storageUuid, list]) => ({
    storageUuid,
    storage: { storageUuid, state: 'NORMAL', storageType: 'DISK' },
    blocks: list.map(({ kind, blockId, generationStamp, length, digest }) => ({
      block: { blockId, genStamp: generationStamp, numBytes: length },
      status: statusByKind[kind],
      ...(kind === 'received' && digest !== undefined ? { digest } : {}),
    })),
  }))
}

/** Identity of this datanode before a namenode corrected the address. */
export function selfDescription(options: {
  readonly uuid: DatanodeUuid
  readonly bindHost: string
  readonly hostName: string
  readonly ports: { readonly transfer: number; readonly ipc: number; readonly http: number }
}): DatanodeID {
  const { uuid, bindHost, hostName, ports } = options
  const isLoopback = bindHost === '::1' || bindHost === 'localhost' || bindHost.startsWith('127.')
  return {
    ipAddr: bindHost,
    // The machine's name may resolve to an address on which we do not listen.
    hostName: isLoopback ? 'localhost' : hostName,
    datanodeUuid: uuid,
    xferPort: ports.transfer,
    infoPort: ports.http,
    ipcPort: ports.ipc,
    infoSecurePort: 0,
  }
}
