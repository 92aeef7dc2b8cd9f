import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DfsError } from '../../protocol/errors.ts'
import { lockFileName } from '../format/block-file.ts'
import { errnoOf, removeFile } from './files.ts'

/** A held lock of a data directory. */
export interface DirectoryLock {
  release(): Promise<void>
}

/**
 * Takes the lock file of `directory`, which names the holder as `<pid> <start time of the process>`.
 * A lock whose holder is gone (its pid is free, or belongs to a process started later) is taken over.
 *
 * @throws {@link DfsError} BUSY when a live process holds it
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, lockFileName)
  const own = `${process.pid} ${(await startTime(process.pid)) ?? 'unknown'}\n`
  const draft = `${path}.${process.pid}.${process.hrtime.bigint().toString(36)}`
  await writeFile(draft, own, { flag: 'wx' })
  try {
    // A second try follows the removal of a dead holder's lock, a third one a lost race for it.
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      if (await linked(draft, path)) return { release: () => removeFile(path) }
      await removeUnlessHeld(path)
    }
    throw new DfsError('BUSY', `Cannot lock "${directory}": others keep taking the lock`, {
      path: directory,
    })
  } finally {
    await unlink(draft)
  }
}

async function linked(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

async function removeUnlessHeld(path: string): Promise<void> {
  const holder = await readIfPresent(path)
  if (holder === undefined) return
  const [pid = '', started = ''] = holder.trim().split(' ')
  const current = await startTime(Number(pid))
  if (current !== undefined && (started === 'unknown' || started === current)) {
    throw new DfsError('BUSY', `Cannot lock "${path}": process ${pid} uses the directory`, { path })
  }
  // Renamed first: of two processes that both saw the dead holder, one gets it, the other ENOENT.
  const grave = `${path}.stale.${process.pid}`
  try {
    await rename(path, grave)
    await unlink(grave)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** Start time of a process in clock ticks since boot; `undefined` when there is none with that pid. */
async function startTime(pid: number): Promise<string | undefined> {
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  const stat = await readIfPresent(`/proc/${pid}/stat`)
  if (stat !== undefined) {
    // Fields are counted after the command name, which may hold anything but ends at the last ")".
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  }
  try {
    process.kill(pid, 0)
    return 'unknown'
  } catch (error) {
    return errnoOf(error) === 'EPERM' ? 'unknown' : undefined
  }
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return undefined
    throw error
  }
}
