/**
 * Bytes of a file that is read in order, asked for before they are wanted: a kernel asks for at most a mebibyte at a time, and to start a
 * read at a datanode for each of them takes longer than the bytes do.
 *
 *     |—— passed ——|—— segment ——|—— segment ——|—— not asked for ——|
 *                       ^ next: where who reads in order goes on
 *
 * Segments follow each other without a gap and double in length up to a bound. A kernel's requests overtake each other a little:
 * what was passed is kept for one segment. A read anywhere else drops all of them.
 */
import type { SpoolMemory } from './spool.ts'

const firstBytes = 1024 * 1024
const segmentBytesMax = 4 * 1024 * 1024
/** Bytes read in order before something is asked for ahead; small files are read whole without. */
const inOrderMin = 256 * 1024
/** How far requests that are in order overtake each other. */
const slackBytes = 2 * 1024 * 1024

interface Segment {
  readonly start: number
  readonly end: number
  readonly bytes: Promise<Buffer>
}

/** Fills a buffer from a position of the file; returns how many bytes there were. */
export type ReadAt = (buffer: Buffer, position: number) => Promise<number>

/** What is read ahead of one file. The bytes of a file do not change while there is one of these for it. */
export class ReadAhead {
  readonly #memory: SpoolMemory
  readonly #readAt: ReadAt
  readonly #size: number
  #segments: Segment[] = []
  /** Where reading in order goes on, and how many bytes were read so up to there. */
  #next = 0
  #inOrder = 0

  /** @param size bytes of the file */
  constructor(readAt: ReadAt, size: number, memory: SpoolMemory) {
    this.#readAt = readAt
    this.#size = size
    this.#memory = memory
  }

  /** The bytes from `position` on in pieces, `size` of them or as many as there are; nobody changes them. */
  async read(position: number, size: number): Promise<readonly Buffer[]> {
    const end = Math.min(position + size, this.#size)
    if (position >= end) return []
    this.#note(position, end)
    const found = this.#covering(position, end)
    if (found === undefined) return [await this.#direct(position, end)]
    try {
      return await piecesOf(found, position, end)
    } catch {
      // What failed may have been asked for long ago: it is asked for again, and tells why when it still fails.
      this.drop()
      return [await this.#direct(position, end)]
    }
  }

  /** Gives the memory back. */
  drop(): void {
    for (const segment of this.#segments) this.#give(segment)
    this.#segments = []
  }

  /** Takes in where somebody reads, and asks for what follows when that is in order. */
  #note(position: number, end: number): void {
    const isInOrder = position <= this.#next + slackBytes && position >= this.#next - slackBytes
    if (!isInOrder || this.#next === 0) {
      this.drop()
      this.#inOrder = 0
      this.#next = position
    }
    this.#inOrder += Math.max(0, end - this.#next)
    this.#next = Math.max(this.#next, end)
    if (this.#inOrder < inOrderMin) return
    this.#forget(position - slackBytes)
    const first = this.#segments.at(-1)?.end ?? position
    // As much is asked for ahead as the next segment has.
    for (let start = first; start < Math.min(this.#size, this.#next + this.#length); ) {
      const stop = Math.min(this.#size, start + this.#length)
      if (!this.#memory.take(stop - start)) return
      this.#segments.push(this.#ask(start, stop))
      start = stop
    }
  }

  /** Bytes of the next segment. */
  get #length(): number {
    const last = this.#segments.at(-1)
    if (last === undefined) return firstBytes
    return Math.min(segmentBytesMax, 2 * (last.end - last.start))
  }

  #ask(start: number, end: number): Segment {
    const bytes = this.#direct(start, end)
    bytes.catch(() => undefined) // whoever reads there meets it
    return { start, end, bytes }
  }

  async #direct(start: number, end: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(end - start)
    return buffer.subarray(0, await this.#readAt(buffer, start))
  }

  #forget(position: number): void {
    while (this.#segments.length > 1) {
      const [oldest] = this.#segments
      if (oldest === undefined || oldest.end > position) return
      this.#segments.shift()
      this.#give(oldest)
    }
  }

  #give({ start, end }: Segment): void {
    this.#memory.give(end - start)
  }

  /** The segments that have a range, all of it. */
  #covering(start: number, end: number): readonly Segment[] | undefined {
    const found = this.#segments.filter((segment) => segment.start < end && segment.end > start)
    const isWhole = (found[0]?.start ?? end) <= start && (found.at(-1)?.end ?? start) >= end
    return isWhole ? found : undefined
  }
}

async function piecesOf(
  segments: readonly Segment[],
  position: number,
  end: number,
): Promise<readonly Buffer[]> {
  const pieces: Buffer[] = []
  for (const segment of segments) {
    const bytes = await segment.bytes
    const from = Math.max(0, position - segment.start)
    pieces.push(bytes.subarray(from, Math.min(segment.end, end) - segment.start))
    // Somebody cut the file meanwhile.
    if (bytes.length < segment.end - segment.start) break
  }
  return pieces
}
