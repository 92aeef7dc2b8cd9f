import { mkdir, open, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Logger } from '../../base/log.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import { parseSegmentName } from '../format/journal-segment.ts'

/** Every run of a backup begins a segment; so many small ones would only make the archive slow. */
const segmentsMax = 1000
/** Says through which transaction the last backup has everything. */
const takenName = 'taken-through'

export interface ArchivedSegment {
  readonly name: string
  readonly firstTxid: TxId
  readonly bytes: number
}

export interface JournalArchiveOptions {
  readonly directory: string
  /** `dfs.namenode.journal.archive.bytes`; with 0 segments are deleted, except while a backup reads. */
  readonly bytesMax: number
  readonly logger: Logger
}

/**
 * Segments that the store has taken over, kept for the next backup: it continues from the one before as long
 * as none in between is gone. Bounded: the oldest go first, whether or not a backup took them.
 */
export class JournalArchive {
  readonly #options: JournalArchiveOptions
  #holders = 0

  constructor(options: JournalArchiveOptions) {
    this.#options = options
  }

  pathOf(name: string): string {
    return join(this.#options.directory, name)
  }

  /** Takes over the segment at `path`; durable when it resolves. */
  async take(path: string, name: string): Promise<void> {
    const { directory, bytesMax } = this.#options
    if (bytesMax === 0 && this.#holders === 0) {
      await unlink(path)
      return
    }
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await rename(path, this.pathOf(name))
    await syncDirectory(directory)
    await this.prune()
  }

  /** What is there, in the order of the journal. */
  async list(): Promise<readonly ArchivedSegment[]> {
    const names = await readdir(this.#options.directory).catch((): string[] => [])
    const segments: ArchivedSegment[] = []
    for (const name of names.sort()) {
      const firstTxid = parseSegmentName(name)
      if (firstTxid === undefined) continue
      segments.push({ name, firstTxid, bytes: (await stat(this.pathOf(name))).size })
    }
    return segments
  }

  /** Keeps everything until the returned function is called. */
  hold(): () => Promise<void> {
    this.#holders += 1
    let isHeld = true
    return async () => {
      if (!isHeld) return
      isHeld = false
      this.#holders -= 1
      await this.prune()
    }
  }

  /** Notes what a backup has durably. */
  async taken(through: TxId): Promise<void> {
    const { directory } = this.#options
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const part = this.pathOf(`${takenName}.part`)
    await writeFile(part, `${through}\n`)
    await rename(part, this.pathOf(takenName))
  }

  /** Deletes the oldest segments beyond `bytesMax`. */
  async prune(bytesMax = this.#options.bytesMax): Promise<void> {
    if (this.#holders > 0) return
    const segments = await this.list()
    let bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
    for (const [index, segment] of segments.entries()) {
      if (bytes <= bytesMax && segments.length - index <= segmentsMax) return
      bytes -= segment.bytes
      await this.#warnUnlessTaken(segment, segments[index + 1])
      await unlink(this.pathOf(segment.name))
    }
  }

  async #warnUnlessTaken(segment: ArchivedSegment, next?: ArchivedSegment): Promise<void> {
    const text = await readFile(this.pathOf(takenName), 'utf8').catch(() => undefined)
    if (text === undefined) return
    const taken = txId(Number(text))
    if (next !== undefined && next.firstTxid <= taken + 1) return
    this.#options.logger.warn('journal-archive-overrun', {
      ...{ segment: segment.name, takenThrough: taken, bytesMax: this.#options.bytesMax },
      advice: 'run dfs namenode backup more often or raise dfs.namenode.journal.archive.bytes',
    })
  }
}

async function syncDirectory(directory: string): Promise<void> {
  for (const path of [directory, dirname(directory)]) {
    const handle = await open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}
