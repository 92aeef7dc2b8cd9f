import type { DatanodeUuid } from '../../protocol/ids.ts'

/** Bytes through the data transfer ports: of clients, of pipelines and of copies. */
export interface Traffic {
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** What all datanodes received and sent, added up from the totals in their heartbeats. */
export class DatanodeTraffic {
  readonly #seen = new Map<DatanodeUuid, Traffic>()
  #receivedBytes = 0
  #sentBytes = 0

  /** Since the namenode's start; what a datanode had before its first heartbeat is not in it. */
  get totals(): Traffic {
    return { receivedBytes: this.#receivedBytes, sentBytes: this.#sentBytes }
  }

  /** @param totals what the datanode counts since its own start */
  note(uuid: DatanodeUuid, totals: Traffic): void {
    const before = this.#seen.get(uuid)
    this.#seen.set(uuid, totals)
    if (before === undefined) return
    this.#receivedBytes += growth(before.receivedBytes, totals.receivedBytes)
    this.#sentBytes += growth(before.sentBytes, totals.sentBytes)
  }
}

/** A total that is smaller than before began at 0 in between: the datanode was started again. */
function growth(before: number, now: number): number {
  return now < before ? now : now - before
}
