import { randomUUID } from 'node:crypto'
import type { Clock, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { type DfsError, isDfsError } from '../../protocol/errors.ts'
import {
  type BlockId,
  type DatanodeUuid,
  datanodeUuid,
  type GenerationStamp,
  type StorageUuid,
} from '../../protocol/ids.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { CopyUrgency } from '../core/copy-pace.ts'
import { isReadable, type ReplicaInfo } from '../core/replica.ts'
import type { ReopenRequest } from '../core/replica-rules.ts'
import { mayGoOn } from '../core/volume-health.ts'
import type { DatanodeIdentity } from '../format/version-file.ts'
import type { BufferPool } from './buffer-pool.ts'
import { DirectoryScanner, type ScanTotals } from './directory-scanner.ts'
import { errnoOf, type FileSystem, systemFiles } from './files.ts'
import type { LoopTurns } from './loop-turns.ts'
import { ReplicaDeletion } from './replica-deletion.ts'
import { identityOfVolumes, loadReplicas, requireSameIdentity } from './replica-loading.ts'
import { openStoredReplica, type StoredReplica } from './replica-reader.ts'
import { ReplicaRecoveryDesk } from './replica-recovery.ts'
import { type ReplicaEventNotice, ReplicaShelf } from './replica-shelf.ts'
import type { ReplicaWriter } from './replica-writer.ts'
import {
  createReplica,
  finalizeReplica,
  type NewReplica,
  releaseReplica,
  reopenReplica,
} from './replica-writing.ts'
import { type ScrubStatus, ScrubWorker } from './scrub-worker.ts'
import type { Volume, VolumeFailure } from './volume.ts'
import { VolumeMonitor } from './volume-monitor.ts'
import { openVolumes, tooManyFailed } from './volume-opening.ts'

/** One data directory as heartbeats report it. */
export interface StorageSummary {
  readonly uuid: StorageUuid
  readonly path: string
  readonly capacity: number
  /** Bytes of block data here. */
  readonly used: number
  readonly remaining: number
  readonly failed: boolean
}

/** A replica that does not match its checksums. */
export interface CorruptReplica {
  readonly storage: StorageUuid
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly reason: string
}

export interface ReplicaStoreOptions {
  readonly directories: readonly string[]
  readonly settings: Settings
  /** What the directories must belong to; `undefined` accepts whatever they say, or nothing yet. */
  readonly identity?: DatanodeIdentity | undefined
  readonly logger: Logger
  readonly clock: Clock
  readonly timers: Timers
  /** The file operations to use; the real ones unless a test gives others. */
  readonly files?: FileSystem | undefined
}

/** A data directory that failed, and what it means for the datanode. */
export interface VolumeLoss {
  readonly failure: VolumeFailure
  /** Set when too many have failed: the datanode must stop with this error. */
  readonly fatal: DfsError | undefined
}

/** What a store is made of beside its shelf. */
interface StoreParts {
  readonly identity: DatanodeIdentity | undefined
  readonly failures: readonly VolumeFailure[]
  readonly settings: Settings
  readonly timers: Timers
  readonly clock: Clock
}

/**
 * Opens all data directories of a datanode: locks them, reads who they belong to, and scans them.
 *
 * @throws {@link DfsError} BUSY when another process uses one, UNREGISTERED_NODE when they belong to
 * different datanodes or clusters, UNSUPPORTED_LAYOUT, CORRUPTION, IO_ERROR when more disks failed than tolerated
 */
export async function openReplicaStore(options: ReplicaStoreOptions): Promise<ReplicaStore> {
  const { directories, settings, logger, clock, files = systemFiles } = options
  const { volumes, failures } = await openVolumes(directories, settings, { logger, clock, files })
  try {
    const identity = identityOfVolumes(volumes, options.identity)
    const { timers } = options
    const shelf = new ReplicaShelf({ volumes, logger, timers, clock })
    const store = new ReplicaStore(shelf, { identity, failures, settings, timers, clock })
    await loadReplicas(shelf)
    const { fatal } = store
    if (fatal !== undefined) throw fatal
    return store
  } catch (error) {
    await Promise.all(volumes.map((volume) => volume.close()))
    throw error
  }
}

/** All replicas of one datanode, on all its volumes. Everything that reads or writes one goes through here. */
export class ReplicaStore {
  /** Block recovery, between datanodes. */
  readonly recovery: ReplicaRecoveryDesk
  readonly #shelf: ReplicaShelf
  readonly #deletion: ReplicaDeletion
  readonly #corruptListeners: ((replica: CorruptReplica) => void)[] = []
  #identity: DatanodeIdentity | undefined
  readonly #freshUuid = datanodeUuid(randomUUID())

  readonly #monitor: VolumeMonitor
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #scrubbers = new Map<StorageUuid, ScrubWorker>()
  readonly #scanners = new Map<StorageUuid, DirectoryScanner>()
  readonly #failures: VolumeFailure[]
  readonly #tolerated: number
  readonly #failureListeners: ((loss: VolumeLoss) => void)[] = []

  /** Use {@link openReplicaStore}. */
  constructor(shelf: ReplicaShelf, parts: StoreParts) {
    const { identity, failures, settings, timers, clock } = parts
    this.#timers = timers
    this.#clock = clock
    const { volumes } = shelf
    this.#shelf = shelf
    this.#identity = identity
    this.#failures = [...failures]
    this.#tolerated = settings['dfs.datanode.failed.volumes.tolerated']
    this.#monitor = new VolumeMonitor({
      volumes,
      timers,
      intervalMs: settings['dfs.datanode.disk.check.interval'],
      timeoutMs: settings['dfs.datanode.disk.check.timeout'],
    })
    for (const volume of volumes) {
      volume.watch({
        onFailed: (failure) => this.#volumeFailed(failure),
        onSuspect: () => this.#monitor.suspect(volume),
      })
    }
    this.#deletion = new ReplicaDeletion(shelf)
    this.recovery = new ReplicaRecoveryDesk(shelf, (blockId, reason) =>
      this.reportCorrupt(blockId, reason),
    )
    shelf.onEvent(({ kind, blockId, storage }) => {
      if (kind !== 'received') return
      // It was verified as it came.
      const now = this.#clock.wall()
      shelf.map.setVerified(blockId, now)
      this.#scrubbers.get(storage)?.plan.add(blockId, now)
    })
  }

  /** Memory for data in transit. */
  get pool(): BufferPool {
    return this.#shelf.pool
  }

  /** Turns of copies at the event loop. */
  get turns(): LoopTurns {
    return this.#shelf.turns
  }

  /** Notes that something is being done for a client: copies make way. */
  usedByClient(): void {
    this.#shelf.foreground.used(this.#clock.monotonic())
  }

  /** What the directories are bound to; `undefined` before the first {@link bindTo}. */
  get identity(): DatanodeIdentity | undefined {
    return this.#identity
  }

  /** This datanode's identity, kept from the first start on. */
  get datanodeUuid(): DatanodeUuid {
    return this.#identity?.datanodeUuid ?? this.#freshUuid
  }

  storages(): StorageSummary[] {
    return this.#shelf.volumes.map((volume) => {
      volume.refreshSpace().catch((error: unknown) => volume.judge(error, 'measure space'))
      return {
        uuid: volume.storage,
        path: volume.directory,
        capacity: volume.capacityBytes,
        used: this.#shelf.map.usedBytes(volume.storage),
        remaining: volume.remainingBytes,
        failed: volume.isFailed,
      }
    })
  }

  /** The replicas of one storage, temporary ones included; none of a failed one. */
  *replicas(storage: StorageUuid): IterableIterator<ReplicaInfo> {
    if (!this.#shelf.volumeOf(storage).isFailed) yield* this.#shelf.map.values(storage)
  }

  find(blockId: BlockId): ReplicaInfo | undefined {
    return this.#shelf.find(blockId)
  }

  /** The data directories that do not work, those that could not be opened at the start first. */
  volumeFailures(): readonly VolumeFailure[] {
    return this.#failures
  }

  /** Why the datanode must stop: more of its directories failed than tolerated. */
  get fatal(): DfsError | undefined {
    const failed = this.#failures.length
    const working = this.#shelf.volumes.filter(({ isFailed }) => !isFailed).length
    if (mayGoOn(working + failed, failed, this.#tolerated)) return undefined
    return tooManyFailed(working + failed, this.#failures, this.#tolerated)
  }

  /** What the file operations of a storage have done so far. */
  operations(storage: StorageUuid): ReturnType<Volume['operations']> {
    return this.#shelf.volumeOf(storage).operations()
  }

  /** Has every volume look now whether its disk works. */
  async checkVolumes(): Promise<void> {
    await Promise.all(this.#shelf.volumes.map((volume) => this.#monitor.check(volume)))
  }

  /** Is told of each volume that fails from now on. */
  onVolumeFailed(listener: (loss: VolumeLoss) => void): void {
    this.#failureListeners.push(listener)
  }

  /**
   * Begins to verify the replicas of every volume in the background.
   *
   * @param isBusy true while clients or copies use the datanode
   */
  startScrubbing({ periodMs, isBusy }: { periodMs: number; isBusy: () => boolean }): void {
    for (const volume of this.#shelf.volumes) {
      const worker = new ScrubWorker({
        ...{ shelf: this.#shelf, volume, periodMs, isBusy },
        clock: this.#clock,
        timers: this.#timers,
        onCorrupt: ({ blockId }, reason) => this.reportCorrupt(blockId, reason),
      })
      this.#scrubbers.set(volume.storage, worker)
      worker.start()
    }
  }

  /** Begins to compare the directories of every volume with its replicas, each once per period. */
  startDirectoryScans(periodMs: number): void {
    for (const volume of this.#shelf.volumes) {
      const scanner = new DirectoryScanner({
        ...{ shelf: this.#shelf, volume, periodMs },
        timers: this.#timers,
        onCorrupt: (blockId, reason) => this.reportCorrupt(blockId, reason),
      })
      this.#scanners.set(volume.storage, scanner)
      scanner.start()
    }
  }

  /** Compares all directories with the replicas now. */
  async scanDirectories(): Promise<void> {
    for (const scanner of this.#scanners.values()) await scanner.scanAll()
  }

  /** What scans of a storage found; `undefined` while they are off. */
  scanTotals(storage: StorageUuid): ScanTotals | undefined {
    return this.#scanners.get(storage)?.totals()
  }

  /** What scrubbing has done on a storage; `undefined` while it is off. */
  scrubStatus(storage: StorageUuid): ScrubStatus | undefined {
    return this.#scrubbers.get(storage)?.status()
  }

  /** A reader or a copy found something wrong: the replica is verified before all others. */
  suspect(blockId: BlockId): void {
    const replica = this.#shelf.find(blockId)
    const worker = replica === undefined ? undefined : this.#scrubbers.get(replica.storage)
    worker?.plan.suspect(blockId)
    worker?.start()
  }

  onEvent(listener: (event: ReplicaEventNotice) => void): void {
    this.#shelf.onEvent(listener)
  }

  onCorrupt(listener: (replica: CorruptReplica) => void): void {
    this.#corruptListeners.push(listener)
  }

  /**
   * Binds the directories to a cluster at the first registration, checks the binding afterwards.
   *
   * @throws {@link DfsError} UNREGISTERED_NODE when they belong to another cluster
   */
  async bindTo(cluster: Omit<DatanodeIdentity, 'datanodeUuid'>): Promise<void> {
    const { clusterId, namespaceId, blockPoolId } = cluster
    const identity = { clusterId, namespaceId, blockPoolId, datanodeUuid: this.datanodeUuid }
    if (this.#identity !== undefined) requireSameIdentity(this.#identity, identity, 'the namenode')
    for (const volume of this.#shelf.volumes) {
      if (volume.version === undefined) await bindVolume(volume, identity)
    }
    const { fatal } = this
    if (fatal !== undefined) throw fatal
    this.#identity = identity
  }

  /** See {@link ReplicaDeletion.delete}. */
  delete(blockId: BlockId, generationStamp: GenerationStamp): Promise<void> {
    return this.#deletion.delete(blockId, generationStamp)
  }

  /** See {@link createReplica}. */
  create(request: NewReplica): ReplicaWriter {
    return createReplica(this.#shelf, request)
  }

  /** See {@link reopenReplica}. */
  async reopen(request: ReopenRequest): Promise<ReplicaWriter | undefined> {
    try {
      return await reopenReplica(this.#shelf, request)
    } catch (error) {
      const isDamaged = isDfsError(error, 'CHECKSUM_MISMATCH') || isDfsError(error, 'CORRUPTION')
      if (isDamaged) this.reportCorrupt(request.blockId, error.message)
      throw error
    }
  }

  /** See {@link finalizeReplica}. */
  finalize(writer: ReplicaWriter, as: 'finalized' | 'rbw' = 'finalized'): Promise<void> {
    return finalizeReplica(this.#shelf, writer, as)
  }

  /** Resolves when what is under way on a block has ended: only then a replica on a disk that failed is forgotten. */
  settled(blockId: BlockId): Promise<void> {
    return this.#shelf.mutex.run(blockId, () => Promise.resolve())
  }

  /** See {@link releaseReplica}. */
  release(writer: ReplicaWriter): Promise<void> {
    return releaseReplica(this.#shelf, writer)
  }

  /** Records what a writer has received. */
  noteLength(writer: ReplicaWriter): void {
    if (this.isCurrent(writer)) this.#shelf.map.setLength(writer.blockId, writer.length)
  }

  /** Records what a writer has acknowledged. */
  noteAcknowledged(writer: ReplicaWriter, length: number): void {
    if (this.isCurrent(writer)) this.#shelf.map.acknowledge(writer.blockId, length)
  }

  /** True while no recovery, deletion or newer pipeline has taken the replica from `writer`. */
  isCurrent(writer: ReplicaWriter): boolean {
    return this.#shelf.isCurrent(writer)
  }

  /**
   * Opens a replica for reading, at its present length; `urgency` is given for a copy that makes way for clients.
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND when there is none that may be read with at least this stamp
   */
  async openForRead(
    blockId: BlockId,
    generationStamp: GenerationStamp,
    urgency?: CopyUrgency,
    isRetry?: 'retry',
  ): Promise<StoredReplica> {
    const shelf = this.#shelf
    const replica = shelf.require(
      blockId,
      (found) => isReadable(found) && found.generationStamp >= generationStamp,
    )
    const { storage, state } = replica
    const volume = shelf.volumeOf(storage)
    const files = shelf.filesOf(replica)
    try {
      return await openStoredReplica({
        replica: { ...replica },
        files: urgency === undefined ? files : shelf.paced(files, storage, urgency),
        writer: state === 'rbw' ? shelf.writerOf(blockId) : undefined,
        judge: (error) => {
          // An unreadable sector may be this replica's alone: its turn to be verified has come.
          if (errnoOf(error) === 'EIO') this.suspect(blockId)
          return volume.judge(error, `read block ${blockId}`)
        },
      })
    } catch (error) {
      // The files may be on their way to another name, or to nowhere: look again when that is settled.
      if (errnoOf(error) === 'ENOENT' && isRetry === undefined) {
        await shelf.mutex.run(blockId, () => Promise.resolve())
        return this.openForRead(blockId, generationStamp, urgency, 'retry')
      }
      if (errnoOf(error) === 'ENOENT') this.#scanners.get(storage)?.lookAt(blockId)
      throw volume.judge(error, `read block ${blockId}`)
    }
  }

  /** Tells the namenode, through the listeners, that a replica does not match its checksums. */
  reportCorrupt(blockId: BlockId, reason: string): void {
    const replica = this.#shelf.map.find(blockId)
    if (replica === undefined) return
    const { storage, generationStamp, length } = replica
    this.#shelf.logger.error('replica-corrupt', { blockId, generationStamp, storage, reason })
    for (const listener of this.#corruptListeners) {
      listener({ storage, blockId, generationStamp, length, reason })
    }
  }

  #volumeFailed(failure: VolumeFailure): void {
    this.#failures.push(failure)
    if (failure.storage !== undefined) this.#shelf.retireStorage(failure.storage)
    const { fatal } = this
    for (const listener of this.#failureListeners) listener({ failure, fatal })
  }

  /** Ends all writers as after {@link release}, and unlocks the directories. */
  async close(): Promise<void> {
    const shelf = this.#shelf
    for (const worker of this.#scrubbers.values()) await worker.close()
    for (const scanner of this.#scanners.values()) await scanner.close()
    await shelf.close()
    await this.#deletion.settled()
    await this.#monitor.close()
    await Promise.all(shelf.volumes.map((volume) => volume.close()))
  }
}

/** Writes on a fresh data directory whose it is; one whose disk does not take that has failed. */
async function bindVolume(volume: Volume, identity: DatanodeIdentity): Promise<void> {
  try {
    await volume.format(identity)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    volume.fail(volume.judge(error, 'write the VERSION file').message)
  }
}
