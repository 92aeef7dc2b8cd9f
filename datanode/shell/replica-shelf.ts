import { dirname } from 'node:path'
import { assert, defined } from '../../base/assert.ts'
import type { Clock, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { type CopyUrgency, ForegroundUse } from '../core/copy-pace.ts'
import type { ReplicaInfo } from '../core/replica.ts'
import { ReplicaMap } from '../core/replica-map.ts'
import type { MetaBuilder } from '../format/meta-builder.ts'
import { BufferPool } from './buffer-pool.ts'
import { CopyLane } from './copy-lane.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import { LoopTurns } from './loop-turns.ts'
import { recoverPrefix } from './replica-repair.ts'
import { ReplicaWriter } from './replica-writer.ts'
import type { ReplicaFiles, Volume } from './volume.ts'

/** Memory for data on its way between sockets and disks; transfers wait when it is used up. */
const bufferPoolBytes = 128 * 1024 * 1024

/** Time in which a pipeline recovers without a replica that dropped out of it. */
const abandonedNoticeMs = 60_000

/** Something the namenode is told at once: org.apache.hadoop.hdfs ReceivedDeletedBlockInfo. */
export interface ReplicaEventNotice {
  readonly kind: 'receiving' | 'received' | 'deleted'
  readonly storage: StorageUuid
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly digest: bigint | undefined
}

/** What a writer is started with. */
interface WriterStart {
  readonly volume: Volume
  readonly files: ReplicaFiles
  readonly blockId: BlockId
  readonly meta: MetaBuilder
  /** True when the files are to be created. */
  readonly isNew: boolean
  readonly wantedDigest?: bigint | undefined
  /** Bytes the replica may still grow by, as far as is known. */
  readonly expectedBytes: number
}

/**
 * The replicas of one datanode with their volumes, writers and locks: what the operations of a replica
 * store share. Whatever changes a replica's files or state runs in `mutex` under its block.
 */
export class ReplicaShelf {
  readonly map = new ReplicaMap()
  readonly mutex = new KeyedMutex<BlockId>()
  readonly pool = new BufferPool(bufferPoolBytes)
  /** Copies between datanodes make way for clients: in the event loop here, at each disk in its lane. */
  readonly turns: LoopTurns
  readonly foreground = new ForegroundUse()
  readonly #lanes = new Map<StorageUuid, CopyLane>()
  readonly volumes: readonly Volume[]
  readonly logger: Logger
  readonly #timers: Timers
  readonly #writers = new Map<BlockId, ReplicaWriter>()
  readonly #closing = new Set<Promise<void>>()
  readonly #eventListeners: ((event: ReplicaEventNotice) => void)[] = []

  constructor(parts: {
    readonly volumes: readonly Volume[]
    readonly logger: Logger
    readonly timers: Timers
    readonly clock: Clock
  }) {
    this.volumes = parts.volumes
    const { clock, timers } = parts
    this.turns = new LoopTurns({ clock, timers, foreground: this.foreground })
    for (const { storage } of parts.volumes) {
      this.#lanes.set(storage, new CopyLane(parts.clock, this.foreground))
    }
    this.logger = parts.logger
    this.#timers = parts.timers
  }

  /** The block's replica, unless its volume has failed. */
  find(blockId: BlockId): ReplicaInfo | undefined {
    const replica = this.map.find(blockId)
    return replica === undefined || this.volumeOf(replica.storage).isFailed ? undefined : replica
  }

  /** @throws {@link DfsError} REPLICA_NOT_FOUND when there is none that `fits` */
  require(blockId: BlockId, fits: (replica: ReplicaInfo) => boolean = () => true): ReplicaInfo {
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

  volumeOf(storage: StorageUuid): Volume {
    return defined(
      this.volumes.find((volume) => volume.storage === storage),
      `storage ${storage}`,
    )
  }

  /** `files` with operations that make way for clients, for copies. */
  paced(files: ReplicaFiles, storage: StorageUuid, urgency: CopyUrgency): ReplicaFiles {
    const lane = defined(this.#lanes.get(storage), `lane of storage ${storage}`)
    return { ...files, disk: lane.files(files.disk, urgency) }
  }

  /** Where the replica's files are in its present state. */
  filesOf(replica: ReplicaInfo): ReplicaFiles {
    const state = replica.state === 'rur' ? replica.recovery?.stateBefore : replica.state
    const kind = state === 'finalized' || state === 'temporary' ? state : 'rbw'
    return this.volumeOf(replica.storage).files(kind, replica.blockId, replica.generationStamp)
  }

  /** Moves a replica's files to where state and stamp want them, durably. */
  async relocate(
    replica: ReplicaInfo,
    kind: 'finalized' | 'rbw',
    stamp: GenerationStamp,
  ): Promise<void> {
    const volume = this.volumeOf(replica.storage)
    const from = this.filesOf(replica)
    const to = volume.files(kind, replica.blockId, stamp)
    if (kind === 'finalized') await volume.ensureDirectory(dirname(to.data))
    await moveReplica(from, to)
    try {
      await volume.syncer.sync(to.directory)
    } catch (error) {
      // The map keeps the replica where it was. Should this fail too, the next start finds it complete.
      await moveReplica(to, from).catch(() => undefined)
      throw error
    }
  }

  /**
   * Forgets the replicas of a volume that failed; whoever writes one is stopped. The blocks may be created again on other volumes.
   */
  retireStorage(storage: StorageUuid): void {
    for (const { blockId } of [...this.map.values(storage)]) {
      if (!this.mutex.isHeld(blockId) && !this.#writers.has(blockId)) {
        this.map.remove(blockId)
        continue
      }
      // An operation under way on the block ends first, well or not.
      void this.mutex.run(blockId, async () => {
        if (this.map.find(blockId)?.storage !== storage) return
        await this.stopWriter(blockId)
        if (this.map.find(blockId)?.storage === storage) this.map.remove(blockId)
      })
    }
  }

  /** @throws {@link DfsError} IO_ERROR when the volume has failed meanwhile */
  requireWorking(volume: Volume): void {
    const { failure, directory } = volume
    if (failure === undefined) return
    throw new DfsError('IO_ERROR', `Cannot use "${directory}": it has failed: ${failure.reason}`, {
      path: directory,
    })
  }

  writerOf(blockId: BlockId): ReplicaWriter | undefined {
    return this.#writers.get(blockId)
  }

  startWriter(start: WriterStart): ReplicaWriter {
    const { blockId } = start
    assert(!this.#writers.has(blockId), `block ${blockId} must have one writer`)
    const writer = new ReplicaWriter({ ...start, pool: this.pool, timers: this.#timers })
    this.#writers.set(blockId, writer)
    return writer
  }

  /**
   * Takes the replica from its writer, if it has one. A replica whose writer failed is then as long as the disk
   * vouches for (D20), and gone when the disk has nothing of it.
   */
  async stopWriter(blockId: BlockId): Promise<void> {
    const writer = this.#writers.get(blockId)
    if (writer === undefined) return
    this.#writers.delete(blockId)
    await writer.abandon()
    if (writer.failure !== undefined && !writer.volume.isFailed) await this.#settle(writer)
  }

  async #settle({ blockId, files, volume }: ReplicaWriter): Promise<void> {
    const replica = this.map.find(blockId)
    if (replica?.state !== 'rbw') return
    try {
      this.map.setLength(blockId, await recoverPrefix(files, blockId))
    } catch (error) {
      const reason = volume.judge(error, `settle block ${blockId}`).message
      this.logger.warn('replica-unsettled', { blockId, reason })
      if (!isDfsError(error, 'CORRUPTION')) {
        // The disk would not even be read: at most what was acknowledged can be there.
        this.map.setLength(blockId, replica.visibleLength)
      } else {
        // Not even the head of the meta file was written.
        await removeReplica(files).catch(() => undefined)
        this.map.remove(blockId)
        volume.spaceChanged()
      }
    }
  }

  /** Forgets a writer that has finished. */
  retireWriter(writer: ReplicaWriter): void {
    this.#writers.delete(writer.blockId)
    const closing = writer.closed.finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  /** Stops all writers and waits until their files are closed. */
  async close(): Promise<void> {
    for (const blockId of [...this.#writers.keys()]) {
      await this.mutex.run(blockId, () => this.stopWriter(blockId))
    }
    await this.mutex.settled()
    await Promise.all(this.#closing)
  }

  /** True while no recovery, deletion or newer pipeline has taken the replica from `writer`. */
  isCurrent(writer: ReplicaWriter): boolean {
    return this.#writers.get(writer.blockId) === writer
  }

  /** @throws {@link DfsError} REPLICA_NOT_FOUND when the replica was taken from `writer` */
  requireCurrent(writer: ReplicaWriter): void {
    if (this.isCurrent(writer)) return
    const { blockId } = writer
    throw new DfsError(
      'REPLICA_NOT_FOUND',
      `Cannot go on writing block ${blockId}: a recovery or a newer pipeline took it over`,
      { blockId },
    )
  }

  /**
   * Tells the namenode later of a replica whose writer ended in mid-block: if its pipeline went on without it by then it is
   * stale, and the space it takes comes back without waiting for the next full report.
   */
  noticeLater({ blockId, generationStamp }: ReplicaInfo): void {
    this.#timers.after(abandonedNoticeMs, () => {
      const replica = this.find(blockId)
      const isAbandoned = replica?.state === 'rbw' && !this.#writers.has(blockId)
      if (isAbandoned && replica.generationStamp === generationStamp) {
        this.notify('receiving', replica)
      }
    })
  }

  onEvent(listener: (event: ReplicaEventNotice) => void): void {
    this.#eventListeners.push(listener)
  }

  notify(kind: ReplicaEventNotice['kind'], replica: ReplicaInfo): void {
    const { storage, blockId, generationStamp, length, digest } = replica
    for (const listener of this.#eventListeners) {
      listener({ kind, storage, blockId, generationStamp, length, digest })
    }
  }
}

/** Unlinks both files of a replica; that one is gone already is fine. */
export async function removeReplica({ data, meta, disk }: ReplicaFiles): Promise<void> {
  await disk.removeFile(data)
  await disk.removeFile(meta)
}

/** Renames both files of a replica, or, as far as the disk lets it, none of them (D19). */
export async function moveReplica(from: ReplicaFiles, to: ReplicaFiles): Promise<void> {
  const { disk } = from
  const moves = (['data', 'meta'] as const).filter((which) => from[which] !== to[which])
  const results = await Promise.allSettled(
    moves.map((which) => disk.renameFile(from[which], to[which])),
  )
  const failed = results.find((result) => result.status === 'rejected')
  if (failed === undefined) return
  for (const [index, which] of moves.entries()) {
    if (results[index]?.status !== 'fulfilled') continue
    // What cannot be undone either is settled by the next start, which looks on both sides.
    await disk.renameFile(to[which], from[which]).catch(() => undefined)
  }
  throw failed.reason
}
