/**
 * Ledgers: what the cluster acknowledged to one writer, one JSON object a line, each synced to a disk that no fault touches.
 * A line about an attempt is written before it, a line about an acknowledgement after it. A writer that is killed between
 * an acknowledgement and its line makes the check weaker by that one operation, never wrong.
 *
 * docs/CHAOS.md has the table of what each line makes legal.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import type { Part } from './content.ts'

/** One line. `atMs` is the wall clock, for comparing with the faults. */
export type LedgerLine = { readonly path: string; readonly atMs: number } & (
  | { readonly kind: 'begin'; readonly seed: number; readonly lengthMax: number }
  /** `length` bytes were acknowledged by hflush, hsync or close. */
  | { readonly kind: 'flushed' | 'synced' | 'closed'; readonly length: number }
  /** Bytes of another seed may follow behind the `start` bytes of a closed file. */
  | {
      readonly kind: 'appending'
      readonly start: number
      readonly seed: number
      readonly lengthMax: number
    }
  /** A file closed at `from` bytes is cut to `length`. */
  | { readonly kind: 'truncating'; readonly from: number; readonly length: number }
  | { readonly kind: 'truncated'; readonly length: number }
  /** The lease was recovered: the namenode called the file closed, with `length` bytes. */
  | { readonly kind: 'recovered'; readonly length: number }
  | { readonly kind: 'renaming'; readonly target: string }
  | { readonly kind: 'renamed'; readonly target: string }
  | { readonly kind: 'deleting' }
  | { readonly kind: 'deleted' }
  /** An operation failed; nothing more is promised than before it. */
  | { readonly kind: 'refused'; readonly reason: string }
)

type Unstamped<T> = T extends unknown ? Omit<T, 'atMs'> : never

export class Ledger {
  readonly #descriptor: number

  /** Goes on with a ledger, behind its last whole line. */
  constructor(file: string) {
    if (existsSync(file)) truncateSync(file, readFileSync(file).lastIndexOf('\n') + 1)
    this.#descriptor = openSync(file, 'a')
  }

  note(line: Unstamped<LedgerLine>): void {
    writeSync(this.#descriptor, `${JSON.stringify({ ...line, atMs: Date.now() })}\n`)
    fdatasyncSync(this.#descriptor)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** What is promised of one file. Every acknowledgement narrows the lengths that are legal, every attempt widens them. */
export interface FilePromise {
  /** Who wrote which bytes, in order. */
  parts: readonly Part[]
  /** Every place where it may be: one, two while a rename is undecided. */
  paths: string[]
  /** It must be there. */
  isPresent: boolean
  /** It must not be there. */
  isAbsent: boolean
  syncedLength: number
  flushedLength: number
  lengthMax: number
  /** While a truncate is undecided: these two lengths are legal, and nothing between them. */
  truncation: { readonly from: number; readonly to: number } | undefined
  /** Acknowledged as closed, and nothing was begun since. */
  isClosed: boolean
  /** Deleting it was begun. */
  isDeleting: boolean
  /** When the oldest byte that is only flushed was flushed, or earlier. */
  flushedSinceMs: number
  /** Lines about it so far: an equal count means that nothing was begun or acknowledged meanwhile. */
  lineCount: number
}

/** Reads a ledger; a torn last line, of a writer that was killed, is left out. */
export function readLedger(file: string): LedgerLine[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  lines.pop()
  return lines.map((line) => JSON.parse(line) as LedgerLine)
}

/** What the lines of one ledger promise, file by file, in order of creation. */
export function promisesOf(lines: readonly LedgerLine[]): FilePromise[] {
  const all: FilePromise[] = []
  const byPath = new Map<string, FilePromise>()
  for (const line of lines) {
    if (line.kind === 'begin') {
      const begun = begin(line)
      byPath.set(line.path, begun)
      all.push(begun)
      continue
    }
    const file = byPath.get(line.path)
    if (file === undefined) throw new Error(`a ledger says "${line.kind}" of unknown ${line.path}`)
    file.lineCount += 1
    follow(file, line, byPath)
  }
  return all
}

function begin({ path, seed, lengthMax, atMs }: LedgerLine & { kind: 'begin' }): FilePromise {
  return {
    parts: [{ start: 0, seed }],
    paths: [path],
    isPresent: false,
    isAbsent: false,
    syncedLength: 0,
    flushedLength: 0,
    lengthMax,
    truncation: undefined,
    isClosed: false,
    isDeleting: false,
    flushedSinceMs: atMs,
    lineCount: 1,
  }
}

function follow(
  file: FilePromise,
  line: Exclude<LedgerLine, { kind: 'begin' }>,
  byPath: Map<string, FilePromise>,
): void {
  switch (line.kind) {
    case 'flushed':
      file.isPresent = true
      if (file.flushedLength <= file.syncedLength) file.flushedSinceMs = line.atMs
      file.flushedLength = Math.max(file.flushedLength, line.length)
      return
    case 'synced':
      hold(file, line.length)
      return
    case 'closed':
    case 'recovered':
      close(file, line.length)
      return
    case 'appending':
      file.parts = [
        ...file.parts.filter(({ start }) => start < line.start),
        { start: line.start, seed: line.seed },
      ]
      file.lengthMax = line.lengthMax
      file.isClosed = false
      return
    case 'truncating':
      file.truncation = { from: line.from, to: line.length }
      file.syncedLength = line.length
      file.flushedLength = line.length
      file.isClosed = false
      return
    case 'truncated':
      file.truncation = undefined
      file.lengthMax = line.length
      file.isClosed = true
      return
    case 'renaming':
      file.paths = [line.path, line.target]
      byPath.set(line.target, file)
      return
    case 'renamed':
      file.paths = [line.target]
      return
    case 'deleting':
      file.isPresent = false
      file.isClosed = false
      file.isDeleting = true
      return
    case 'deleted':
      file.isAbsent = true
      return
    case 'refused':
      return
  }
}

function hold(file: FilePromise, length: number): void {
  file.isPresent = true
  file.syncedLength = Math.max(file.syncedLength, length)
  file.flushedLength = Math.max(file.flushedLength, length)
}

/** A length that was not legal before leaves none: the bounds cross. */
function close(file: FilePromise, length: number): void {
  hold(file, length)
  file.lengthMax = Math.min(file.lengthMax, length)
  file.isClosed = true
}
