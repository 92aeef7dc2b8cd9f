/**
 * Ledgers: what the cluster acknowledged to one writer, one JSON object a line, each synced to a disk that no fault touches.
 * A line about an attempt is written before it, a line about an acknowledgement after it. A writer that is killed between
 * an acknowledgement and its line makes the check weaker by that one operation, never wrong.
 */
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs'

/** One line. `atMs` is the wall clock, for comparing with the faults. */
export type LedgerLine = { readonly path: string; readonly atMs: number } & (
  | { readonly kind: 'begin'; readonly seed: number; readonly lengthMax: number }
  /** `length` bytes were acknowledged by hflush, hsync or close. */
  | { readonly kind: 'flushed' | 'synced' | 'closed'; readonly length: number }
  /** More bytes may follow behind a file that was closed. */
  | { readonly kind: 'appending'; readonly lengthMax: number }
  | { readonly kind: 'truncating'; readonly length: number }
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

  constructor(file: string) {
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

/** What is promised of one file. */
export interface FilePromise {
  readonly seed: number
  /** Every place where it may be: one, two while a rename is undecided. */
  paths: string[]
  /** It must be there. */
  isPresent: boolean
  /** It must not be there. */
  isAbsent: boolean
  syncedLength: number
  flushedLength: number
  lengthMax: number
  /** Acknowledged as closed, and nothing was begun since. */
  isClosed: boolean
  /** When the oldest byte that is only flushed was flushed, or earlier. */
  flushedSinceMs: number
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
      const begun = {
        seed: line.seed,
        paths: [line.path],
        isPresent: false,
        isAbsent: false,
        syncedLength: 0,
        flushedLength: 0,
        lengthMax: line.lengthMax,
        isClosed: false,
        flushedSinceMs: line.atMs,
      }
      byPath.set(line.path, begun)
      all.push(begun)
      continue
    }
    const file = byPath.get(line.path)
    if (file === undefined) throw new Error(`a ledger says "${line.kind}" of unknown ${line.path}`)
    follow(file, line, byPath)
  }
  return all
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
      file.flushedLength = line.length
      return
    case 'synced':
      file.isPresent = true
      file.syncedLength = line.length
      file.flushedLength = line.length
      return
    case 'closed':
      file.isPresent = true
      file.syncedLength = line.length
      file.flushedLength = line.length
      file.lengthMax = line.length
      file.isClosed = true
      return
    case 'appending':
      file.lengthMax = line.lengthMax
      file.isClosed = false
      return
    case 'truncating':
      file.syncedLength = Math.min(file.syncedLength, line.length)
      file.flushedLength = Math.min(file.flushedLength, line.length)
      file.isClosed = false
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
      return
    case 'deleted':
      file.isAbsent = true
      return
    case 'refused':
      return
  }
}
