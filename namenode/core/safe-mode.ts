/**
 * Safe mode: no change of the namespace and no repair. It begins at start, until enough blocks have
 * been reported, and whenever an operator asks for it.
 *
 *     state \ event       enter    leave   threshold-reached   wait-over
 *     pending-threshold   manual   off     off                 off
 *     manual              manual   off     manual              manual
 *     off                 manual   off     off                 off
 */
import { type Millis, millis } from '../../base/brand.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { SafeModeState } from '../../protocol/states.ts'

export type SafeModeEvent = 'enter' | 'leave' | 'threshold-reached' | 'wait-over'

/** Next state of every state and event; total, so that a new member fails to compile. */
export const safeModeTransitions: Readonly<
  Record<SafeModeState, Readonly<Record<SafeModeEvent, SafeModeState>>>
> = {
  'pending-threshold': {
    enter: 'manual',
    leave: 'off',
    'threshold-reached': 'off',
    'wait-over': 'off',
  },
  manual: { enter: 'manual', leave: 'off', 'threshold-reached': 'manual', 'wait-over': 'manual' },
  off: { enter: 'manual', leave: 'off', 'threshold-reached': 'off', 'wait-over': 'off' },
}

/** What the threshold is measured on. */
export interface ReportProgress {
  /** Blocks in the namespace; `undefined` while nobody knows. */
  readonly totalCount: number | undefined
  /** Blocks that are open or have at least one reported replica. */
  readonly safeCount: number
}

/** The state, and what is still missing to leave it. */
export class SafeMode {
  readonly #thresholdPermille: number
  readonly #waitMs: number
  #state: SafeModeState = 'pending-threshold'
  #startedAt: Millis | undefined

  constructor(settings: Settings) {
    this.#thresholdPermille = settings['dfs.namenode.safemode.threshold-permille']
    this.#waitMs = settings['dfs.namenode.safemode.wait']
  }

  get state(): SafeModeState {
    return this.#state
  }

  /** When start-up safe mode ends in any case; `undefined` before the first tick. */
  get endsAt(): Millis | undefined {
    return this.#startedAt === undefined ? undefined : millis(this.#startedAt + this.#waitMs)
  }

  send(event: SafeModeEvent): void {
    this.#state = safeModeTransitions[this.#state][event]
  }

  /** Blocks that must be safe before start-up safe mode ends. */
  neededCount(totalCount: number): number {
    return Math.floor((totalCount * this.#thresholdPermille) / 1000)
  }

  /** Looks whether the threshold is reached; an empty namespace reaches it at once. */
  check({ totalCount, safeCount }: ReportProgress): void {
    if (totalCount === undefined) return
    if (safeCount >= this.neededCount(totalCount)) this.send('threshold-reached')
  }

  /** Ends the wait of a start-up that never reaches its threshold. */
  tick(now: Millis): void {
    this.#startedAt ??= now
    if (now - this.#startedAt >= this.#waitMs) this.send('wait-over')
  }
}
