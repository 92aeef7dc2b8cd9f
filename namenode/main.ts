/** Composition root of the namenode. */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '../base/log.ts'
import { systemClock, systemPrng, systemTimers } from '../base/system.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { clientNamenodeProtocol } from '../protocol/messages/client-namenode.ts'
import { datanodeProtocol } from '../protocol/messages/datanode-namenode.ts'
import { operatorProtocol } from '../protocol/messages/operator.ts'
import { posixProtocol } from '../protocol/messages/posix.ts'
import {
  getUserMappingsProtocol,
  refreshUserMappingsProtocol,
} from '../protocol/messages/user-mappings.ts'
import { productVersion } from '../protocol/product.ts'
import type { Settings } from '../protocol/settings.ts'
import { Watchdog } from '../transport/health.ts'
import { createLogger } from '../transport/logger.ts'
import { RpcServer } from '../transport/rpc-server.ts'
import { type NamenodeConfig, type NamenodeConfigOverrides, namenodeConfig } from './config.ts'
import { BlockManager } from './core/block-manager.ts'
import { defaultRack, parseTopology, type Topology } from './core/topology.ts'
import { Activity } from './shell/activity.ts'
import { AuditFile, type AuditSink, auditToLog } from './shell/audit.ts'
import { BackupService } from './shell/backup-service.ts'
import { ClientContext } from './shell/client-context.ts'
import { clientHandlers } from './shell/client-protocol.ts'
import { maintenanceHandlers } from './shell/client-protocol-maintenance.ts'
import { DatanodeService } from './shell/datanode-protocol.ts'
import { lockDirectory, noteDamage, openNamespace } from './shell/directory.ts'
import { DiskSpace, freeBytesOf, spareBytesFor, spareFile } from './shell/disk-space.ts'
import type { EventLog } from './shell/event-log.ts'
import { fsckRequest, NamenodeFsck } from './shell/fsck.ts'
import { Groups } from './shell/groups.ts'
import { namenodeHealth, namenodeReadiness } from './shell/health.ts'
import { startHttpServer } from './shell/http-server.ts'
import { namenodeBeans } from './shell/jmx.ts'
import { JournalArchive } from './shell/journal-archive.ts'
import { DirectoryJournalStorage } from './shell/journal-storage.ts'
import { NamenodeMetrics } from './shell/metrics.ts'
import { Namenode } from './shell/namenode.ts'
import { NamespaceAudit } from './shell/namespace-audit.ts'
import { operatorHandlers } from './shell/operator-protocol.ts'
import { posixHandlers } from './shell/posix-protocol.ts'
import { damagedNamespace } from './shell/sqlite-connection.ts'
import { type NamenodeStatus, namenodeStatus } from './shell/status.ts'
import type { SqliteStore } from './shell/store.ts'
import { DatabaseCheck } from './shell/store-checks.ts'
import { TrashEmptier } from './shell/trash-emptier.ts'
import { mappingHandlers, refreshMappingHandlers } from './shell/user-mappings.ts'

/** From serving to reading every page of a database that was not closed; clients have settled by then. */
const checkDelayMs = 30_000
export interface RunNamenodeOptions extends NamenodeConfigOverrides {
  readonly logger?: Logger | undefined
  /**
   * The journal cannot be written, or the database is damaged. By default the process exits at once: memory is
   * ahead of the disk, and nobody may see it.
   */
  readonly onFatal?: ((error: unknown) => void) | undefined
}

/** A daemon that runs in this process. */
export interface RunningNamenode {
  /** `host:port` by purpose: `rpc`, `http`. */
  readonly addresses: Record<string, string>
  status(): NamenodeStatus
  /** Stops serving, brings the database up to date and releases ports and directory. */
  stop(): Promise<void>
}

/** What the parts of one daemon share while they are put together. */
interface Composition {
  readonly settings: Settings
  readonly config: NamenodeConfig
  readonly logger: Logger
  readonly auditLogger: Logger
  /** What to close, last opened first. */
  readonly closers: (() => Promise<void> | void)[]
  readonly onFatal: (error: unknown) => void
}

/**
 * Starts a namenode, formatting its directory when that is empty, and returns once it serves.
 * @throws {@link DfsError} INVALID_ARGUMENT for settings that cannot be used; IO_ERROR when a port or the
 *   directory is taken; CORRUPTION, UNSUPPORTED_LAYOUT when what is in the directory cannot be used.
 */
export async function runNamenode(
  settings: Settings,
  options: RunNamenodeOptions = {},
): Promise<RunningNamenode> {
  const config = namenodeConfig(settings, options)
  const logger = options.logger ?? createLogger({ role: 'namenode' })
  const auditLogger = options.logger ?? createLogger({ role: 'namenode', isBuffered: true })
  const closers: (() => Promise<void> | void)[] = []
  const onFatal = options.onFatal ?? ((error: unknown) => exitAtOnce(logger, error))
  const stop = async (): Promise<void> => {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
  }
  try {
    return { ...(await compose({ settings, config, logger, auditLogger, closers, onFatal })), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function compose(composition: Composition): Promise<Omit<RunningNamenode, 'stop'>> {
  const { config, logger, closers } = composition
  const startedAt = systemClock.monotonic()
  const lock = await lockDirectory(config)
  closers.push(() => lock.release())
  const metrics = new NamenodeMetrics()
  const space = diskSpace(composition)
  await space.beforeStart()
  const archive = new JournalArchive({
    ...{ directory: config.journalArchive, bytesMax: config.journalArchiveBytes, logger },
  })
  const { namenode, store } = await openNamenode(composition, { metrics, space, archive })
  closers.push(() => namenode.stop())
  metrics.observe(namenode)
  startTrashEmptier(composition, namenode)
  space.start()
  closers.push(() => space.stop())
  space.onLow(() => {
    archive.prune(0).catch((error: unknown) => {
      logger.warn('journal-archive-failed', { error })
    })
  })
  const backup = new BackupService({
    ...{ store, archive, logger, journal: namenode.journal, journalDirectory: config.journal },
    ...{ clock: systemClock, timers: systemTimers },
  })
  closers.push(() => backup.close())
  const { rpc, context } = await serveRpc(composition, namenode, { metrics, backup })
  const addresses: Record<string, string> = { rpc }
  const status = (): NamenodeStatus =>
    namenodeStatus(namenode, { version: productVersion, addresses, startedAt })
  const { registry } = metrics
  const { bindHost, ports } = config
  const beans = namenodeBeans({
    ...{ namenode, directory: config.directory },
    rpcAddress: () => rpc,
    syncs: () => metrics.syncs,
  })
  const watchdog = new Watchdog(systemClock, systemTimers)
  closers.push(() => {
    watchdog.stop()
  })
  const health = namenodeHealth(namenode, watchdog)
  const readiness = namenodeReadiness(namenode, health)
  const http = await startHttpServer({
    ...{ host: bindHost, port: ports.http, status, registry, beans, health, readiness },
    fsck: (query, from, print) => new NamenodeFsck(context, fsckRequest(query, from), print).run(),
  })
  closers.push(() => http.close())
  addresses['http'] = `${bindHost}:${http.port}`
  logger.info('serving', { ...addresses, startMs: systemClock.monotonic() - startedAt })
  if (store.wasUnclean) closers.push(checkLater(composition, store))
  return { addresses, status }
}

function diskSpace({ config, logger }: Composition): DiskSpace {
  const { directory, reservedBytes, spaceCheckIntervalMs } = config
  return new DiskSpace({
    ...{ directory, reservedBytes, logger },
    freeBytes: () => freeBytesOf(directory),
    spare: spareFile(config.spareFile, spareBytesFor(reservedBytes)),
    checkIntervalMs: spaceCheckIntervalMs,
    timers: systemTimers,
  })
}

/**
 * Reads every page of the database some time after a start that followed no clean stop. It takes minutes at
 * hundreds of millions of files, so nothing waits for it.
 * @returns what ends it early
 */
function checkLater({ config, logger, onFatal }: Composition, store: SqliteStore): () => void {
  const check = new DatabaseCheck(store.file)
  const run = async (): Promise<void> => {
    const startedAt = systemClock.monotonic()
    const findings = await check.run()
    if (findings.length > 0) {
      const error = damagedNamespace(store.file, findings.join('; '))
      noteDamage(config, error)
      onFatal(error)
    } else logger.info('namespace-checked', { durationMs: systemClock.monotonic() - startedAt })
  }
  const timer = systemTimers.after(checkDelayMs, () => {
    run().catch((error: unknown) => {
      logger.warn('namespace-check-failed', { error })
    })
  })
  return () => {
    timer.cancel()
    check.cancel()
  }
}

/** What watches a namenode's files. */
interface Surroundings {
  readonly metrics: NamenodeMetrics
  readonly space: DiskSpace
  readonly archive: JournalArchive
}

async function openNamenode(
  { settings, config, logger, onFatal }: Composition,
  { metrics, space, archive }: Surroundings,
): Promise<{ namenode: Namenode; store: SqliteStore }> {
  const prng = systemPrng()
  const { store, isNew } = await openNamespace(config, {
    clock: systemClock,
    prng,
    uuid: randomUUID,
  })
  if (isNew) logger.info('formatted', { directory: config.directory, ...store.identity })
  store.onDamage((error) => {
    noteDamage(config, error)
    onFatal(error)
  })
  const onSync = (seconds: number): void => {
    metrics.synced(seconds)
  }
  const journalStorage = new DirectoryJournalStorage(config.journal, onSync, archive)
  const topology = await readTopology(config.topologyFile)
  try {
    await journalStorage.prepare()
    const namenode = await Namenode.start({
      ...{ store, journalStorage, settings, logger, onFatal, prng, space },
      blocks: new BlockManager({ settings, prng: systemPrng(), topology }),
      clock: systemClock,
      timers: systemTimers,
      onBatch: (transactions, bytes) => {
        metrics.batchWritten(transactions, bytes)
      },
      superuser: { user: userInfo().username, group: config.superuserGroup },
    })
    return { namenode, store }
  } catch (error) {
    await store.close()
    throw error
  }
}

function startTrashEmptier({ settings, logger, closers }: Composition, namenode: Namenode): void {
  const emptier = new TrashEmptier({
    ...{ namenode, logger, clock: systemClock, timers: systemTimers },
    intervalMinutes: settings['fs.trash.interval'],
    checkpointMinutes: settings['fs.trash.checkpoint.interval'],
  })
  emptier.start()
  closers.push(() => {
    emptier.stop()
  })
}

async function serveRpc(
  composition: Composition,
  namenode: Namenode,
  { metrics, backup }: { readonly metrics: NamenodeMetrics; readonly backup: BackupService },
): Promise<{ readonly rpc: string; readonly context: ClientContext }> {
  const { config, logger, closers } = composition
  const activity = new Activity(namenode, metrics, systemTimers)
  closers.push(() => {
    activity.stop()
  })
  const { events, traffic } = activity
  const context = new ClientContext(namenode, {
    ...{ groups: new Groups(systemClock, logger), events },
    audit: audit(composition, namenode, events),
  })
  const datanodes = new DatanodeService(context, logger, traffic)
  const server = new RpcServer({
    host: config.bindHost,
    port: config.ports.rpc,
    logger,
    clock: systemClock,
    timers: systemTimers,
  })
  const isOfClients = true
  const clients = {
    ...clientHandlers(context),
    ...maintenanceHandlers(context, join(config.directory, 'logs')),
  }
  server.register(clientNamenodeProtocol, metrics.timed(clients, { isOfClients }))
  server.register(refreshUserMappingsProtocol, refreshMappingHandlers(context))
  server.register(getUserMappingsProtocol, mappingHandlers(context))
  server.register(operatorProtocol, metrics.timed(operatorHandlers(context, { backup, activity })))
  server.register(posixProtocol, metrics.timed(posixHandlers(context), { isOfClients }))
  server.register(datanodeProtocol, metrics.timed(datanodes.handlers()))
  server.onConnectionClosed((connection) => {
    datanodes.connectionClosed(connection)
  })
  metrics.observeRpc(server)
  const { host, port } = await server.listen()
  closers.push(() => server.close())
  return { rpc: `${host}:${port}`, context }
}

/** Where lines of the audit log go: into the process's log or a file of its own, and to those who watch. */
function audit(
  { config, auditLogger, closers }: Composition,
  namenode: Namenode,
  events: EventLog,
): NamespaceAudit | undefined {
  const { isOn, file, fileBytesMax, quietCommands } = config.audit
  if (!isOn) return undefined
  const lasting = file === '' ? auditToLog(auditLogger) : auditToFile(file, fileBytesMax, closers)
  const sink: AuditSink = (record) => {
    lasting(record)
    events.audited(record)
  }
  return new NamespaceAudit(namenode, sink, quietCommands)
}

function auditToFile(file: string, bytesMax: number, closers: Composition['closers']): AuditSink {
  const auditFile = openAuditFile(file, bytesMax)
  closers.push(() => {
    auditFile.close()
  })
  return auditFile.write
}

function openAuditFile(path: string, bytesMax: number): AuditFile {
  try {
    return new AuditFile(path, bytesMax)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `Cannot open the audit log "${path}" (dfs.namenode.audit.log.file): ${reason}`
    throw new DfsError('IO_ERROR', message, { cause })
  }
}

async function readTopology(file: string): Promise<Topology> {
  if (file === '') return () => defaultRack
  return parseTopology(await readFile(file, 'utf8'))
}

function exitAtOnce(logger: Logger, error: unknown): void {
  if (isDfsError(error, 'CORRUPTION')) logger.error('namespace-damaged', { error })
  else logger.error('journal-failed', { error, advice: 'free or repair the disk and start again' })
  process.exit(1)
}
