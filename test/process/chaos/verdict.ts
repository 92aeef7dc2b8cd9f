/** What is wrong with a file, going by what was promised of it and what was found. */
import { firstDifference } from './content.ts'
import type { FilePromise } from './ledger.ts'

/** A promise, and whether bytes that were only flushed are part of it. */
export interface CheckedFile extends FilePromise {
  readonly isFlushHeld: boolean
}

/** What is wrong with a file. */
export interface Finding {
  readonly kind: 'lost' | 'corrupt' | 'unreadable' | 'open'
  readonly path: string
  readonly detail: string
}

/** What was read under one of the names of a file. */
export interface FoundFile {
  readonly path: string
  readonly content: Buffer
}

/**
 * Whether the end of a file may be nowhere any more: it was only flushed, and power was lost since. The namenode cannot know
 * that nothing of it was synced, so the file stays open then (N17).
 */
export function mayLackItsEnd(file: CheckedFile): boolean {
  const { isFlushHeld, isClosed, syncedLength, flushedLength } = file
  return !isFlushHeld && !isClosed && flushedLength > syncedLength
}

/** Compares what was found under the names of a file with what may be there; undefined when it is right. */
export function judge(file: CheckedFile, found: readonly FoundFile[]): Finding | undefined {
  const path = file.paths.join(' or ')
  const [first, second] = found
  if (first === undefined) {
    if (!file.isPresent) return undefined
    return { kind: 'lost', path, detail: 'the file is not there' }
  }
  if (file.isAbsent) return { kind: 'corrupt', path, detail: 'it was deleted and is there again' }
  if (second !== undefined) return { kind: 'corrupt', path, detail: 'it is there under both names' }
  return judgeContent(file, first)
}

function judgeContent(file: CheckedFile, { path, content }: FoundFile): Finding | undefined {
  const { truncation, lengthMax, syncedLength, flushedLength } = file
  const lengthMin = file.isFlushHeld ? Math.max(syncedLength, flushedLength) : syncedLength
  const legal =
    truncation === undefined
      ? `[${lengthMin}, ${lengthMax}]`
      : `{${truncation.to}, ${truncation.from}}`
  const where = `${content.length} bytes of ${legal}`
  const difference = firstDifference(file.parts, content)
  if (difference !== undefined)
    return { kind: 'corrupt', path, detail: `${where}: wrong from byte ${difference}` }
  if (content.length < lengthMin) return { kind: 'lost', path, detail: where }
  if (content.length > lengthMax) return { kind: 'corrupt', path, detail: where }
  if (truncation !== undefined && ![truncation.to, truncation.from].includes(content.length))
    return { kind: 'corrupt', path, detail: where }
  return undefined
}
