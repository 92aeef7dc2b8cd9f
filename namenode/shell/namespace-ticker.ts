import type { Clock, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { BlockManager } from '../core/block-manager.ts'
import type { Transaction } from '../core/changes.ts'
import type { Namesystem } from '../core/namesystem.ts'
import type { Effect } from '../core/outcome.ts'
import type { Miss } from '../core/requests.ts'
import type { MissLoader } from './miss-loader.ts'

/** Between two plans that belong together; requests are served then. */
const followUpPauseMs = 1

export interface NamespaceTickerOptions {
  readonly namesystem: Namesystem
  readonly blocks: BlockManager
  readonly loader: MissLoader
  readonly clock: Clock
  readonly timers: Timers
  readonly logger: Logger
  /** Applies and journals; resolves when durable. */
  readonly commit: (changes: Transaction['changes'], effects: readonly Effect[]) => Promise<void>
  /** Room behind the journal; see `Checkpointer.room`. */
  readonly room: () => Promise<void> | undefined
  /** False while the disk is nearly full: what time causes can wait. */
  readonly mayChange: () => boolean
}

/**
 * Makes the changes that time alone causes: leases that expire, and deleted trees piece by piece. A plan that missed rows
 * is made again as soon as they are here: by the next regular tick, memory may have let go of them.
 */
export class NamespaceTicker {
  readonly #options: NamespaceTickerOptions
  /** What the last plan needs or made is being loaded, made durable, or about to be planned on. */
  #isFollowingUp = false
  #isStopping = false

  constructor(options: NamespaceTickerOptions) {
    this.#options = options
  }

  /** Plans what time causes; what was missed, or the next piece of a tree, follows when this one is done. */
  tick(): void {
    const { namesystem, blocks, clock, commit, mayChange } = this.#options
    if (this.#isStopping || blocks.safeMode !== 'off' || !mayChange()) return
    const plan = namesystem.tick(clock.monotonic(), clock.wall())
    const { misses, changes, effects } = plan
    const isChanging = changes.length > 0 || effects.length > 0
    const durable = isChanging ? commit(changes, effects) : undefined
    if (this.#isFollowingUp) return
    const hasMore = misses.length > 0 || (plan.isReaping && changes.length > 0)
    if (hasMore) this.#followUp(misses, durable)
  }

  stop(): void {
    this.#isStopping = true
  }

  #followUp(misses: readonly Miss[], durable: Promise<void> | undefined): void {
    const { room, timers, logger } = this.#options
    this.#isFollowingUp = true
    const next = (): void => {
      this.#isFollowingUp = false
      this.tick()
    }
    Promise.all([durable, this.#load(misses)])
      .then(() => room())
      .then(
        () => timers.after(followUpPauseMs, next),
        (error: unknown) => {
          this.#isFollowingUp = false
          if (!this.#isStopping) logger.error('load-failed', { error })
        },
      )
  }

  /** Rejects when the store cannot be read. */
  #load(misses: readonly Miss[]): Promise<void> | undefined {
    if (misses.length === 0) return undefined
    return new Promise((resolve, reject) => {
      this.#options.loader.request(misses, () => resolve(), reject)
    })
  }
}
