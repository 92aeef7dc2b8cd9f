/** Figures of the benchmarks: one JSON object a line, and how many measurements become one number. */

export function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

/** The middle of `values`, the mean of the two middle ones when they are even in number; 0 of none. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2
}

/** The value that a share `part` of `values` does not exceed; 0 of none. */
export function percentileOf(values: readonly number[], part: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

/** `value` with so many digits behind the point. */
export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits))
}
