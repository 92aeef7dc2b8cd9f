import {
  type Content,
  contentLength,
  describeContent,
  isPrefix,
  isSame,
  type Safety,
} from './content.ts'

/** How much of a file that is being written must stay, whatever happens to its writer. */
export interface Floor {
  /** Bytes that were flushed to the end of some packet: they survive the end of every process. */
  flushed: number
  /** Bytes that were synced: they survive everything. */
  synced: number
}

/** What may be at a path. */
export type Expectation =
  | { readonly kind: 'absent' }
  | { readonly kind: 'directory' }
  /** A completed file: all of it, for ever. */
  | { readonly kind: 'file'; readonly content: Content }
  /** A file whose writer did not get to the end: any beginning of the content down to the floor. */
  | { readonly kind: 'partial'; readonly content: Content; readonly floor: Floor }

/** What somebody found at a path. */
export type Finding =
  | { readonly kind: 'absent' }
  | { readonly kind: 'directory' }
  | {
      readonly kind: 'file'
      readonly content: Content
      readonly isOpen: boolean
      /** Of an open file the last block was read, too, as far as a reader may. */
      readonly reachesEnd?: boolean
    }

export const absent: Expectation = { kind: 'absent' }

/** Undoes the preparations of one operation. */
export type Undo = () => void

/**
 * A file system as its clients must see it. An acknowledged operation leaves one possibility per path; one whose
 * outcome is unknown leaves several, and any of them may be found, but nothing else.
 */
export class FileSystemModel {
  readonly #possible = new Map<string, readonly Expectation[]>()
  #powerLostAt = -1

  get paths(): readonly string[] {
    return [...this.#possible.keys()]
  }

  expectations(path: string): readonly Expectation[] {
    return this.#possible.get(path) ?? [absent]
  }

  /** What is possible now, for a look that begins now: floors that rise meanwhile do not count. */
  snapshot(path: string): readonly Expectation[] {
    return this.expectations(path).map((one) =>
      one.kind === 'partial' ? { ...one, floor: { ...one.floor } } : one,
    )
  }

  /** An operation on `paths` begins: until it is acknowledged, what it does may or may not be seen. */
  begin(changes: ReadonlyMap<string, readonly Expectation[]>): Undo {
    const before = [...changes.keys()].map((path) => [path, this.expectations(path)] as const)
    for (const [path, added] of changes) {
      this.#possible.set(path, merged(this.expectations(path), added))
    }
    return () => {
      for (const [path, expectations] of before) this.#possible.set(path, expectations)
    }
  }

  /** An operation was acknowledged: these and only these are possible now. */
  acknowledge(changes: ReadonlyMap<string, readonly Expectation[]>): void {
    for (const [path, expectations] of changes) this.#possible.set(path, expectations)
  }

  /** A machine lost power: what was flushed and not synced may be gone. */
  powerLost(now: number): void {
    this.#powerLostAt = now
    for (const expectations of this.#possible.values()) {
      for (const expectation of expectations) {
        if (expectation.kind === 'partial') expectation.floor.flushed = expectation.floor.synced
      }
    }
  }

  /** A writer learned that its file is safe up to `length`; an ack may be older than a loss of power. */
  raiseFloor(floor: Floor, length: number, safety: Safety, sentAt: number): void {
    if (safety === 'hsync') floor.synced = length
    if (safety === 'hsync' || sentAt > this.#powerLostAt) floor.flushed = length
  }

  /** Paths at or below `root` that may exist. */
  below(root: string): readonly string[] {
    return this.paths.filter((path) => path === root || path.startsWith(`${root}/`))
  }

  /**
   * Says what is wrong with a finding while somebody works on the path, or nothing.
   *
   * @param before what was possible when the look began: what it found may be from then
   */
  glance(path: string, finding: Finding, before: readonly Expectation[]): string | undefined {
    const expectations = [...before, ...this.expectations(path)]
    if (expectations.some((expectation) => allows(expectation, finding, 'meanwhile')))
      return undefined
    return this.#complaint(path, finding)
  }

  /**
   * Says what is wrong with a finding, or nothing. Nobody works on the path: what was found stays the only
   * possibility.
   */
  judge(path: string, finding: Finding, when: 'meanwhile' | 'healed'): string | undefined {
    const expectations = this.expectations(path)
    const fitting = expectations.filter((expectation) => allows(expectation, finding, when))
    if (fitting.length > 0) {
      if (this.#possible.has(path))
        this.#possible.set(
          path,
          fitting.map((one) => settled(one, finding)),
        )
      return undefined
    }
    return this.#complaint(path, finding)
  }

  #complaint(path: string, finding: Finding): string {
    const expected = this.expectations(path).map(describeExpectation).join(' or ')
    return `${path}: found ${describeFinding(finding)}, expected ${expected}`
  }
}

function allows(expectation: Expectation, finding: Finding, when: 'meanwhile' | 'healed'): boolean {
  switch (expectation.kind) {
    case 'absent':
    case 'directory':
      return finding.kind === expectation.kind
    case 'file':
      return (
        finding.kind === 'file' && !finding.isOpen && isSame(finding.content, expectation.content)
      )
    case 'partial': {
      const { content, floor } = expectation
      if (finding.kind !== 'file' || !isPrefix(finding.content, content)) return false
      const length = contentLength(finding.content)
      if (finding.reachesEnd === true) return length >= Math.max(floor.flushed, floor.synced)
      // Of a file that stays open the last block is gone; of others it may be still to be recovered.
      if (finding.isOpen) return when === 'meanwhile' || length >= floor.synced
      return length >= Math.max(floor.flushed, floor.synced)
    }
  }
}

/** An unfinished file that is closed stays as it is. */
function settled(expectation: Expectation, finding: Finding): Expectation {
  const isClosed = finding.kind === 'file' && !finding.isOpen && expectation.kind === 'partial'
  return isClosed ? { kind: 'file', content: finding.content } : expectation
}

function merged(
  first: readonly Expectation[],
  second: readonly Expectation[],
): readonly Expectation[] {
  const keys = new Set(first.map(describeExpectation))
  return [...first, ...second.filter((expectation) => !keys.has(describeExpectation(expectation)))]
}

function describeExpectation(expectation: Expectation): string {
  switch (expectation.kind) {
    case 'absent':
    case 'directory':
      return expectation.kind
    case 'file':
      return `file [${describeContent(expectation.content)}]`
    case 'partial': {
      const { content, floor } = expectation
      return `at least ${floor.flushed} (synced ${floor.synced}) bytes of [${describeContent(content)}]`
    }
  }
}

function describeFinding(finding: Finding): string {
  if (finding.kind !== 'file') return finding.kind
  const state = finding.isOpen ? 'open file' : 'file'
  return `${state} [${describeContent(finding.content)}]`
}
