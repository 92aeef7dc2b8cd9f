import type { TimerHandle, Timers } from '../../base/clock.ts'
import type { BlockId } from '../../protocol/ids.ts'

interface Wait {
  readonly blocks: readonly BlockId[]
  readonly timer: TimerHandle
  readonly resume: (isLastTry: boolean) => void
}

/**
 * Requests that wait for replicas of certain blocks to be reported, each until a report names one of
 * them or its time is up.
 */
export class ReportWaits {
  readonly #timers: Timers
  readonly #waitsByBlock = new Map<BlockId, Set<Wait>>()
  #count = 0

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /** Requests that wait. */
  get count(): number {
    return this.#count
  }

  /** Calls `resume(false)` when a replica of one of `blocks` changes, `resume(true)` after `waitMs`. */
  wait(blocks: readonly BlockId[], waitMs: number, resume: (isLastTry: boolean) => void): void {
    const timer = this.#timers.after(waitMs, () => {
      this.#end(wait, true)
    })
    const wait: Wait = { blocks, timer, resume }
    this.#count += 1
    for (const block of blocks) {
      const waits = this.#waitsByBlock.get(block)
      if (waits === undefined) this.#waitsByBlock.set(block, new Set([wait]))
      else waits.add(wait)
    }
  }

  /**
   * Replicas of these blocks changed. Who is resumed may wait again for the same block at once, and must
   * then not be resumed again for this change: hence the copy.
   */
  replicasChanged(blocks: readonly BlockId[]): void {
    if (this.#waitsByBlock.size === 0) return
    for (const block of blocks) {
      const waits = this.#waitsByBlock.get(block)
      if (waits === undefined) continue
      for (const wait of [...waits]) {
        if (waits.has(wait)) this.#end(wait, false)
      }
    }
  }

  /** Ends every wait as if its time were up. */
  endAll(): void {
    for (const waits of [...this.#waitsByBlock.values()]) {
      for (const wait of [...waits]) {
        if (waits.has(wait)) this.#end(wait, true)
      }
    }
  }

  #end(wait: Wait, isLastTry: boolean): void {
    wait.timer.cancel()
    this.#count -= 1
    for (const block of wait.blocks) {
      const waits = this.#waitsByBlock.get(block)
      waits?.delete(wait)
      if (waits?.size === 0) this.#waitsByBlock.delete(block)
    }
    wait.resume(isLastTry)
  }
}
