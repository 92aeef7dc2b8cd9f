/**
 * Datanodes that failed one file's writer: new blocks and replacements go elsewhere for a while (HDFS:
 * dfs.client.write.exclude.nodes.cache.expiry.interval.millis, ten minutes there). The namenode knows by itself who
 * is gone; this is for those that only we cannot use, and it must not outlast a restart by long: a log that is written for
 * days would have to do with fewer and fewer datanodes.
 */

/** How long a datanode that failed is avoided. */
export const excludedMs = 60_000

export class ExcludedNodes<Info> {
  readonly #entries = new Map<string, { readonly info: Info; readonly until: number }>()

  /** A datanode failed at `now`; it becomes the latest. */
  add(uuid: string, info: Info, now: number): void {
    this.#entries.delete(uuid)
    this.#entries.set(uuid, { info, until: now + excludedMs })
  }

  /** It is wanted all the same. */
  delete(uuid: string): void {
    this.#entries.delete(uuid)
  }

  clear(): void {
    this.#entries.clear()
  }

  /** Forgets all but the one that failed last: that one is not tried again at once. */
  keepLatest(): void {
    const latest = [...this.#entries.keys()].at(-1)
    for (const uuid of this.#entries.keys()) if (uuid !== latest) this.#entries.delete(uuid)
  }

  /** Those to avoid at `now`, the one that failed last at the end. */
  list(now: number): readonly Info[] {
    for (const [uuid, { until }] of this.#entries) if (until <= now) this.#entries.delete(uuid)
    return [...this.#entries.values()].map(({ info }) => info)
  }
}
