import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { StorageUuid } from '../../protocol/ids.ts'
import { Scrubber, type ScrubOrder, scrubLimits } from '../core/scrubber.ts'
import { errnoOf } from './files.ts'
import { storeDigest } from './replica-repair.ts'
import type { ReplicaShelf } from './replica-shelf.ts'
import { verifyReplica } from './verify-replica.ts'
import type { Volume } from './volume.ts'

/** Longest time between two looks at the plan: new suspects are started on at once anyway. */
const lookIntervalMs = 60_000
/** Pause when a replica could not be read, so that a failing disk is not hammered. */
const failurePauseMs = 1000

/** After this a replica that could not be verified, and that nobody deleted, is verified once more. */
const recheckMs = 600_000

/** What scrubbing one volume has done. */
export interface ScrubStatus {
  /** Age of the byte that was not verified for longest. */
  readonly oldestAgeMs: number
  readonly verifiedBytes: number
  readonly verifiedReplicas: number
  readonly corruptReplicas: number
}

export interface ScrubWorkerOptions {
  readonly shelf: ReplicaShelf
  readonly volume: Volume
  readonly periodMs: number
  readonly clock: Clock
  readonly timers: Timers
  /** True while clients or copies use the datanode. */
  readonly isBusy: () => boolean
  /** Tells that a replica does not match its checksums. */
  readonly onCorrupt: (order: ScrubOrder, reason: string) => void
}

/** Verifies the replicas of one volume in the order of its {@link Scrubber}, one at a time. */
export class ScrubWorker {
  readonly plan: Scrubber
  readonly #options: ScrubWorkerOptions
  readonly #storage: StorageUuid
  #timer: TimerHandle | undefined
  #wake: (() => void) | undefined
  #running: Promise<void> | undefined
  #isClosed = false
  #verifiedBytes = 0
  #verifiedReplicas = 0
  #corruptReplicas = 0

  constructor(options: ScrubWorkerOptions) {
    const { shelf, volume, periodMs } = options
    this.#options = options
    this.#storage = volume.storage
    this.plan = new Scrubber({
      periodMs,
      usedBytes: () => shelf.map.usedBytes(volume.storage),
      find: (blockId) => {
        const replica = shelf.map.find(blockId)
        const isHere = replica?.storage === this.#storage && replica.state === 'finalized'
        return isHere ? replica : undefined
      },
    })
    const found = [...shelf.map.values(this.#storage)].filter(({ state }) => state === 'finalized')
    this.plan.load(found)
  }

  status(): ScrubStatus {
    return {
      oldestAgeMs: this.plan.oldestAgeMs(this.#options.clock.wall()),
      verifiedBytes: this.#verifiedBytes,
      verifiedReplicas: this.#verifiedReplicas,
      corruptReplicas: this.#corruptReplicas,
    }
  }

  /** Goes on with what is due, and looks again when something will be. */
  start(): void {
    if (this.#running !== undefined || this.#isClosed || this.#options.volume.isFailed) return
    this.#timer?.cancel()
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      this.#arm()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#wake?.()
    await this.#running
  }

  #arm(): void {
    const { clock, timers } = this.#options
    if (this.#isClosed) return
    const { dueAt } = this.plan
    const untilDueMs = dueAt === undefined ? lookIntervalMs : dueAt - clock.wall()
    const delayMs = Math.min(lookIntervalMs, Math.max(0, untilDueMs))
    this.#timer?.cancel()
    this.#timer = timers.after(delayMs, () => this.start())
  }

  async #run(): Promise<void> {
    const { clock, isBusy, volume } = this.#options
    while (!this.#isClosed && !volume.isFailed) {
      const order = this.plan.tick(clock.wall(), isBusy())
      if (order === undefined) return
      await this.#verify(order)
    }
  }

  async #verify(order: ScrubOrder): Promise<void> {
    const { shelf, volume, clock } = this.#options
    const { blockId, length, bytesPerSecond } = order
    const replica = shelf.map.find(blockId)
    if (replica === undefined || !this.#isSame(order)) return
    let paidUntil: number = clock.monotonic()
    const pace = async (bytes: number): Promise<void> => {
      paidUntil = Math.max(paidUntil, clock.monotonic() - 1000) + (1000 * bytes) / bytesPerSecond
      await this.#sleep(paidUntil - clock.monotonic())
      if (this.#isClosed) throw new DfsError('ABORTED', 'The datanode stops')
    }
    const files = shelf.filesOf(replica)
    try {
      const isDirect = volume.supportsDirectIo
      const { digest: told } = replica
      const digest = await verifyReplica({ files, blockId, length, digest: told, isDirect, pace })
      await this.#confirm(order, digest)
      await pace(Math.max(0, scrubLimits.bytesPerReplicaMin - length))
    } catch (error) {
      await this.#failed(order, error)
    }
  }

  /** The replica is right: its time moves on, and one that had no digest gets it. */
  async #confirm(order: ScrubOrder, digest: bigint): Promise<void> {
    const { shelf, clock } = this.#options
    const { blockId, length } = order
    await shelf.mutex.run(blockId, async () => {
      const replica = shelf.map.find(blockId)
      if (replica === undefined || !this.#isSame(order)) return
      const files = shelf.filesOf(replica)
      if (replica.digest === undefined) {
        await storeDigest(files, blockId, { digest, length })
        shelf.map.setDigest(blockId, digest)
        shelf.notify('received', replica)
      }
      const now = clock.wall()
      await files.disk.touchFile(files.meta, now)
      shelf.map.setVerified(blockId, now)
      this.plan.add(blockId, now)
    })
    this.#verifiedBytes += length
    this.#verifiedReplicas += 1
  }

  async #failed(order: ScrubOrder, error: unknown): Promise<void> {
    if (this.#isClosed || !this.#isSame(order) || this.#options.volume.isFailed) return
    const isDamaged = isDfsError(error, 'CHECKSUM_MISMATCH', 'CORRUPTION')
    const errno = errnoOf(error)
    if (!isDamaged && errno === undefined) throw error
    if (isDamaged || errno === 'EIO') {
      this.#corruptReplicas += 1
      this.#options.onCorrupt(order, messageOf(error))
    } else {
      this.#options.shelf.logger.warn('scrub-failed', {
        blockId: order.blockId,
        storage: this.#storage,
        reason: messageOf(error),
      })
    }
    this.#lookAgain(order)
    await this.#sleep(failurePauseMs)
  }

  /**
   * What is still here later is verified and, when it is damaged, reported again: a namenode that was restarted has
   * forgotten, and a disk that was full could not keep the time of the verification.
   */
  #lookAgain(order: ScrubOrder): void {
    this.#options.timers.after(recheckMs, () => {
      if (this.#isClosed || !this.#isSame(order)) return
      this.plan.suspect(order.blockId)
      this.start()
    })
  }

  /** Nobody wrote, recovered or deleted the replica meanwhile. */
  #isSame({ blockId, generationStamp, length }: ScrubOrder): boolean {
    const replica = this.#options.shelf.map.find(blockId)
    if (replica?.storage !== this.#storage || replica.state !== 'finalized') return false
    return replica.generationStamp === generationStamp && replica.length === length
  }

  #sleep(delayMs: number): Promise<void> {
    if (delayMs <= 0 || this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const handle = this.#options.timers.after(delayMs, resolve)
      this.#wake = () => {
        handle.cancel()
        resolve()
      }
    })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
