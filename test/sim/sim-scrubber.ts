import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { ReplicaInfo } from '../../datanode/core/replica.ts'
import { Scrubber, type ScrubOrder, scrubLimits } from '../../datanode/core/scrubber.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'

/** As the real scrub worker. */
const lookIntervalMs = 60_000
const failurePauseMs = 1000
const recheckMs = 600_000

export interface SimScrubberOptions {
  readonly periodMs: number
  readonly clock: Clock
  readonly timers: Timers
  readonly isBusy: () => boolean
  /** The finalized replica of a block on this storage. */
  readonly find: (blockId: BlockId) => ReplicaInfo | undefined
  readonly usedBytes: () => number
  /** Reads it all. @throws {@link DfsError} CHECKSUM_MISMATCH, or as the disk answers */
  readonly verify: (blockId: BlockId) => Promise<void>
  /** It was right: sets its time, unless `isSame` says that it is another one by now. */
  readonly confirm: (blockId: BlockId, isSame: () => boolean) => Promise<void>
  readonly onCorrupt: (blockId: BlockId) => void
}

/** Verifies the replicas of one simulated storage, as the real {@link Scrubber} plans it, one at a time. */
export class SimScrubber {
  readonly #options: SimScrubberOptions
  readonly #plan: Scrubber
  #timer: TimerHandle | undefined
  #isRunning = false

  constructor(options: SimScrubberOptions, found: readonly ReplicaInfo[]) {
    const { periodMs, find, usedBytes } = options
    this.#options = options
    this.#plan = new Scrubber({ periodMs, find, usedBytes })
    this.#plan.load(found)
  }

  /** Goes on with what is due, and looks again when something will be. */
  start(): void {
    if (this.#isRunning) return
    this.#timer?.cancel()
    this.#isRunning = true
    void this.#run().then(() => {
      this.#isRunning = false
      this.#arm()
    })
  }

  /** A replica was written just now. */
  add(blockId: BlockId, verifiedAt: ReplicaInfo['verifiedAt']): void {
    this.#plan.add(blockId, verifiedAt)
  }

  #arm(): void {
    const { clock, timers } = this.#options
    const { dueAt } = this.#plan
    const untilDueMs = dueAt === undefined ? lookIntervalMs : dueAt - clock.wall()
    const delayMs = Math.min(lookIntervalMs, Math.max(0, untilDueMs))
    this.#timer?.cancel()
    this.#timer = timers.after(delayMs, () => {
      this.start()
    })
  }

  async #run(): Promise<void> {
    const { clock, isBusy } = this.#options
    for (;;) {
      const order = this.#plan.tick(clock.wall(), isBusy())
      if (order === undefined) return
      await this.#verify(order)
    }
  }

  async #verify(order: ScrubOrder): Promise<void> {
    const { verify, confirm } = this.#options
    const { blockId, length, bytesPerSecond } = order
    const isSame = (): boolean => this.#isSame(order)
    if (!isSame()) return
    try {
      const bytes = Math.max(length, scrubLimits.bytesPerReplicaMin)
      await this.#pause(Math.ceil((1000 * bytes) / bytesPerSecond))
      await verify(blockId)
      await confirm(blockId, isSame)
    } catch (error) {
      if (!isDfsError(error)) throw error
      if (isSame()) this.#failed(order, isDfsError(error, 'CHECKSUM_MISMATCH'))
      await this.#pause(failurePauseMs)
    }
  }

  /** What is still here later is verified, and when it is damaged reported, again. */
  #failed(order: ScrubOrder, isCorrupt: boolean): void {
    const { onCorrupt, timers } = this.#options
    if (isCorrupt) onCorrupt(order.blockId)
    timers.after(recheckMs, () => {
      if (!this.#isSame(order)) return
      this.#plan.suspect(order.blockId)
      this.start()
    })
  }

  #isSame({ blockId, generationStamp, length }: ScrubOrder): boolean {
    const replica = this.#options.find(blockId)
    return replica?.generationStamp === generationStamp && replica.length === length
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.timers.after(delayMs, resolve)
    })
  }
}
