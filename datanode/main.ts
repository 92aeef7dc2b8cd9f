/** Composition root of the datanode. */
import { hostname, userInfo } from 'node:os'
import { defined } from '../base/assert.ts'
import type { Logger } from '../base/log.ts'
import { systemClock, systemPrng, systemTimers } from '../base/system.ts'
import type { DfsError } from '../protocol/errors.ts'
import type { DatanodeID } from '../protocol/messages/hdfs-blocks.ts'
import { productVersion } from '../protocol/product.ts'
import type { Settings } from '../protocol/settings.ts'
import { Watchdog } from '../transport/health.ts'
import { createLogger } from '../transport/logger.ts'
import { RpcClient } from '../transport/rpc-client.ts'
import { RpcServer } from '../transport/rpc-server.ts'
import { type DatanodeConfig, type DatanodeConfigOverrides, datanodeConfig } from './config.ts'
import { NamenodeSession } from './core/namenode-session.ts'
import { OrderPlan } from './core/order-plan.ts'
import { registerAdminServices } from './shell/admin-services.ts'
import { Datanode } from './shell/datanode.ts'
import {
  type DatanodeStatus,
  type FileFace,
  type StorageStatus,
  startHttpServer,
} from './shell/http-server.ts'
import { registerIpcServices } from './shell/ipc-server.ts'
import { datanodeBeans } from './shell/jmx.ts'
import { NamenodeLink, selfDescription } from './shell/namenode-link.ts'
import { RecoveryWorker } from './shell/recovery-worker.ts'
import { openReplicaStore, type ReplicaStore, type StorageSummary } from './shell/replica-store.ts'
import { transferReplica } from './shell/replica-transfer.ts'
import { startTransferServer, type TransferServer } from './shell/transfer-server.ts'

const connectTimeoutMs = 5000
/** Between an order to end and the end: the answer and the writers' notices leave first. */
const shutdownDelayMs = 500
/** The session gives up earlier than this on everything but large reports. */
const callTimeoutMs = 120_000
/** Patience with another datanode in a block recovery. */
const peerTimeoutMs = 10_000

export interface RunDatanodeOptions extends DatanodeConfigOverrides {
  readonly logger?: Logger | undefined
  /** The namenode belongs to another cluster or does not want us; called each time it says so. */
  readonly onRefused?: ((error: DfsError) => void) | undefined
  /** Serves files on the HTTP port; closed with the datanode. */
  readonly files?: FileFace | undefined
}

/** A daemon that runs in this process. */
export interface RunningDatanode {
  /** `host:port` by purpose: `transfer`, `ipc`, `http`. */
  readonly addresses: Record<string, string>
  status(): DatanodeStatus
  /** Resolves when it cannot go on: too many disks failed. It then still has to be stopped. */
  readonly failure: Promise<DfsError>
  /** Resolves when an administrator has asked it to end; {@link RunningDatanode.stop} is still to be called. */
  readonly ended: Promise<void>
  /** Ends the session, finishes or aborts what runs, and releases ports and directories. */
  stop(): Promise<void>
}

/**
 * Starts a datanode and returns once it listens; it looks for its namenode in the background, for as long as it takes.
 *
 * @throws {@link DfsError} INVALID_ARGUMENT for settings that cannot be used, IO_ERROR when a port or directory is taken
 */
export async function runDatanode(
  settings: Settings,
  options: RunDatanodeOptions = {},
): Promise<RunningDatanode> {
  const config = datanodeConfig(settings, options)
  const logger = options.logger ?? createLogger({ role: 'datanode' })
  const closers: (() => Promise<void> | void)[] = []
  const stop = async (): Promise<void> => {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
  }
  try {
    const onRefused = options.onRefused ?? (() => undefined)
    let onFatal: (error: DfsError) => void = () => undefined
    const failure = new Promise<DfsError>((resolve) => {
      onFatal = resolve
    })
    const { files } = options
    const composition = { settings, config, logger, closers, onRefused, onFatal, files }
    return { ...(await compose(composition)), failure, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** What the parts of one daemon share while they are put together. */
interface Composition {
  readonly settings: Settings
  readonly config: DatanodeConfig
  readonly logger: Logger
  /** What to close, last opened first. */
  readonly closers: (() => Promise<void> | void)[]
  readonly onRefused: (error: DfsError) => void
  /** Too many disks failed to go on. */
  readonly onFatal: (error: DfsError) => void
  readonly files: FileFace | undefined
}

interface Listeners {
  readonly ports: { readonly transfer: number; readonly ipc: number; readonly http: number }
  readonly ipc: RpcServer
  readonly transfers: TransferServer
}

/** The parts that talk to the namenode. */
interface Wiring {
  readonly datanode: Datanode
  readonly session: NamenodeSession
  readonly plan: OrderPlan
  readonly link: NamenodeLink
}

async function compose(
  composition: Composition,
): Promise<Omit<RunningDatanode, 'stop' | 'failure'>> {
  const { config, logger, closers } = composition
  const store = await openStore(composition)
  // The servers must listen before anybody is told their ports, and answer once they are told.
  const later: { wiring?: Wiring; status?: () => DatanodeStatus } = {}
  const listeners = await listen(composition, store, {
    self: () => defined(later.wiring, 'wiring').link.self,
    status: () => defined(later.status, 'status')(),
  })
  const wiring = wire(composition, store, listeners)
  later.wiring = wiring
  registerIpcServices(listeners.ipc, {
    store,
    blockPoolId: () => store.identity?.blockPoolId ?? '',
    clock: systemClock,
    bandwidthBytesPerSecond: config.balancerBandwidthBytesPerSecond,
    reservedBytes: config.reservedBytes,
    reportWanted: (isIncremental) => {
      wiring.datanode.reportWanted(isIncremental)
    },
  })
  closers.push(() => wiring.datanode.stop())
  watchVolumes(composition, store, wiring)
  const periodMs = composition.settings['dfs.datanode.scan.period.hours'] * 3_600_000
  const isBusy = (): boolean => listeners.transfers.activeTransfers() > 0
  if (periodMs > 0) store.startScrubbing({ periodMs, isBusy })
  const scanMs = composition.settings['dfs.datanode.directoryscan.interval']
  if (scanMs > 0) store.startDirectoryScans(scanMs)
  const ended = whenOrderedToEnd(listeners, logger)
  const addresses = Object.fromEntries(
    Object.entries(listeners.ports).map(([name, port]) => [name, `${config.bindHost}:${port}`]),
  )
  const status = statusReader({ config, store, wiring, addresses, listeners })
  later.status = status
  logger.info('datanode-started', { uuid: store.datanodeUuid, ...addresses })
  wiring.datanode.start()
  return { addresses, status, ended }
}

/** Serves administrators; resolves when one has asked the datanode to end. */
function whenOrderedToEnd({ ipc, transfers }: Listeners, logger: Logger): Promise<void> {
  return new Promise((resolve) => {
    registerAdminServices(ipc, {
      superuser: userInfo().username,
      announceRestart: () => transfers.announceRestart(),
      evictWriters: () => transfers.evictWriters(),
      shutdown: () => {
        logger.warn('shutdown-ordered', {})
        systemTimers.after(shutdownDelayMs, resolve)
      },
    })
  })
}

/** The namenode learns at once which replicas are gone with a disk; without enough disks the datanode ends. */
function watchVolumes(
  { logger, onFatal }: Composition,
  store: ReplicaStore,
  { datanode, link }: Wiring,
): void {
  store.onVolumeFailed(({ failure, fatal }) => {
    datanode.reportWanted(false)
    const message = fatal?.message ?? `Data directory "${failure.directory}": ${failure.reason}`
    link.reportDiskError(message, fatal !== undefined).catch(() => undefined)
    if (fatal === undefined) return
    logger.error('datanode-ends', { reason: fatal.message })
    onFatal(fatal)
  })
}

async function openStore(composition: Composition): Promise<ReplicaStore> {
  const { settings, config, logger, closers } = composition
  const store = await openReplicaStore({
    directories: config.directories,
    settings,
    logger,
    clock: systemClock,
    timers: systemTimers,
  })
  closers.push(() => store.close())
  return store
}

async function listen(
  { settings, config, logger, closers, files }: Composition,
  store: ReplicaStore,
  later: { readonly self: () => DatanodeID; readonly status: () => DatanodeStatus },
): Promise<Listeners> {
  const host = config.bindHost
  const times = { logger, clock: systemClock, timers: systemTimers }
  const transfers = await startTransferServer({
    ...times,
    ...{ store, settings, host, port: config.ports.transfer, self: later.self },
  })
  closers.push(() => transfers.close())
  const ipc = new RpcServer({ ...times, host, port: config.ports.ipc })
  const { port: ipcPort } = await ipc.listen()
  closers.push(() => ipc.close())
  const { status } = later
  const beans = datanodeBeans({
    ...{ status, reservedBytes: config.reservedBytes },
    failures: () => store.volumeFailures(),
  })
  const watchdog = new Watchdog(systemClock, systemTimers)
  closers.push(() => {
    watchdog.stop()
  })
  const http = await startHttpServer({
    ...{ host, port: config.ports.http, status, beans, watchdog, files },
  })
  closers.push(() => http.close())
  return {
    ports: { transfer: transfers.port, ipc: ipcPort, http: http.port },
    ipc,
    transfers,
  }
}

function wire(composition: Composition, store: ReplicaStore, listeners: Listeners): Wiring {
  const { config, logger, onRefused } = composition
  const session = new NamenodeSession({
    heartbeatIntervalMs: config.heartbeatIntervalMs,
    blockReportIntervalMs: config.blockReportIntervalMs,
    prng: systemPrng(),
  })
  const plan = new OrderPlan()
  const link = new NamenodeLink({
    connect: () => rpcClient(config.namenode.host, config.namenode.port, callTimeoutMs, logger),
    onLost: () => {
      datanode.connectionLost()
    },
    store,
    self: selfDescription({
      uuid: store.datanodeUuid,
      bindHost: config.bindHost,
      hostName: hostname(),
      ports: listeners.ports,
    }),
    load: () => {
      const { receivedBytes, sentBytes } = listeners.transfers.totals()
      return {
        orderedTransfers: plan.transferCount,
        activeTransfers: listeners.transfers.activeTransfers(),
        ...{ receivedBytes, sentBytes },
      }
    },
  })
  const recovery = new RecoveryWorker({
    store,
    link,
    connect: ({ ipAddr, ipcPort }) => rpcClient(ipAddr, ipcPort, peerTimeoutMs, logger),
    logger,
  })
  const datanode = new Datanode({
    ...{ session, plan, store, link, recovery, logger, onRefused },
    transfer: ({ block, targets, isUrgent }, signal) =>
      transferReplica({ store, block, targets, signal, urgency: isUrgent ? 'urgent' : 'usual' }),
    clock: systemClock,
    timers: systemTimers,
  })
  return { datanode, session, plan, link }
}

function rpcClient(host: string, port: number, timeoutMs: number, logger: Logger): RpcClient {
  return new RpcClient({
    host,
    port,
    user: userInfo().username,
    connectTimeoutMs,
    callTimeoutMs: timeoutMs,
    logger,
    timers: systemTimers,
  })
}

function statusReader(parts: {
  readonly config: DatanodeConfig
  readonly store: ReplicaStore
  readonly wiring: Wiring
  readonly addresses: Readonly<Record<string, string>>
  readonly listeners: Listeners
}): () => DatanodeStatus {
  const { config, store, wiring, addresses, listeners } = parts
  const { session, plan } = wiring
  const startedAt = systemClock.monotonic()
  return () => ({
    role: 'datanode',
    version: productVersion,
    uuid: store.datanodeUuid,
    clusterId: session.identity?.clusterId,
    blockPoolId: session.identity?.blockPoolId,
    namenode: `${config.namenode.host}:${config.namenode.port}`,
    session: session.phase,
    isUpToDate: session.isUpToDate,
    uptimeMs: systemClock.monotonic() - startedAt,
    addresses,
    storages: store.storages().map((storage) => storageStatus(store, storage)),
    activeTransfers: listeners.transfers.activeTransfers(),
    transfers: listeners.transfers.totals(),
    ordered: {
      transfers: plan.transferCount,
      invalidations: plan.invalidationCount,
      recoveries: plan.recoveryCount,
    },
  })
}

function storageStatus(store: ReplicaStore, storage: StorageSummary): StorageStatus {
  const { uuid, path, capacity, used, remaining, failed } = storage
  let replicas = 0
  for (const replica of store.replicas(uuid)) if (replica.state !== 'temporary') replicas += 1
  return {
    ...{ uuid, path, failed, replicas },
    capacityBytes: capacity,
    usedBytes: used,
    remainingBytes: remaining,
    operations: store.operations(uuid),
    scrub: store.scrubStatus(uuid),
    scan: store.scanTotals(uuid),
  }
}
