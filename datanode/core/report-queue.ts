/**
 * Replica events waiting for the next incremental block report, per storage and in order of arrival.
 *
 *   received            ──▶ due at once
 *   receiving, deleted  ──▶ ride along, or go after the next heartbeat
 *
 * 1. Only the newest event of a replica is kept: the namenode needs the present state, not its history.
 *    A small block is received before anybody was told that it is being received: one call instead of
 *    two. The namenode knows its pipeline anyway, since it chose it.
 * 2. The queue is bounded. When it is full nothing is dropped silently: `push` says so and the session
 *    sends a full block report instead.
 */
import { assert } from '../../base/assert.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'

/** Something that happened to a replica and that the namenode wants to know. */
export interface ReplicaEvent {
  readonly kind: 'receiving' | 'received' | 'deleted'
  readonly storage: StorageUuid
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  /** Bytes; 0 while receiving. */
  readonly length: number
  /** Digest of a received block, when it is known. */
  readonly digest?: bigint | undefined
}

export class ReportQueue {
  readonly #capacity: number
  readonly #eventByBlockByStorage = new Map<StorageUuid, Map<BlockId, ReplicaEvent>>()
  #count = 0
  #isDue = false

  constructor(capacity: number) {
    assert(capacity > 0, `capacity must be positive, got ${capacity}`)
    this.#capacity = capacity
  }

  get count(): number {
    return this.#count
  }

  /** Something waits that should be sent without waiting for a heartbeat. */
  get isDue(): boolean {
    return this.#isDue
  }

  /** Adds `event`, replacing an older one of the same replica. False when the queue is full. */
  push(event: ReplicaEvent): boolean {
    let events = this.#eventByBlockByStorage.get(event.storage)
    if (events === undefined) {
      events = new Map()
      this.#eventByBlockByStorage.set(event.storage, events)
    }
    if (events.delete(event.blockId)) this.#count -= 1
    else if (this.#count === this.#capacity) return false
    events.set(event.blockId, event)
    this.#count += 1
    if (event.kind === 'received') this.#isDue = true
    return true
  }

  /** Makes everything due that waits, deletions too. */
  makeDue(): void {
    this.#isDue = this.#count > 0
  }

  /** Removes and returns at most `limit` events, storage by storage. */
  take(limit: number): readonly ReplicaEvent[] {
    const taken: ReplicaEvent[] = []
    for (const events of this.#eventByBlockByStorage.values()) {
      for (const event of events.values()) {
        if (taken.length === limit) return taken
        events.delete(event.blockId)
        this.#count -= 1
        taken.push(event)
      }
    }
    this.#isDue = false
    return taken
  }

  clear(): void {
    this.#eventByBlockByStorage.clear()
    this.#count = 0
    this.#isDue = false
  }
}
