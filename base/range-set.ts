/** `[start, end)`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** A set of whole numbers, kept as sorted ranges that neither overlap nor touch. */
export class RangeSet {
  #ranges: Range[] = []

  constructor(ranges: Iterable<Range> = []) {
    for (const { start, end } of ranges) this.add(start, end)
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  /** Number of ranges. */
  get count(): number {
    return this.#ranges.length
  }

  /** The ranges, in order. */
  get ranges(): readonly Range[] {
    return this.#ranges
  }

  add(start: number, end: number): void {
    if (start >= end) return
    const first = this.#indexOfEndFrom(start)
    let last = first
    let merged = { start, end }
    for (let next = this.#ranges[last]; next !== undefined && next.start <= end; ) {
      merged = { start: Math.min(merged.start, next.start), end: Math.max(merged.end, next.end) }
      last += 1
      next = this.#ranges[last]
    }
    this.#ranges.splice(first, last - first, merged)
  }

  /** Takes everything from `end` on out. */
  cut(end: number): void {
    const index = this.#indexOfEndFrom(end)
    const range = this.#ranges[index]
    if (range === undefined) return
    this.#ranges.length = index
    if (range.start < end) this.#ranges.push({ start: range.start, end })
  }

  clear(): void {
    this.#ranges = []
  }

  /** Whether all of `[start, end)` is in. */
  covers(start: number, end: number): boolean {
    if (start >= end) return true
    const range = this.#ranges[this.#indexOfEndFrom(start + 1)]
    return range !== undefined && range.start <= start && range.end >= end
  }

  /** Whether anything of `[start, end)` is in. */
  overlaps(start: number, end: number): boolean {
    if (start >= end) return false
    const range = this.#ranges[this.#indexOfEndFrom(start + 1)]
    return range !== undefined && range.start < end
  }

  /** `[start, end)` as pieces that are in or out, in order. */
  *pieces(start: number, end: number): Generator<Range & { readonly isIn: boolean }, undefined> {
    let at = start
    for (let index = this.#indexOfEndFrom(start + 1); at < end; index += 1) {
      const range = this.#ranges[index]
      const from = Math.min(range?.start ?? end, end)
      if (at < from) yield { start: at, end: from, isIn: false }
      if (range === undefined || from === end) return undefined
      const to = Math.min(range.end, end)
      yield { start: Math.max(at, from), end: to, isIn: true }
      at = to
    }
    return undefined
  }

  /** Index of the first range that ends at `position` or behind it. */
  #indexOfEndFrom(position: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const range = this.#ranges[middle]
      if (range === undefined || range.end >= position) high = middle
      else low = middle + 1
    }
    return low
  }
}
