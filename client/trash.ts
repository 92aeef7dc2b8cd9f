import {
  checkpointTime,
  currentName,
  parseStamped,
  planTrash,
  trashMode,
  trashRootOf,
} from '../protocol/trash.ts'
import type { DfsClient } from './dfs-client.ts'
import { failure, hasCode } from './errors.ts'
import type { FileStatus } from './file-status.ts'
import { joinPath } from './path.ts'

/** The verbs a trash is made of. */
export type TrashFileSystem = Pick<DfsClient, 'stat' | 'opendir' | 'mkdir' | 'rename' | 'rm'>

/** Something in the trash that can be put back. */
export interface TrashEntry {
  /** Where it was when it was deleted. */
  readonly originalPath: string
  /** Where it is now. */
  readonly path: string
  /** `Current`, or the checkpoint that holds it. */
  readonly checkpoint: string
  /** When it was deleted, or a bound of that: no later than its checkpoint was made. */
  readonly deletedBy: Date | undefined
  readonly status: FileStatus
}

/** Options of {@link Trash.restore}. */
export interface RestoreOptions {
  /** Path to restore to, instead of the original one. */
  readonly to?: string | undefined
  /** Checkpoint to restore from (`Current` is one); by default the newest that has the path. */
  readonly from?: string | undefined
}

/** Something in the trash that a path may have been, and when it was deleted as far as names tell. */
interface Version {
  readonly path: string
  readonly status: FileStatus | undefined
  readonly deletedMs: number
}

const moveAttemptsMax = 5

/**
 * One user's trash, in HDFS's layout (protocol/trash.ts). It is made of renames: moving a tree of any size
 * in or out is one step, and what is in the trash counts and costs as before.
 */
export class Trash {
  readonly root: string
  readonly #fs: TrashFileSystem
  readonly #current: string

  constructor(fs: TrashFileSystem, user: string) {
    this.#fs = fs
    this.root = trashRootOf(user)
    this.#current = `${this.root}/${currentName}`
  }

  /** True for the trash and everything in it: removing that is for good. */
  contains(path: string): boolean {
    return path === this.root || path.startsWith(`${this.root}/`)
  }

  /**
   * Moves a file or tree into the trash (HDFS: TrashPolicyDefault.moveToTrash) and returns where it is now.
   * @throws DfsFsError EINVAL for the trash itself and what contains it; what the namenode refuses
   */
  async moveIn(path: string): Promise<string> {
    if (this.contains(path)) {
      throw failure('INVALID_ARGUMENT', `"${path}" is in the trash already`, path)
    }
    if (this.root.startsWith(path === '/' ? '/' : `${path}/`)) {
      throw failure(
        'INVALID_ARGUMENT',
        `Cannot move "${path}" to the trash, as it contains the trash`,
        path,
      )
    }
    // Fails here for a path that does not exist, before the trash gets directories for it.
    await this.#fs.stat(path)
    let parent = this.#current + path.slice(0, path.lastIndexOf('/'))
    const name = path.slice(path.lastIndexOf('/') + 1)
    for (let attempt = 1; ; attempt += 1) {
      try {
        parent = await this.#makeParent(parent)
        const target = await this.#freeName(parent, name)
        await this.#fs.rename(path, target, { overwrite: false, toTrash: true })
        return target
      } catch (error) {
        // Another shell took the name, or the emptier made a checkpoint of what was just created.
        const isRace = hasCode(error, 'FILE_EXISTS') || hasCode(error, 'FILE_NOT_FOUND')
        if (!isRace || attempt === moveAttemptsMax) throw error
        await this.#fs.stat(path)
      }
    }
  }

  /** Everything that can be put back, newest checkpoint first; with `below`, only at or below that original path. */
  async *list(below = '/'): AsyncGenerator<TrashEntry, void, undefined> {
    for (const checkpoint of await this.#checkpoints()) {
      const at = { checkpoint, path: `${this.root}/${checkpoint}`, originalPath: '' }
      yield* this.#listTree(at, below)
    }
  }

  /**
   * Puts back what was deleted from `path`: its newest version, or the one in the checkpoint `from`. A directory
   * is put back into one that exists, entry by entry.
   *
   * @returns the paths that were put back
   * @throws DfsFsError ENOENT when the trash does not have it; EEXIST when something is in its place
   */
  async restore(path: string, { to = path, from }: RestoreOptions = {}): Promise<string[]> {
    const checkpoints = await this.#checkpoints()
    const known = from === undefined ? checkpoints : checkpoints.filter((name) => name === from)
    for (const checkpoint of known) {
      const found = await this.#newest(checkpoint, path)
      if (found !== undefined) return await this.#putBack(found, to)
    }
    const where = from === undefined ? 'the trash' : `checkpoint ${from} of the trash`
    throw failure('FILE_NOT_FOUND', `"${path}" is not in ${where}`, path)
  }

  /**
   * Deletes from the trash for good: everything, or only checkpoints from before `before`.
   * @returns the names of what was deleted
   */
  async empty({ before }: { readonly before?: Date | undefined } = {}): Promise<string[]> {
    const deleted: string[] = []
    for (const checkpoint of await this.#checkpoints()) {
      const at = timeOf(checkpoint)
      const isOld = before === undefined || (at !== undefined && at < before.getTime())
      if (!isOld) continue
      await this.#fs.rm(`${this.root}/${checkpoint}`, { recursive: true, force: true })
      deleted.push(checkpoint)
    }
    return deleted
  }

  /**
   * Does now what the namenode's emptier does from time to time: deletes checkpoints older than `intervalMs`,
   * and makes a checkpoint of `Current`.
   * @returns paths that were deleted, and the new checkpoint if there was anything to keep
   */
  async expunge(
    intervalMs: number,
  ): Promise<{ readonly deleted: readonly string[]; readonly checkpoint: string | undefined }> {
    const wallMs = Date.now()
    const utcOffsetMinutes = offsetMinutes()
    const names = await this.#checkpoints()
    const plan = planTrash(names, { wallMs, utcOffsetMinutes, intervalMs })
    const deleted = plan.expired.map((name) => `${this.root}/${name}`)
    for (const path of deleted) await this.#fs.rm(path, { recursive: true, force: true })
    if (plan.checkpoint === undefined) return { deleted, checkpoint: undefined }
    const checkpoint = `${this.root}/${plan.checkpoint}`
    await this.#fs.rename(this.#current, checkpoint, { overwrite: false })
    return { deleted, checkpoint }
  }

  /** `Current` and the checkpoints, newest first. */
  async #checkpoints(): Promise<string[]> {
    const names: string[] = []
    for (const { name, type } of await this.#entries(this.root)) {
      const isOurs = name === currentName || timeOf(name) !== undefined
      if (type === 'directory' && isOurs) names.push(name)
    }
    const rank = (name: string): number => timeOf(name) ?? Number.POSITIVE_INFINITY
    return names.sort((left, right) => {
      return rank(right) - rank(left) || right.localeCompare(left, 'en', { numeric: true })
    })
  }

  /** Entries of a directory; none when there is no such directory. */
  async #entries(path: string): Promise<FileStatus[]> {
    const found: FileStatus[] = []
    try {
      for await (const status of this.#fs.opendir(path)) found.push(status)
    } catch (error) {
      if (!hasCode(error, 'FILE_NOT_FOUND') && !hasCode(error, 'NOT_A_DIRECTORY')) throw error
    }
    return found
  }

  /**
   * Directories that the trash made on the way to what was deleted have its permissions, which few others
   * have: they are looked into, everything else is an entry.
   */
  async *#listTree(
    at: { readonly checkpoint: string; readonly path: string; readonly originalPath: string },
    below: string,
  ): AsyncGenerator<TrashEntry, void, undefined> {
    const { checkpoint } = at
    for (const status of await this.#entries(at.path)) {
      const { path } = status
      const stamped = parseStamped(status.name)
      const originalPath = `${at.originalPath}/${stamped?.name ?? status.name}`
      const isWanted = isBelow(originalPath, below)
      const leadsThere = isBelow(below, originalPath) && !isWanted
      const isWay = status.mode === trashMode && (isWanted || leadsThere)
      if (status.isDirectory() && (isWay || leadsThere)) {
        yield* this.#listTree({ checkpoint, path, originalPath }, below)
        continue
      }
      if (!isWanted) continue
      const time = stamped?.deletedMs ?? timeOf(checkpoint)
      const deletedBy = time === undefined ? undefined : new Date(time)
      yield { originalPath, path, checkpoint, deletedBy, status }
    }
  }

  /** The version of `path` in one checkpoint that was deleted last. */
  async #newest(checkpoint: string, path: string): Promise<FileStatus | undefined> {
    const start = `${this.root}/${checkpoint}`
    let found: Version[] = [{ path: start, status: undefined, deletedMs: 0 }]
    for (const name of path.slice(1).split('/')) {
      const next: Version[] = []
      for (const { path: parent, deletedMs } of found) {
        for (const status of await this.#entries(parent)) {
          const stamped = parseStamped(status.name)
          if (status.name === name) next.push({ path: status.path, status, deletedMs })
          else if (stamped?.name === name) {
            next.push({ path: status.path, status, deletedMs: stamped.deletedMs })
          }
        }
      }
      found = next
    }
    found.sort((left, right) => right.deletedMs - left.deletedMs)
    return found[0]?.status
  }

  async #putBack(found: FileStatus, to: string): Promise<string[]> {
    const existing = await this.#find(to)
    if (existing === undefined) {
      const parent = to.slice(0, to.lastIndexOf('/'))
      if (parent !== '') await this.#fs.mkdir(parent, { recursive: true })
      await this.#fs.rename(found.path, to, { overwrite: false })
      return [to]
    }
    if (!existing.isDirectory() || !found.isDirectory()) {
      throw failure(
        'FILE_EXISTS',
        `Cannot restore to "${to}": something is there; name another path to restore to`,
        to,
      )
    }
    const restored: string[] = []
    for (const child of await this.#entries(found.path)) {
      restored.push(...(await this.#putBack(child, joinPath(to, child.name))))
    }
    await this.#fs.rm(found.path, { recursive: true, force: true })
    return restored
  }

  async #find(path: string): Promise<FileStatus | undefined> {
    try {
      return await this.#fs.stat(path)
    } catch (error) {
      if (hasCode(error, 'FILE_NOT_FOUND')) return undefined
      throw error
    }
  }

  /** Makes the directories down to `parent`; a file in the way gets a directory beside it, as in HDFS. */
  async #makeParent(parent: string): Promise<string> {
    try {
      await this.#fs.mkdir(parent, { recursive: true, mode: trashMode })
      return parent
    } catch (error) {
      const isInTheWay = hasCode(error, 'FILE_EXISTS') || hasCode(error, 'NOT_A_DIRECTORY')
      if (!isInTheWay) throw error
      let blocked = parent
      while (blocked.length > this.#current.length) {
        const status = await this.#find(blocked).catch(() => undefined)
        if (status !== undefined && !status.isDirectory()) break
        blocked = blocked.slice(0, blocked.lastIndexOf('/'))
      }
      if (blocked.length <= this.#current.length) throw error
      const beside = `${blocked}${Date.now()}${parent.slice(blocked.length)}`
      await this.#fs.mkdir(beside, { recursive: true, mode: trashMode })
      return beside
    }
  }

  /** A path for `name` in the trash that nothing has. */
  async #freeName(parent: string, name: string): Promise<string> {
    const plain = `${parent}/${name}`
    if ((await this.#find(plain)) === undefined) return plain
    for (let at = Date.now(); ; at += 1) {
      const stamped = `${plain}${at}`
      if ((await this.#find(stamped)) === undefined) return stamped
    }
  }
}

function timeOf(checkpoint: string): number | undefined {
  return checkpointTime(checkpoint, offsetMinutes())
}

/** How far local time is ahead of UTC. */
function offsetMinutes(): number {
  return -new Date().getTimezoneOffset()
}

function isBelow(path: string, root: string): boolean {
  return root === '/' || path === root || path.startsWith(`${root}/`)
}
