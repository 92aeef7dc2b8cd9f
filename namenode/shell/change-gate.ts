import type { Clock, Timers } from '../../base/clock.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockManager } from '../core/block-manager.ts'
import type { DiskSpace } from './disk-space.ts'

/** A change waits that long for start-up safe mode to end before it is refused. */
const safeModePatienceMs = 10_000
const safeModePollMs = 50

export interface ChangeGateOptions {
  readonly blocks: BlockManager
  readonly clock: Clock
  readonly timers: Timers
  /** Room behind the journal; see `Checkpointer.room`. */
  readonly room: () => Promise<void> | undefined
  /** Without it the disk is taken for endless. */
  readonly space: DiskSpace | undefined
}

/** Whether the namespace may be changed now: outside safe mode, and with room on the disk and behind the journal. */
export class ChangeGate {
  readonly #options: ChangeGateOptions

  constructor(options: ChangeGateOptions) {
    this.#options = options
  }

  /**
   * `undefined` when a change may go ahead, else a promise to wait for and ask again.
   * @throws {@link DfsError} SAFE_MODE, by rejecting, when safe mode does not end in time or the disk is
   *   nearly full.
   */
  open(): Promise<void> | undefined {
    const { blocks, space, room } = this.#options
    if (space?.isLow === true) return Promise.reject(space.refusal())
    if (blocks.safeMode === 'off') return room()
    return this.#safeModeOver()
  }

  #safeModeOver(): Promise<void> {
    const { blocks, clock, timers } = this.#options
    const giveUpAt = clock.monotonic() + safeModePatienceMs
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const state = blocks.safeMode
        if (state === 'off') resolve()
        else if (state === 'manual' || clock.monotonic() >= giveUpAt) reject(this.#safeModeError())
        else timers.after(safeModePollMs, look)
      }
      look()
    })
  }

  #safeModeError(): DfsError {
    const { blocks } = this.#options
    const { safeBlocks, safeModeNeededBlocks } = blocks.stats()
    const why =
      blocks.safeMode === 'manual'
        ? 'It was turned on by an operator, and `dfs safemode leave` turns it off'
        : `Of its blocks ${safeBlocks} have been reported, and ${safeModeNeededBlocks} are needed`
    return new DfsError(
      'SAFE_MODE',
      `Cannot change the namespace. Name node is in safe mode. ${why}`,
    )
  }
}
