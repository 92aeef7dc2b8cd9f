import { mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Makes the names in a directory safe from a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Makes a directory and its parents durably: not only what is in it, also its own name survives a loss of power. One that is
 * there may have been made just before the process that made it was killed, so its name is synced all the same.
 */
export async function makeDirectoryDurably(path: string): Promise<void> {
  const target = resolve(path)
  const first = await mkdir(target, { recursive: true, mode: 0o700 })
  const highest = dirname(first ?? target)
  for (let parent = dirname(target); ; parent = dirname(parent)) {
    await syncDirectory(parent).catch((error: unknown) => {
      // What we may not read we did not write to: the name in it is somebody else's care.
      if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error
    })
    if (parent === highest || parent === dirname(parent)) return
  }
}
