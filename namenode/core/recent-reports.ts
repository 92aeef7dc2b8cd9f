/**
 * What one storage reported incrementally of late. A full report is a snapshot taken some time before
 * it arrives, and incremental reports overtake it:
 *
 *     1. the datanode lists its replicas: A
 *     2. it finalizes B, deletes A, and reports both incrementally
 *     3. the list from step 1 arrives: it must neither remove B nor bring A back
 *
 * A list may also be the younger of the two: B was reopened meanwhile, and what the datanode would have said of it
 * incrementally is in the list only. Stamps tell, because a replica's never falls.
 *
 * Two generations of a map, exchanged every `reportRaceMs`, remember at least that long and at most
 * twice that, without a timestamp per block.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'

/** Short memory of one storage's incremental reports. */
export class RecentReports {
  #young = new Map<BlockId, number>()
  #old = new Map<BlockId, number>()
  #turnedAt: Millis | undefined

  received(now: Millis, id: BlockId, stamp: GenerationStamp): void {
    this.#turn(now)
    this.#young.set(id, stamp)
  }

  deleted(now: Millis, id: BlockId, stamp: GenerationStamp): void {
    this.#turn(now)
    this.#young.set(id, -Number(stamp))
  }

  /** A replica that a full report lists was received, or deleted, after the report was put together. */
  isLater(now: Millis, id: BlockId, stamp: GenerationStamp): boolean {
    return Math.abs(this.#last(now, id)) >= stamp
  }

  /** The last thing said of the block was that it was received. */
  wasReceived(now: Millis, id: BlockId): boolean {
    return this.#last(now, id) > 0
  }

  clear(): void {
    this.#old.clear()
    this.#young.clear()
  }

  #last(now: Millis, id: BlockId): number {
    if (this.#young.size === 0 && this.#old.size === 0) return 0
    this.#turn(now)
    return this.#young.get(id) ?? this.#old.get(id) ?? 0
  }

  #turn(now: Millis): void {
    this.#turnedAt ??= now
    const ageMs = now - this.#turnedAt
    if (ageMs < limits.reportRaceMs) return
    this.#old = ageMs < 2 * limits.reportRaceMs ? this.#young : new Map<BlockId, number>()
    this.#young = new Map<BlockId, number>()
    this.#turnedAt = now
  }
}
