/** Numbers, times, modes and columns as people read them. */

const units = ['', 'K', 'M', 'G', 'T', 'P', 'E'] as const

/** Bytes as HDFS's `-h` prints them: `0`, `999`, `1.5 K`, `128 M`, one decimal when it says something. */
export function humanSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  if (unit === 0) return String(bytes)
  const rounded = value >= 100 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, '')
  return `${rounded} ${units[unit] ?? ''}`
}

/**
 * Reads a size: plain bytes, or a number with K, M, G, T, P (powers of 1024; `KiB`, `KB` and lower case
 * are the same). Returns undefined when the text is no size.
 */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim())
  if (match === null) return undefined
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf((match[2] ?? '').toLowerCase())
  const bytes = Number(match[1]) * 1024 ** power
  return Number.isSafeInteger(Math.round(bytes)) ? Math.round(bytes) : undefined
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

/** Local time to the minute, as `ls` prints it: `2026-11-22 16:05`. */
export function localMinute(timeMs: number): string {
  const time = new Date(timeMs)
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`
}

/** UTC time to the second, as HDFS's `stat` prints it: `2026-11-22 16:05:09`. */
export function utcSecond(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ')
}

/** `rwxr-xr-t` of a mode's lower 10 bits; HDFS has a sticky bit and no set-id bits. */
export function symbolicMode(mode: number): string {
  const triple = (bits: number): string =>
    `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${(bits & 1) === 0 ? '-' : 'x'}`
  const text = triple(mode >> 6) + triple(mode >> 3) + triple(mode)
  if ((mode & 0o1000) === 0) return text
  return `${text.slice(0, 8)}${(mode & 1) === 0 ? 'T' : 't'}`
}

/** Octal digits of a mode, without the file type: `644`, `1777`. */
export function octalMode(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(3, '0')
}

/** Milliseconds as `850 ms`, `1.4 s`, `2 min 5 s`, `1 h 3 min`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  const seconds = milliseconds / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}

const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Reads `30s`, `90m`, `36h`, `7d` as milliseconds. Returns undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([smhd])$/i.exec(text.trim())
  const unit = unitMs[(match?.[2] ?? '').toLowerCase()]
  return match === null || unit === undefined ? undefined : Math.round(Number(match[1]) * unit)
}

/** `1 file`, `2 files`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`
}

/** Replaces what is not printable by `?`, as `ls -q` does. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{C}]/gu, '?')
}

export type Alignment = 'left' | 'right'

/** Lines of a table whose columns are as wide as their widest cell; the last column is not padded. */
export function table(
  rows: readonly (readonly string[])[],
  alignments: readonly Alignment[],
): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, cell.length)
    }
  }
  return rows.map((row) =>
    row
      .map((cell, index) => {
        const width = widths[index] ?? 0
        if (alignments[index] === 'right') return cell.padStart(width)
        return index === row.length - 1 ? cell : cell.padEnd(width)
      })
      .join('  '),
  )
}
