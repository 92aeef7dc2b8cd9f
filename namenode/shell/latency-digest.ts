/**
 * Durations of one interval, for percentiles: counts in buckets that are an eighth of a power of two wide, so that a
 * percentile is at most an eighth too high. Counting costs a few instructions and no memory.
 */
const subBuckets = 8
const subBits = 3
const bucketCount = (32 - subBits + 1) * subBuckets
const microsMax = 2 ** 31 - 1

/** What the durations of an interval were, in microseconds; percentiles are absent when there were none. */
export interface LatencySummary {
  readonly count: number
  readonly p50Micros: number | undefined
  readonly p99Micros: number | undefined
}

export class LatencyDigest {
  readonly #counts = new Uint32Array(bucketCount)
  #total = 0

  observe(seconds: number): void {
    const micros = Math.min(microsMax, Math.max(0, Math.round(seconds * 1e6)))
    const index = bucketOf(micros)
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
    this.#total += 1
  }

  /** Sums up what was observed since the last call, and begins anew. */
  take(): LatencySummary {
    const summary = {
      count: this.#total,
      p50Micros: this.#percentile(0.5),
      p99Micros: this.#percentile(0.99),
    }
    this.#counts.fill(0)
    this.#total = 0
    return summary
  }

  #percentile(share: number): number | undefined {
    const wanted = Math.ceil(this.#total * share)
    let seen = 0
    for (const [index, count] of this.#counts.entries()) {
      seen += count
      if (count > 0 && seen >= wanted) return upperBound(index)
    }
    return undefined
  }
}

function bucketOf(micros: number): number {
  if (micros < subBuckets) return micros
  const exponent = 31 - Math.clz32(micros)
  const sub = (micros >> (exponent - subBits)) & (subBuckets - 1)
  return (exponent - subBits + 1) * subBuckets + sub
}

/** The largest duration of a bucket. */
function upperBound(index: number): number {
  if (index < subBuckets) return index
  const exponent = Math.floor(index / subBuckets) + subBits - 1
  const sub = index % subBuckets
  return (subBuckets + sub + 1) * 2 ** (exponent - subBits) - 1
}
