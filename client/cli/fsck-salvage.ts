import { pipeline } from 'node:stream/promises'
import type { FileHealth } from '../../protocol/fsck-tally.ts'
import type { FileSystem } from './file-system.ts'

const lostFound = '/lost+found'

/** A stretch of a file, `[start, end)`. */
interface Stretch {
  readonly start: number
  readonly end: number
}

export interface Salvage {
  readonly directory: string
  readonly pieces: number
  readonly bytes: number
}

/**
 * Copies every unbroken run of readable blocks of a file to a file of its own, `/lost+found/PATH/0`, `1`, …, as
 * HDFS's fsck -move does; the file itself stays as it is.
 *
 * @throws DfsFsError when something cannot be written, or read although a datanode said that it has it
 */
export async function copyToLostFound(
  fs: FileSystem,
  health: FileHealth,
  signal: AbortSignal,
): Promise<Salvage> {
  const directory = await freeDirectory(fs, lostFound + health.path)
  await fs.mkdir(directory, { recursive: true, signal })
  let bytes = 0
  const stretches = readableStretches(health)
  for (const [index, { start, end }] of stretches.entries()) {
    await pipeline(
      fs.createReadStream(health.path, { start, end: end - 1, signal }),
      fs.createWriteStream(`${directory}/${index}`, { overwrite: false, signal }),
    )
    bytes += end - start
  }
  return { directory, pieces: stretches.length, bytes }
}

function readableStretches({ blocks }: FileHealth): Stretch[] {
  const stretches: Stretch[] = []
  for (const { isReadable, offset, length } of blocks) {
    if (!isReadable || length === 0) continue
    const last = stretches.at(-1)
    if (last?.end === offset) stretches[stretches.length - 1] = { ...last, end: offset + length }
    else stretches.push({ start: offset, end: offset + length })
  }
  return stretches
}

/** `path`, or with a number behind it when an earlier run has been there. */
async function freeDirectory(fs: FileSystem, path: string): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    const candidate = attempt === 0 ? path : `${path}.${attempt}`
    if (!(await fs.exists(candidate))) return candidate
  }
}
