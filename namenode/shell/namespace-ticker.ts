import type { Clock, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { BlockManager } from '../core/block-manager.ts'
import type { Transaction } from '../core/changes.ts'
import type { Namesystem } from '../core/namesystem.ts'
import type { Effect } from '../core/outcome.ts'
import type { Miss } from '../core/requests.ts'
import type { MissLoader } from './miss-loader.ts'

/** Between two pieces of a deleted tree; requests are served then. */
const reapPauseMs = 1

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

/** Makes the changes that time alone causes: leases that expire, and deleted trees piece by piece. */
export class NamespaceTicker {
  readonly #options: NamespaceTickerOptions
  /** A piece of a deleted tree is being loaded, made durable, or about to be planned. */
  #isReaping = false
  #isStopping = false

  constructor(options: NamespaceTickerOptions) {
    this.#options = options
  }

  /** Plans what time causes; while trees are being reaped, the next piece follows when this one is done. */
  tick(): void {
    const { namesystem, blocks, clock, commit, mayChange } = this.#options
    if (this.#isStopping || blocks.safeMode !== 'off' || !mayChange()) return
    const plan = namesystem.tick(clock.monotonic(), clock.wall())
    const { misses, changes, effects } = plan
    const isChanging = changes.length > 0 || effects.length > 0
    const durable = isChanging ? commit(changes, effects) : undefined
    if (this.#isReaping) return
    const hasMore = plan.isReaping && (changes.length > 0 || misses.length > 0)
    if (misses.length === 0 && !hasMore) return
    this.#reapOn(misses, durable, hasMore)
  }

  stop(): void {
    this.#isStopping = true
  }

  #reapOn(misses: readonly Miss[], durable: Promise<void> | undefined, hasMore: boolean): void {
    const { room, timers, logger } = this.#options
    this.#isReaping = true
    const next = (): void => {
      this.#isReaping = false
      if (hasMore) this.tick()
    }
    Promise.all([durable, this.#load(misses)])
      .then(() => room())
      .then(
        () => timers.after(reapPauseMs, next),
        (error: unknown) => {
          this.#isReaping = false
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
