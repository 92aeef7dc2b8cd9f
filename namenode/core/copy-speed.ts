/**
 * How fast a datanode copies in one direction, measured, and how much may therefore be outstanding at
 * it. Only time in which something was under way counts, from the answer that carried the order to
 * the report that it was done:
 *
 *     rate       copied ÷ time under way, taken at every heartbeat; up at once, down by half the way
 *     allowance  rate × the time of two heartbeats, between the bounds in `limits`
 *
 * A copy that timed out halves the rate. So a fast pair of disks is kept busy from one heartbeat to
 * the next, and a slow one is not given more than it can do before the copies would be taken for lost.
 */
import type { Millis } from '../../base/brand.ts'
import { limits } from '../../protocol/limits.ts'

/** What may be outstanding at one datanode. */
export interface CopyAllowance {
  readonly count: number
  readonly bytes: number
}

/** Time between orders that work must last for: two heartbeats at the default interval. */
const horizonMs = 6000
/** Less time under way cannot be told from none. */
const busyMsMin = 1
/** One sample raises the rate at most by this factor: a burst of cached blocks is no promise. */
const growthMax = 4

/** One datanode, one direction. */
export class CopySpeed {
  #bytesPerMs = limits.copyBytesInFlightMin / horizonMs
  #countPerMs = limits.copiesInFlightPerDatanodeMin / horizonMs
  #isMeasured = false
  #underWay = 0
  #busySince: Millis | undefined
  #busyMs = 0
  #doneCount = 0
  #doneBytes = 0

  /** Bytes a second, or `undefined` before the first measurement. */
  get bytesPerSecond(): number | undefined {
    return this.#isMeasured ? Math.round(this.#bytesPerMs * 1000) : undefined
  }

  /** Bytes a second that can be counted on, measured or not. */
  get expectedBytesPerSecond(): number {
    return this.#bytesPerMs * 1000
  }

  get allowance(): CopyAllowance {
    return {
      count: between(
        limits.copiesInFlightPerDatanodeMin,
        this.#countPerMs * horizonMs,
        limits.copiesInFlightPerDatanodeMax,
      ),
      bytes: between(
        limits.copyBytesInFlightMin,
        this.#bytesPerMs * horizonMs,
        limits.copyBytesInFlightMax,
      ),
    }
  }

  started(now: Millis): void {
    if (this.#underWay === 0) this.#busySince = now
    this.#underWay += 1
  }

  /** A copy that was under way is done, or was given up. */
  ended(now: Millis, doneBytes: number | undefined): void {
    if (doneBytes !== undefined) {
      this.#doneCount += 1
      this.#doneBytes += doneBytes
    }
    this.#underWay -= 1
    if (this.#underWay === 0) this.#stopWatch(now)
  }

  /** Takes a sample of what was done since the last one. */
  sample(now: Millis): void {
    this.#stopWatch(now)
    if (this.#underWay > 0) this.#busySince = now
    if (this.#doneCount > 0) {
      const busyMs = Math.max(busyMsMin, this.#busyMs)
      this.#bytesPerMs = moved(this.#bytesPerMs, this.#doneBytes / busyMs)
      this.#countPerMs = moved(this.#countPerMs, this.#doneCount / busyMs)
      this.#isMeasured = true
    }
    // Without a result the time goes on counting: the next one took all of it.
    if (this.#doneCount > 0 || this.#underWay === 0) this.#busyMs = 0
    this.#doneCount = 0
    this.#doneBytes = 0
  }

  timedOut(): void {
    this.#bytesPerMs /= 2
    this.#countPerMs /= 2
  }

  #stopWatch(now: Millis): void {
    if (this.#busySince !== undefined) this.#busyMs += Math.max(0, now - this.#busySince)
    this.#busySince = undefined
  }
}

function moved(rate: number, sample: number): number {
  return sample > rate ? Math.min(sample, rate * growthMax) : (rate + sample) / 2
}

function between(min: number, value: number, max: number): number {
  return Math.floor(Math.min(max, Math.max(min, value)))
}
