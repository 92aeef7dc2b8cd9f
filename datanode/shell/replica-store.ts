import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { assert, defined } from '../../base/assert.ts'
import type { Clock, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  type BlockId,
  type DatanodeUuid,
  datanodeUuid,
  type GenerationStamp,
  type StorageUuid,
} from '../../protocol/ids.ts'
import type { Settings } from '../../protocol/settings.ts'
import { isReadable, type ReplicaInfo } from '../core/replica.ts'
import { ReplicaMap } from '../core/replica-map.ts'
import { lengthToResume, type ReopenRequest } from '../core/replica-rules.ts'
import { beingCopiedDirectoryName } from '../format/block-file.ts'
import type { MetaLayout } from '../format/block-meta.ts'
import { MetaBuilder } from '../format/meta-builder.ts'
import type { DatanodeIdentity } from '../format/version-file.ts'
import { BufferPool } from './buffer-pool.ts'
import { removeFile, renameFile } from './files.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import { openStoredReplica, type StoredReplica } from './replica-reader.ts'
import { ReplicaRecoveryDesk } from './replica-recovery.ts'
import { cutReplica, resumeMeta } from './replica-repair.ts'
import { type FoundReplica, scanVolume, worseReplica } from './replica-scan.ts'
import { ReplicaWriter } from './replica-writer.ts'
import { type ReplicaFiles, Volume } from './volume.ts'
import { chooseVolume } from './volume-choice.ts'

/** Memory for data on its way between sockets and disks; transfers wait when it is used up. */
const bufferPoolBytes = 128 * 1024 * 1024

export type { ReopenRequest } from '../core/replica-rules.ts'

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

/** Something the namenode is told at once: org.apache.hadoop.hdfs ReceivedDeletedBlockInfo. */
export interface ReplicaEventNotice {
  readonly kind: 'receiving' | 'received' | 'deleted'
  readonly storage: StorageUuid
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
}

/** A replica that does not match its checksums. */
export interface CorruptReplica {
  readonly storage: StorageUuid
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly reason: string
}

/** What a new replica is created from. */
export interface NewReplica {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly layout: MetaLayout
  /** The storage the namenode chose, if it is ours; only a wish. */
  readonly storage: string | undefined
  /** `true` for a copy from another datanode: temporary until complete. */
  readonly isCopy: boolean
}

export interface ReplicaStoreOptions {
  readonly directories: readonly string[]
  readonly settings: Settings
  /** What the directories must belong to; `undefined` accepts whatever they say, or nothing yet. */
  readonly identity?: DatanodeIdentity | undefined
  readonly logger: Logger
  readonly clock: Clock
  readonly timers: Timers
}

/**
 * Opens all data directories of a datanode: locks them, reads who they belong to, and scans them.
 *
 * @throws {@link DfsError} BUSY when another process uses one, UNREGISTERED_NODE when they belong to
 * different datanodes or clusters, UNSUPPORTED_LAYOUT, CORRUPTION
 */
export async function openReplicaStore(options: ReplicaStoreOptions): Promise<ReplicaStore> {
  const { settings, logger, clock } = options
  const volumes: Volume[] = []
  try {
    for (const directory of options.directories) {
      const reservedBytes = settings['dfs.datanode.reserved-bytes']
      const useDirectIo = settings['dfs.datanode.direct-io']
      volumes.push(await Volume.open({ directory, reservedBytes, useDirectIo, logger, clock }))
    }
    const store = new ReplicaStore(options, volumes)
    await store.load()
    return store
  } catch (error) {
    await Promise.all(volumes.map((volume) => volume.close()))
    throw error
  }
}

/** All replicas of one datanode, on all its volumes. Everything that reads or writes one goes through here. */
export class ReplicaStore {
  readonly pool = new BufferPool(bufferPoolBytes)
  /** Block recovery, between datanodes. */
  readonly recovery: ReplicaRecoveryDesk
  readonly #options: ReplicaStoreOptions
  readonly #volumes: readonly Volume[]
  readonly #map = new ReplicaMap()
  readonly #mutex = new KeyedMutex<BlockId>()
  readonly #writers = new Map<BlockId, ReplicaWriter>()
  readonly #eventListeners: ((event: ReplicaEventNotice) => void)[] = []
  readonly #corruptListeners: ((replica: CorruptReplica) => void)[] = []
  #deletions: Promise<void> = Promise.resolve()
  #asideCount = 0
  #identity: DatanodeIdentity | undefined
  readonly #freshUuid = datanodeUuid(randomUUID())

  /** Use {@link openReplicaStore}. */
  constructor(options: ReplicaStoreOptions, volumes: readonly Volume[]) {
    this.#options = options
    this.#volumes = volumes
    this.recovery = new ReplicaRecoveryDesk({
      map: this.#map,
      exclusively: (blockId, action) => this.#mutex.run(blockId, action),
      stopWriter: (blockId) => this.#stopWriter(blockId),
      filesOf: (replica) => this.#filesOf(replica),
      volumeOf: (storage) => this.#volume(storage),
      received: (replica) => this.#notify('received', replica),
    })
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
    return this.#volumes.map((volume) => {
      volume.refreshSpace().catch((error: unknown) => volume.judge(error, 'measure space'))
      return {
        uuid: volume.storage,
        path: volume.directory,
        capacity: volume.capacityBytes,
        used: this.#map.usedBytes(volume.storage),
        remaining: volume.remainingBytes,
        failed: volume.isFailed,
      }
    })
  }

  /** The replicas of one storage, temporary ones included; none of a failed one. */
  *replicas(storage: StorageUuid): IterableIterator<ReplicaInfo> {
    if (!this.#volume(storage).isFailed) yield* this.#map.values(storage)
  }

  find(blockId: BlockId): ReplicaInfo | undefined {
    const replica = this.#map.find(blockId)
    return replica === undefined || this.#volume(replica.storage).isFailed ? undefined : replica
  }

  onEvent(listener: (event: ReplicaEventNotice) => void): void {
    this.#eventListeners.push(listener)
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
    for (const volume of this.#volumes) {
      if (volume.version === undefined) await volume.format(identity)
    }
    this.#identity = identity
  }

  /**
   * Deletes a replica: it is gone for readers and reports at once, its files when the promise settles.
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND when there is none with that stamp
   */
  async delete(blockId: BlockId, generationStamp: GenerationStamp): Promise<void> {
    const replica = {
      ...this.#require(blockId, (found) => found.generationStamp === generationStamp),
    }
    const volume = this.#volume(replica.storage)
    try {
      const files = await this.#mutex.run(blockId, () => this.#setAside(blockId, generationStamp))
      // One at a time: unlinking large files occupies a thread for long.
      const removal = this.#deletions.then(() => removeReplica(files))
      this.#deletions = removal.catch(() => undefined)
      await removal
    } catch (error) {
      throw volume.judge(error, `delete block ${blockId}`)
    }
    this.#notify('deleted', replica)
  }

  /** Forgets a replica and frees its file names: the block may come back before its files are unlinked. */
  async #setAside(blockId: BlockId, generationStamp: GenerationStamp): Promise<ReplicaFiles> {
    this.#require(blockId, (found) => found.generationStamp === generationStamp)
    await this.#stopWriter(blockId)
    const replica = this.#require(blockId)
    const from = this.#filesOf(replica)
    this.#asideCount += 1
    const directory = this.#volume(replica.storage).poolPath(beingCopiedDirectoryName)
    const name = `deleted.${this.#asideCount}`
    const to = { directory, data: join(directory, name), meta: join(directory, `${name}.meta`) }
    await Promise.all([renameFile(from.data, to.data), renameFile(from.meta, to.meta)])
    this.#map.remove(blockId)
    return to
  }

  /**
   * Starts a new replica and returns its writer; its files are being opened.
   *
   * @throws {@link DfsError} REPLICA_EXISTS, RECOVERY_IN_PROGRESS, DISK_FULL, IO_ERROR before the first binding
   */
  create(request: NewReplica): ReplicaWriter {
    const { blockId, generationStamp, layout, isCopy } = request
    const event = isCopy ? 'create-copy' : 'create'
    this.#map.check(blockId, event)
    const volume = chooseVolume(this.#volumes, request.storage)
    const kind = isCopy ? 'temporary' : 'rbw'
    const files = volume.files(kind, blockId, generationStamp)
    this.#map.start({ blockId, generationStamp, length: 0, storage: volume.storage }, event)
    const writer = this.#startWriter(
      volume,
      files,
      { blockId, meta: new MetaBuilder(layout) },
      true,
    )
    if (!isCopy) this.#notify('receiving', defined(this.#map.find(blockId), 'new replica'))
    return writer
  }

  /**
   * Stops whoever writes the replica, gives it the new stamp, and returns a writer that goes on where
   * the client wants to (`append`, `reappend`, `resume`), or `undefined` when it is finalized already (`close`).
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND when state, stamp or length do not fit the request
   */
  reopen(request: ReopenRequest): Promise<ReplicaWriter | undefined> {
    const { blockId, event, newStamp } = request
    return this.#mutex.run(blockId, async () => {
      this.#map.check(blockId, event)
      await this.#stopWriter(blockId)
      const replica = this.#require(blockId)
      this.#map.check(blockId, event)
      const length = lengthToResume(replica, request)
      const volume = this.#volume(replica.storage)
      try {
        if (length < replica.length) {
          const cut = { length: replica.length, newLength: length }
          await cutReplica(this.#filesOf(replica), blockId, cut)
          this.#map.setLength(blockId, length)
        }
        const target = event === 'close' ? 'finalized' : 'rbw'
        await this.#relocate(replica, target, newStamp)
      } catch (error) {
        throw volume.judge(error, `reopen block ${blockId}`)
      }
      this.#map.restamp(blockId, newStamp)
      this.#map.move(blockId, event)
      if (event === 'close') {
        this.#notify('received', replica)
        return undefined
      }
      const files = this.#filesOf(replica)
      const meta = await resumeMeta(files, blockId, length)
      if (event !== 'resume') this.#notify('receiving', replica)
      return this.#startWriter(volume, files, { blockId, meta }, false)
    })
  }

  /** Records what a writer has received. */
  noteLength(writer: ReplicaWriter): void {
    if (this.#isCurrent(writer)) this.#map.setLength(writer.blockId, writer.length)
  }

  /** Records what a writer has acknowledged. */
  noteAcknowledged(writer: ReplicaWriter, length: number): void {
    if (this.#isCurrent(writer)) this.#map.acknowledge(writer.blockId, length)
  }

  /** True while no recovery, deletion or newer pipeline has taken the replica from `writer`. */
  isCurrent(writer: ReplicaWriter): boolean {
    return this.#isCurrent(writer)
  }

  /**
   * Makes a completely received replica durable and final: data and meta synced, both renamed into
   * place, the directory synced, and only then reported and returned.
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND when the replica was taken from the writer, or as the disk says
   */
  finalize(writer: ReplicaWriter, as: 'finalized' | 'rbw' = 'finalized'): Promise<void> {
    const { blockId, volume } = writer
    return this.#mutex.run(blockId, async () => {
      this.#requireCurrent(writer)
      await writer.finish()
      this.#writers.delete(blockId)
      const replica = this.#require(blockId)
      this.#map.setLength(blockId, writer.length)
      try {
        await this.#relocate(replica, as, replica.generationStamp)
      } catch (error) {
        throw volume.judge(error, `finalize block ${blockId}`)
      }
      this.#map.move(blockId, as === 'finalized' ? 'finalize' : 'convert')
      if (as === 'finalized') this.#notify('received', replica)
    })
  }

  /** Ends a writer in mid-block: an rbw replica stays for recovery, a copy or one that never began is dropped. */
  release(writer: ReplicaWriter): Promise<void> {
    const { blockId } = writer
    return this.#mutex.run(blockId, async () => {
      if (!this.#isCurrent(writer)) return
      await this.#stopWriter(blockId)
      const replica = this.#map.find(blockId)
      const isEmpty = writer.length === 0 && writer.failure !== undefined
      if (replica?.state !== 'temporary' && !isEmpty) return
      await removeReplica(writer.files)
      this.#map.remove(blockId)
    })
  }

  /**
   * Opens a replica for reading, at its present length.
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND when there is none that may be read with at least this stamp
   */
  async openForRead(blockId: BlockId, generationStamp: GenerationStamp): Promise<StoredReplica> {
    const replica = this.#require(
      blockId,
      (found) => isReadable(found) && found.generationStamp >= generationStamp,
    )
    const { storage, state } = replica
    const volume = this.#volume(storage)
    try {
      return await openStoredReplica({
        replica: { ...replica },
        files: this.#filesOf(replica),
        writer: state === 'rbw' ? this.#writers.get(blockId) : undefined,
      })
    } catch (error) {
      // The files may have been renamed between the look-up and the opening: look once more.
      const now = this.#map.find(blockId)
      if (now === undefined || now.state === state)
        throw volume.judge(error, `read block ${blockId}`)
      return this.openForRead(blockId, generationStamp)
    }
  }

  /** Tells the namenode, through the listeners, that a replica does not match its checksums. */
  reportCorrupt(blockId: BlockId, reason: string): void {
    const replica = this.#map.find(blockId)
    if (replica === undefined) return
    const { storage, generationStamp, length } = replica
    this.#options.logger.error('replica-corrupt', { blockId, generationStamp, storage, reason })
    for (const listener of this.#corruptListeners) {
      listener({ storage, blockId, generationStamp, length, reason })
    }
  }

  /** Ends all writers as after {@link release}, and unlocks the directories. */
  async close(): Promise<void> {
    for (const blockId of [...this.#writers.keys()]) {
      await this.#mutex.run(blockId, () => this.#stopWriter(blockId))
    }
    await this.#deletions
    await Promise.all(this.#volumes.map((volume) => volume.close()))
  }

  /** Reads identity and replicas from disk; {@link openReplicaStore} calls it. */
  async load(): Promise<void> {
    for (const volume of this.#volumes) {
      if (volume.version === undefined) continue
      this.#identity ??= this.#options.identity ?? identityOf(volume.version)
      requireSameIdentity(identityOf(volume.version), this.#identity, volume.directory)
    }
    const foundById = new Map<BlockId, FoundReplica>()
    for (const volume of this.#volumes) {
      if (volume.version === undefined) continue
      await volume.prepare()
      for (const found of await scanVolume(volume, this.#options.logger)) {
        const known = foundById.get(found.blockId)
        const worse = known === undefined ? undefined : worseReplica(known, found)
        if (worse !== undefined) await this.#dropDuplicate(worse)
        if (worse !== found) foundById.set(found.blockId, found)
      }
    }
    for (const found of foundById.values()) this.#map.adopt(found, found.state)
    this.#options.logger.info('replicas-loaded', { count: this.#map.count })
  }

  async #dropDuplicate({ blockId, generationStamp, storage, files }: FoundReplica): Promise<void> {
    this.#options.logger.warn('duplicate-replica-dropped', { blockId, generationStamp, storage })
    await removeReplica(files)
  }

  #startWriter(
    volume: Volume,
    files: ReplicaFiles,
    { blockId, meta }: { blockId: BlockId; meta: MetaBuilder },
    isNew: boolean,
  ): ReplicaWriter {
    const { timers } = this.#options
    assert(!this.#writers.has(blockId), `block ${blockId} must have one writer`)
    const writer = new ReplicaWriter({
      blockId,
      volume,
      files,
      meta,
      pool: this.pool,
      timers,
      isNew,
    })
    this.#writers.set(blockId, writer)
    return writer
  }

  async #stopWriter(blockId: BlockId): Promise<void> {
    const writer = this.#writers.get(blockId)
    if (writer === undefined) return
    this.#writers.delete(blockId)
    await writer.abandon()
  }

  /** Moves a replica's files to where state and stamp want them, durably. */
  async #relocate(
    replica: ReplicaInfo,
    kind: 'finalized' | 'rbw',
    stamp: GenerationStamp,
  ): Promise<void> {
    const volume = this.#volume(replica.storage)
    const from = this.#filesOf(replica)
    const to = volume.files(kind, replica.blockId, stamp)
    if (kind === 'finalized') await volume.ensureDirectory(dirname(to.data))
    await Promise.all([
      from.data === to.data ? undefined : renameFile(from.data, to.data),
      from.meta === to.meta ? undefined : renameFile(from.meta, to.meta),
    ])
    await volume.syncer.sync(to.directory)
  }

  #filesOf(replica: ReplicaInfo): ReplicaFiles {
    const state = replica.state === 'rur' ? replica.recovery?.stateBefore : replica.state
    const kind = state === 'finalized' || state === 'temporary' ? state : 'rbw'
    return this.#volume(replica.storage).files(kind, replica.blockId, replica.generationStamp)
  }

  #volume(storage: StorageUuid): Volume {
    return defined(
      this.#volumes.find((volume) => volume.storage === storage),
      `storage ${storage}`,
    )
  }

  #require(blockId: BlockId, fits: (replica: ReplicaInfo) => boolean = () => true): ReplicaInfo {
    const replica = this.find(blockId)
    if (replica !== undefined && fits(replica)) return replica
    const found =
      replica === undefined
        ? 'no replica'
        : `one in state ${replica.state} with stamp ${replica.generationStamp}`
    throw new DfsError(
      'REPLICA_NOT_FOUND',
      `Cannot find the wanted replica of block ${blockId}: ${found} is here`,
      { blockId },
    )
  }

  #isCurrent(writer: ReplicaWriter): boolean {
    return this.#writers.get(writer.blockId) === writer
  }

  #requireCurrent(writer: ReplicaWriter): void {
    if (this.#isCurrent(writer)) return
    const { blockId } = writer
    throw new DfsError(
      'REPLICA_NOT_FOUND',
      `Cannot go on writing block ${blockId}: a recovery or a newer pipeline took it over`,
      { blockId },
    )
  }

  #notify(kind: ReplicaEventNotice['kind'], replica: ReplicaInfo): void {
    const { storage, blockId, generationStamp, length } = replica
    for (const listener of this.#eventListeners) {
      listener({ kind, storage, blockId, generationStamp, length })
    }
  }
}

/** The length a rebuilt pipeline goes on at, checked as HDFS does (FsDatasetImpl.recoverRbw, recoverAppend, recoverClose). */

function identityOf(identity: DatanodeIdentity): DatanodeIdentity {
  const { clusterId, namespaceId, blockPoolId, datanodeUuid: uuid } = identity
  return { clusterId, namespaceId, blockPoolId, datanodeUuid: uuid }
}

function requireSameIdentity(one: DatanodeIdentity, other: DatanodeIdentity, where: string): void {
  const keys = ['clusterId', 'namespaceId', 'blockPoolId', 'datanodeUuid'] as const
  for (const key of keys) {
    if (one[key] === other[key]) continue
    throw new DfsError(
      'UNREGISTERED_NODE',
      `Cannot join ${where}: ${key} is "${other[key]}" there, "${one[key]}" here`,
    )
  }
}

async function removeReplica(files: ReplicaFiles): Promise<void> {
  await removeFile(files.data)
  await removeFile(files.meta)
}
