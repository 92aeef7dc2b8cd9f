import { type DfsClient, DfsFsError, type FileStatus } from '../index.ts'
import type { Caller } from './authentication.ts'
import { isTemporaryName, type TemporaryPrefix } from './temporary-name.ts'
import type { WorkInFlight } from './work.ts'

/** Parameters of {@link Leftovers}. */
export interface LeftoversOptions {
  /** How old a file must be. */
  readonly ageMs?: number
  /** How long a directory is left alone. */
  readonly periodMs?: number
  readonly now?: () => number
}

const dayMs = 86_400_000
const hourMs = 3_600_000
const directoriesMax = 10_000
const prefixes: readonly TemporaryPrefix[] = ['.uploading-', '.webhdfs-']

/**
 * Removes what gateways that were killed left behind in the directories that this one stores into. A file goes when
 *
 * 1. its name is one that only a gateway makes ({@link isTemporaryName});
 * 2. it is older than a day and nobody writes it: the namenode has closed it. A gateway renames what it has closed within
 *    moments, so nothing that is under way looks like that;
 * 3. it is no resumable upload: those have a file `NAME.json` beside them and a life of their own.
 *
 * It is removed as the user who stores there; whose rights do not suffice leaves it.
 */
export class Leftovers {
  readonly #ageMs: number
  readonly #periodMs: number
  readonly #now: () => number
  /** When each directory was looked at last, longest ago first. */
  readonly #visited = new Map<string, number>()

  constructor({ ageMs = dayMs, periodMs = hourMs, now = Date.now }: LeftoversOptions = {}) {
    this.#ageMs = ageMs
    this.#periodMs = periodMs
    this.#now = now
  }

  /** Looks at a directory unless that was done a while ago; returns how many files were removed. */
  async visit(client: DfsClient, directory: string): Promise<number> {
    const now = this.#now()
    if ((this.#visited.get(directory) ?? Number.NEGATIVE_INFINITY) > now - this.#periodMs) return 0
    this.#visited.delete(directory)
    this.#visited.set(directory, now)
    const [oldest] = this.#visited.keys()
    if (this.#visited.size > directoriesMax && oldest !== undefined) this.#visited.delete(oldest)
    let count = 0
    try {
      for (const prefix of prefixes) count += await this.#sweep(client, directory, prefix)
    } catch (error) {
      // Whatever is in the way of tidying up is no matter of the request that gave the occasion.
      if (!(error instanceof DfsFsError)) throw error
    }
    return count
  }

  async #sweep(client: DfsClient, directory: string, prefix: string): Promise<number> {
    const old: FileStatus[] = []
    const uploads = new Set<string>()
    for await (const entry of client.opendir(directory, { after: prefix })) {
      if (!entry.name.startsWith(prefix)) break
      if (entry.name.endsWith('.json')) uploads.add(entry.name.slice(0, -'.json'.length))
      const isOld = entry.mtimeMs < this.#now() - this.#ageMs
      if (isOld && entry.isFile() && isTemporaryName(entry.name)) old.push(entry)
    }
    let count = 0
    for (const { name, path } of old) {
      if (uploads.has(name) || !(await client.isFileClosed(path))) continue
      // One that was closed since it was listed is young again: its gateway is about to rename it.
      if ((await client.stat(path)).mtimeMs >= this.#now() - this.#ageMs) continue
      await client.rm(path, { force: true })
      count += 1
    }
    return count
  }
}

/** What faces call when somebody has stored something in a directory; the answer does not wait for it. */
export function leftoversSweeper(work: WorkInFlight): (caller: Caller, directory: string) => void {
  const leftovers = new Leftovers()
  return ({ client, hold }, directory) => {
    const release = hold()
    work.track(leftovers.visit(client, directory).then(release, release))
  }
}
