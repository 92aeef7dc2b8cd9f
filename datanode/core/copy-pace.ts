/**
 * What copies between datanodes (repair, drains, balancing) may take of a datanode: disk operations that one volume has under
 * way, so that clients find a free thread, a short disk queue and no crowd of syncs before theirs, and time at the event loop:
 *
 *     clients             operations at once   of these for blocks        rest for each millisecond at the
 *                                              with another replica       event loop: last replicas, others
 *     none for a while    4: disk kept busy    4                          none
 *     use this datanode   1, in pieces         1                          0.75 ms, 3 ms
 *
 * 1. Somebody is always under way while anybody waits: copies become slower, they never stop.
 * 2. Copies of a block's last replica come first. Of every four operations one is for the others, if they wait: a
 *    copy that moves no byte for long would be given up by its peer.
 */
import { assert } from '../../base/assert.ts'

export const copyPaceLimits = {
  /** Clients count as gone when nothing was done for them for so long. */
  quietAfterMs: 1000,
  operationsQuiet: 4,
  operationsBusy: 1,
  /** Reads and writes are cut to so many bytes meanwhile: a client's wait behind one, or one for each datanode on its disk. */
  pieceBytesBusy: 512 * 1024,
  /** Of `operationsBusy`, those of blocks that have another replica. */
  usualOperationsBusy: 1,
  /** One operation in so many is for blocks that have another replica, while they wait. */
  usualTurn: 4,
  /** Rest at the event loop for each millisecond of a turn, while clients use this datanode. */
  urgentRestShare: 0.75,
  usualRestShare: 3,
} as const

/** `urgent`: the copy of a block whose last replica this is. */
export type CopyUrgency = 'urgent' | 'usual'

/** How long copies stay away from the event loop after a turn of `tookMs`, while clients use this datanode. */
export function restAfterMs(urgency: CopyUrgency, tookMs: number): number {
  const { urgentRestShare, usualRestShare } = copyPaceLimits
  return tookMs * (urgency === 'urgent' ? urgentRestShare : usualRestShare)
}

/** When clients last used this datanode. */
export class ForegroundUse {
  #lastAt = Number.NEGATIVE_INFINITY

  /** Something was done for a client. */
  used(now: number): void {
    this.#lastAt = now
  }

  isBusy(now: number): boolean {
    return now - this.#lastAt < copyPaceLimits.quietAfterMs
  }
}

/** Decides which waiting operation `T` of one volume starts when. */
export class CopyPace<T> {
  readonly #foreground: ForegroundUse
  readonly #waiting: Readonly<Record<CopyUrgency, T[]>> = { urgent: [], usual: [] }
  readonly #underWay: Record<CopyUrgency, number> = { urgent: 0, usual: 0 }
  #urgentInARow = 0

  constructor(foreground: ForegroundUse) {
    this.#foreground = foreground
  }

  /** How many bytes the next read or write of a file may move. */
  pieceBytes(now: number): number {
    return this.#foreground.isBusy(now) ? copyPaceLimits.pieceBytesBusy : Number.MAX_SAFE_INTEGER
  }

  get underWay(): number {
    return this.#underWay.urgent + this.#underWay.usual
  }

  /** Puts an operation behind those of its urgency. */
  ask(urgency: CopyUrgency, operation: T): void {
    this.#waiting[urgency].push(operation)
  }

  /** Removes and returns an operation that may start now; its end must be told. */
  next(now: number): { readonly urgency: CopyUrgency; readonly operation: T } | undefined {
    const isBusy = this.#foreground.isBusy(now)
    const { operationsBusy, operationsQuiet } = copyPaceLimits
    if (this.underWay >= (isBusy ? operationsBusy : operationsQuiet)) return undefined
    const urgency = this.#turn(isBusy)
    const operation = urgency === undefined ? undefined : this.#waiting[urgency].shift()
    if (urgency === undefined || operation === undefined) return undefined
    this.#urgentInARow = urgency === 'urgent' ? this.#urgentInARow + 1 : 0
    this.#underWay[urgency] += 1
    return { urgency, operation }
  }

  ended(urgency: CopyUrgency): void {
    assert(this.#underWay[urgency] > 0, 'only an operation under way ends')
    this.#underWay[urgency] -= 1
  }

  #turn(isBusy: boolean): CopyUrgency | undefined {
    const { usualOperationsBusy, usualTurn } = copyPaceLimits
    const hasRoom = !isBusy || this.#underWay.usual < usualOperationsBusy
    const mayUsual = this.#waiting.usual.length > 0 && hasRoom
    if (this.#waiting.urgent.length === 0) return mayUsual ? 'usual' : undefined
    return mayUsual && this.#urgentInARow >= usualTurn - 1 ? 'usual' : 'urgent'
  }
}
