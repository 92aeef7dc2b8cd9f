import type { Logger } from '../../base/log.ts'
import type { BlockManager } from '../core/block-manager.ts'
import type { AgreedDigest } from '../core/replica-ledger.ts'

/** Rows of one transaction: a few milliseconds, and at most this many loads. */
const digestsPerRound = 1000

export interface DigestKeeperOptions {
  readonly blocks: BlockManager
  readonly logger: Logger
  /** Plans, applies and journals; resolves when durable. */
  readonly store: (digests: readonly AgreedDigest[]) => Promise<void>
}

/** Brings digests that replicas agree on into the rows of their blocks, a bounded number at a time. */
export class DigestKeeper {
  readonly #options: DigestKeeperOptions
  /** The round under way. */
  #round: Promise<void> | undefined
  #isStopping = false

  constructor(options: DigestKeeperOptions) {
    this.#options = options
  }

  /** Starts storing what is there to store, unless the last round is still under way. */
  tick(): void {
    const { blocks, store } = this.#options
    if (this.#isStopping || this.#round !== undefined || blocks.safeMode !== 'off') return
    const digests = blocks.takeAgreedDigests(digestsPerRound)
    if (digests.length === 0) return
    this.#round = store(digests)
      .catch((error: unknown) => {
        // They are found again when their replicas are next reported.
        this.#options.logger.warn('digests-not-stored', { digests: digests.length, error })
      })
      .finally(() => {
        this.#round = undefined
      })
  }

  /** Starts nothing more; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#round
  }
}
