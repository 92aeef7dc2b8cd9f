import { assert, defined } from '../../base/assert.ts'
import { millis } from '../../base/brand.ts'
import type { Clock, Timers } from '../../base/clock.ts'
import type { Prng } from '../../base/prng.ts'
import { type ReplicaInfo, reportedState } from '../../datanode/core/replica.ts'
import { ReplicaMap } from '../../datanode/core/replica-map.ts'
import {
  lengthToResume,
  needsVerification,
  type ReopenRequest,
  requireHeldByRecovery,
  requireYoungerRecovery,
} from '../../datanode/core/replica-rules.ts'
import type { ReplicaEvent } from '../../datanode/core/report-queue.ts'
import type { BadReplica, NamespaceIdentity } from '../../datanode/core/session-events.ts'
import { KeyedMutex } from '../../datanode/shell/keyed-mutex.ts'
import type { RecoveryDesk, ReplicaCatalog } from '../../datanode/shell/replica-catalog.ts'
import type { StorageSummary } from '../../datanode/shell/replica-store.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { BlockId, DatanodeUuid, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { runsOf } from './content.ts'
import {
  cut,
  isRotten,
  lengthOf,
  type ReplicaDisk,
  type ReplicaFile,
  type Stretch,
  sliceOf,
} from './replica-disk.ts'
import type { Lifetime, Scheduler } from './scheduler.ts'
import { SimScrubber } from './sim-scrubber.ts'

const diskDelayMsMax = 4

/** The right to write one replica, until somebody else takes it. */
export interface SimWriter {
  readonly blockId: BlockId
  /** Called when the replica is taken from the writer: nothing is acknowledged from then on. */
  onAbandoned: () => void
}

export interface SimReplicaStoreOptions {
  readonly uuid: DatanodeUuid
  /** Of each storage. */
  readonly capacityBytes: number
  readonly disk: ReplicaDisk
  readonly scheduler: Scheduler
  readonly life: Lifetime
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  /** Every byte is verified within this; 0 for never. */
  readonly scrubPeriodMs: number
}

/**
 * The replicas of one simulated datanode process: the real replica map and rules over a disk of stretches
 * instead of bytes, every disk operation an event. Follows the real store step by step: what is done
 * before a disk operation, what after it, and what is done under the block's mutex.
 */
export class SimReplicaStore implements ReplicaCatalog {
  readonly #options: SimReplicaStoreOptions
  readonly #map = new ReplicaMap()
  readonly #mutex = new KeyedMutex<BlockId>()
  readonly #writers = new Map<BlockId, SimWriter>()
  readonly #eventListeners: ((event: ReplicaEvent) => void)[] = []
  readonly #corruptListeners: ((replica: BadReplica) => void)[] = []
  readonly #scrubbers = new Map<StorageUuid, SimScrubber>()
  readonly recovery: RecoveryDesk = {
    initReplicaRecovery: (...args) => this.#initRecovery(...args),
    updateReplicaUnderRecovery: (...args) => this.#endRecovery(...args),
  }

  constructor(options: SimReplicaStoreOptions) {
    this.#options = options
    for (const file of options.disk.files.values()) {
      assert(file.place !== 'temporary', 'a copy must not survive a crash')
      const { blockId, generationStamp, storage, stretches, place } = file
      const length = lengthOf(stretches)
      const isFinal = place === 'finalized'
      const isKnown = isFinal && file.verifiedAt <= options.clock.wall()
      const verifiedAt = millis(isKnown ? file.verifiedAt : 0)
      const found = { blockId, generationStamp, storage, length, verifiedAt }
      this.#map.adopt(found, isFinal ? 'finalized' : 'rwr')
      if (isFinal) this.#map.setDigest(blockId, digestOf(file))
    }
    this.onEvent(({ kind, blockId, storage }) => {
      if (kind === 'received') this.#verified(blockId, storage)
    })
    if (options.scrubPeriodMs > 0) for (const storage of options.disk.storages) this.#scrub(storage)
  }

  get datanodeUuid(): DatanodeUuid {
    return this.#options.uuid
  }

  /** Pool that the disks belong to; empty before they belong to one. */
  get blockPoolId(): string {
    return this.#options.disk.boundTo?.split(' ')[1] ?? ''
  }

  get writerCount(): number {
    return this.#writers.size
  }

  storages(): readonly StorageSummary[] {
    const { disk, capacityBytes: capacity } = this.#options
    return disk.storages.map((uuid) => {
      const used = this.#map.usedBytes(uuid)
      const remaining = Math.max(0, capacity - used)
      return { uuid, path: `/${uuid}`, capacity, used, remaining, failed: false }
    })
  }

  replicas(storage: StorageUuid): Iterable<ReplicaInfo> {
    return this.#map.values(storage)
  }

  find(blockId: BlockId): ReplicaInfo | undefined {
    return this.#map.find(blockId)
  }

  onEvent(listener: (event: ReplicaEvent) => void): void {
    this.#eventListeners.push(listener)
  }

  onCorrupt(listener: (replica: BadReplica) => void): void {
    this.#corruptListeners.push(listener)
  }

  async bindTo({ clusterId, blockPoolId }: NamespaceIdentity): Promise<void> {
    const { disk } = this.#options
    const name = `${clusterId} ${blockPoolId}`
    if (disk.boundTo !== undefined && disk.boundTo !== name) {
      throw new DfsError('UNREGISTERED_NODE', `The directories belong to ${disk.boundTo}`)
    }
    await this.#onDisk(() => {
      disk.boundTo = name
    })
  }

  async delete(blockId: BlockId, generationStamp: GenerationStamp): Promise<void> {
    const replica = {
      ...this.#require(blockId, (found) => found.generationStamp === generationStamp),
    }
    await this.#mutex.run(blockId, async () => {
      this.#require(blockId, (found) => found.generationStamp === generationStamp)
      this.#stopWriter(blockId)
      await this.#onDisk(() => {
        this.#options.disk.remove(blockId)
      }, replica.storage)
      this.#map.remove(blockId)
    })
    this.#notify('deleted', replica)
  }

  /** Starts a new replica. @throws {@link DfsError} as the replica map does */
  create(blockId: BlockId, generationStamp: GenerationStamp, isCopy: boolean): SimWriter {
    const event = isCopy ? 'create-copy' : 'create'
    this.#map.check(blockId, event)
    const { disk, prng } = this.#options
    const storage = prng.pick(disk.storages)
    this.#requireWorking(storage)
    this.#map.start({ blockId, generationStamp, length: 0, storage }, event)
    disk.files.set(blockId, {
      ...{ blockId, storage, generationStamp, stretches: [], flushedLength: 0, syncedLength: 0 },
      verifiedAt: 0,
      place: isCopy ? 'temporary' : 'rbw',
    })
    const writer = this.#startWriter(blockId)
    if (!isCopy) this.#notify('receiving', defined(this.#map.find(blockId), 'new replica'))
    return writer
  }

  /** Takes the replica over for a rebuilt pipeline; no writer when that only had to close it. */
  reopen(request: ReopenRequest): Promise<SimWriter | undefined> {
    const { blockId, event, newStamp } = request
    return this.#mutex.run(blockId, async () => {
      this.#map.check(blockId, event)
      this.#stopWriter(blockId)
      await this.#onDisk(() => undefined)
      const replica = this.#require(blockId)
      this.#map.check(blockId, event)
      const length = lengthToResume(replica, request)
      await this.#requireIntact(replica)
      await this.#onDisk(() => {
        const file = this.#file(blockId)
        cut(file, length)
        file.place = event === 'close' ? 'finalized' : 'rbw'
        file.generationStamp = newStamp
        file.flushedLength = length
        if (event === 'close') file.syncedLength = length
      })
      this.#map.setLength(blockId, length)
      this.#map.restamp(blockId, newStamp)
      if (event === 'close') this.#map.setDigest(blockId, digestOf(this.#file(blockId)))
      this.#map.move(blockId, event)
      if (event === 'close') {
        this.#notify('received', replica)
        return undefined
      }
      if (event === 'append') this.#notify('receiving', replica)
      return this.#startWriter(blockId)
    })
  }

  isCurrent(writer: SimWriter): boolean {
    return this.#writers.get(writer.blockId) === writer
  }

  /**
   * Takes verified data in; some of it may be here already. @throws {@link DfsError} when the disk fails
   */
  write(writer: SimWriter, stretch: Stretch): void {
    if (!this.isCurrent(writer)) return
    const file = this.#file(writer.blockId)
    this.#requireWorking(file.storage)
    const here = lengthOf(file.stretches)
    assert(stretch.offset <= here, 'stretches must follow each other')
    const end = stretch.offset + stretch.length
    file.stretches = [...file.stretches, ...sliceOf([stretch], here, end)]
    this.#map.setLength(writer.blockId, Math.max(here, end))
  }

  /** Gives everything received so far to the kernel. */
  async flush(writer: SimWriter): Promise<void> {
    const { length } = this.#require(writer.blockId)
    await this.#onDisk(() => {
      if (!this.isCurrent(writer)) return
      const file = this.#file(writer.blockId)
      file.flushedLength = Math.max(file.flushedLength, Math.min(length, lengthOf(file.stretches)))
    })
  }

  acknowledge(writer: SimWriter, length: number): void {
    if (this.isCurrent(writer)) this.#map.acknowledge(writer.blockId, length)
  }

  async sync(writer: SimWriter): Promise<void> {
    const length = this.#require(writer.blockId).length
    await this.#onDisk(() => {
      if (!this.isCurrent(writer)) return
      const file = this.#file(writer.blockId)
      file.syncedLength = Math.max(file.syncedLength, Math.min(length, lengthOf(file.stretches)))
      file.flushedLength = Math.max(file.flushedLength, file.syncedLength)
    }, this.#file(writer.blockId).storage)
  }

  /** Ends a writer: `rbw` for a copy that joins the pipeline of an open block. */
  finalize(writer: SimWriter, as: 'finalized' | 'rbw'): Promise<void> {
    const { blockId } = writer
    return this.#mutex.run(blockId, async () => {
      this.#requireCurrent(writer)
      await this.#onDisk(() => {
        const file = this.#file(blockId)
        file.syncedLength = lengthOf(file.stretches)
        file.flushedLength = file.syncedLength
      }, this.#file(blockId).storage)
      this.#writers.delete(blockId)
      const replica = this.#require(blockId)
      await this.#onDisk(() => {
        this.#file(blockId).place = as
      })
      if (as === 'rbw') {
        this.#map.acknowledge(blockId, replica.length)
        this.#map.move(blockId, 'convert')
        this.#notify('receiving', replica)
        return
      }
      this.#map.setDigest(blockId, digestOf(this.#file(blockId)))
      this.#map.move(blockId, 'finalize')
      this.#notify('received', replica)
    })
  }

  /** Ends a writer in mid-block: an open replica stays for recovery, a copy is dropped. */
  release(writer: SimWriter): Promise<void> {
    const { blockId } = writer
    return this.#mutex.run(blockId, async () => {
      if (!this.isCurrent(writer)) return
      this.#writers.delete(blockId)
      if (this.#map.find(blockId)?.state !== 'temporary') return
      await this.#onDisk(() => {
        this.#options.disk.remove(blockId)
      })
      this.#map.remove(blockId)
    })
  }

  /** The readable bytes of a replica with at least this stamp. @throws {@link DfsError} REPLICA_NOT_FOUND */
  read(
    blockId: BlockId,
    generationStamp: GenerationStamp,
  ): { readonly stamp: GenerationStamp; readonly stretches: readonly Stretch[] } {
    const replica = this.#require(blockId, (found) => {
      const state = reportedState(found)
      const isReadable = state === 'finalized' || state === 'rbw'
      return isReadable && found.generationStamp >= generationStamp
    })
    this.#requireWorking(replica.storage)
    const { stretches } = this.#file(blockId)
    return {
      stamp: replica.generationStamp,
      stretches: sliceOf(stretches, 0, replica.visibleLength),
    }
  }

  /** Tells the listeners of a replica that does not match its checksums. */
  reportCorrupt(blockId: BlockId): void {
    const replica = this.#map.find(blockId)
    if (replica === undefined) return
    const { storage, generationStamp, length } = replica
    for (const listener of this.#corruptListeners) {
      listener({ storage, blockId, generationStamp, length })
    }
  }

  #initRecovery(
    blockId: BlockId,
    generationStamp: GenerationStamp,
    recoveryStamp: GenerationStamp,
  ): ReturnType<RecoveryDesk['initReplicaRecovery']> {
    return this.#mutex.run(blockId, async () => {
      const before = this.#map.find(blockId)
      if (before === undefined || before.state === 'temporary') return undefined
      requireYoungerRecovery(before, { generationStamp, recoveryStamp })
      this.#stopWriter(blockId)
      await this.#onDisk(() => undefined)
      await this.#requireIntact(this.#require(blockId))
      this.#map.beginRecovery(blockId, recoveryStamp)
      const replica = this.#require(blockId)
      const state = defined(reportedState(replica), 'state before recovery')
      return { blockId, generationStamp: replica.generationStamp, length: replica.length, state }
    })
  }

  #endRecovery(
    blockId: BlockId,
    recoveryStamp: GenerationStamp,
    newLength: number,
  ): Promise<StorageUuid> {
    return this.#mutex.run(blockId, async () => {
      this.#map.check(blockId, 'end-recovery')
      const replica = this.#require(blockId)
      requireHeldByRecovery(replica, recoveryStamp, newLength)
      await this.#onDisk(() => {
        const file = this.#file(blockId)
        cut(file, newLength)
        file.flushedLength = newLength
        file.syncedLength = newLength
        file.place = 'finalized'
        file.generationStamp = recoveryStamp
      }, replica.storage)
      this.#map.setLength(blockId, newLength)
      this.#map.restamp(blockId, recoveryStamp)
      this.#map.setDigest(blockId, digestOf(this.#file(blockId)))
      this.#map.move(blockId, 'end-recovery')
      this.#notify('received', replica)
      return replica.storage
    })
  }

  /**
   * What is about to get a new stamp is read first. The real datanode leaves that out when it read the
   * replica lately; here everything counts as written long ago.
   *
   * @throws {@link DfsError} CHECKSUM_MISMATCH, and reports it
   */
  async #requireIntact(replica: ReplicaInfo): Promise<void> {
    const { blockId } = replica
    if (!needsVerification(replica, this.#options.clock.wall(), 0)) return
    try {
      await this.#verify(blockId)
    } catch (error) {
      if (isDfsError(error, 'CHECKSUM_MISMATCH')) this.reportCorrupt(blockId)
      throw error
    }
  }

  /** Reads a whole replica. @throws {@link DfsError} CHECKSUM_MISMATCH, REPLICA_NOT_FOUND, IO_ERROR */
  async #verify(blockId: BlockId): Promise<void> {
    const { storage } = this.#require(blockId)
    await this.#onDisk(() => {
      const file = this.#options.disk.files.get(blockId)
      if (file?.stretches.some(isRotten) !== true) return
      throw new DfsError('CHECKSUM_MISMATCH', `The replica of block ${blockId} is damaged`)
    }, storage)
  }

  /** Begins to verify what a storage holds, in the order in which it was written. */
  #scrub(storage: StorageUuid): void {
    const { clock, timers, scrubPeriodMs: periodMs } = this.#options
    const isHere = (found: ReplicaInfo): boolean =>
      found.storage === storage && found.state === 'finalized'
    const scrubber = new SimScrubber(
      {
        ...{ periodMs, clock, timers },
        isBusy: () => this.writerCount > 0,
        find: (blockId) => {
          const found = this.#map.find(blockId)
          return found !== undefined && isHere(found) ? found : undefined
        },
        usedBytes: () => this.#map.usedBytes(storage),
        verify: (blockId) => this.#verify(blockId),
        confirm: (blockId, isSame) =>
          this.#mutex.run(blockId, async () => {
            if (isSame()) await this.#onDisk(() => this.#verified(blockId, storage), storage)
          }),
        onCorrupt: (blockId) => {
          this.reportCorrupt(blockId)
        },
      },
      [...this.#map.values(storage)].filter(isHere),
    )
    this.#scrubbers.set(storage, scrubber)
    scrubber.start()
  }

  /** Every byte of a replica was right just now. */
  #verified(blockId: BlockId, storage: StorageUuid): void {
    const now = this.#options.clock.wall()
    this.#map.setVerified(blockId, now)
    this.#file(blockId).verifiedAt = now
    this.#scrubbers.get(storage)?.add(blockId, now)
  }

  #stopWriter(blockId: BlockId): void {
    const writer = this.#writers.get(blockId)
    this.#writers.delete(blockId)
    writer?.onAbandoned()
  }

  #startWriter(blockId: BlockId): SimWriter {
    assert(!this.#writers.has(blockId), `block ${blockId} must have one writer`)
    const writer: SimWriter = { blockId, onAbandoned: () => undefined }
    this.#writers.set(blockId, writer)
    return writer
  }

  /**
   * A disk operation: it happens, completely, at a later moment, unless the process dies before, or the
   * disk refuses it. @throws {@link DfsError} IO_ERROR, DISK_FULL
   */
  #onDisk(operation: () => unknown, storage?: StorageUuid): Promise<void> {
    const { scheduler, prng, life, disk } = this.#options
    const delayMs = prng.below(diskDelayMsMax + 1 + disk.slowMsMax)
    return new Promise((resolve, reject) => {
      scheduler.after(delayMs, () => {
        scheduler.within(life, () => {
          try {
            if (storage !== undefined) this.#requireWorking(storage)
            operation()
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
            return
          }
          resolve()
        })
      })
    })
  }

  #requireWorking(storage: StorageUuid): void {
    const failure = this.#options.disk.failures.get(storage)
    if (failure === undefined) return
    const code = failure === 'ENOSPC' ? 'DISK_FULL' : 'IO_ERROR'
    throw new DfsError(code, `Storage ${storage} answers ${failure}`)
  }

  #file(blockId: BlockId): ReplicaFile {
    return defined(this.#options.disk.files.get(blockId), `file of block ${blockId}`)
  }

  #require(blockId: BlockId, fits: (replica: ReplicaInfo) => boolean = () => true): ReplicaInfo {
    const replica = this.#map.find(blockId)
    if (replica !== undefined && fits(replica)) return replica
    throw new DfsError('REPLICA_NOT_FOUND', `No such replica of block ${blockId}`, { blockId })
  }

  #requireCurrent(writer: SimWriter): void {
    if (this.isCurrent(writer)) return
    throw new DfsError('REPLICA_NOT_FOUND', `Block ${writer.blockId} was taken over`)
  }

  #notify(kind: ReplicaEvent['kind'], replica: ReplicaInfo): void {
    const { storage, blockId, generationStamp, length, digest } = replica
    for (const listener of this.#eventListeners) {
      listener({ kind, storage, blockId, generationStamp, length, digest })
    }
  }
}

/** Stands for the digest that a datanode computes of the bytes as they were written. */
function digestOf({ stretches }: ReplicaFile): bigint {
  let digest = 0xcbf29ce484222325n
  for (const { source, from, length } of runsOf([stretches])) {
    for (const number of [source, from, length]) {
      digest = BigInt.asUintN(64, (digest ^ BigInt(number)) * 0x100000001b3n)
    }
  }
  return digest
}
