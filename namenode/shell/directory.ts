import { existsSync, writeFileSync } from 'node:fs'
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { Clock } from '../../base/clock.ts'
import type { Prng } from '../../base/prng.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { NamenodeConfig } from '../config.ts'
import { parseSegmentName } from '../format/journal-segment.ts'
import { isOutOfSpace } from './disk-space.ts'
import { makeDirectoryDurably, syncDirectory } from './durable-directory.ts'
import { type FileLock, tryLockFile } from './file-lock.ts'
import type { NamespaceIdentity } from './namespace-store.ts'
import { damagedNamespace } from './sqlite-connection.ts'
import { SqliteStore } from './store.ts'
import { DatabaseCheck } from './store-checks.ts'

/**
 * Creates the directory when it is missing and takes it for this process.
 * @throws {@link DfsError} IO_ERROR naming the process that holds it.
 */
export async function lockDirectory(config: NamenodeConfig): Promise<FileLock> {
  await makeDirectoryDurably(config.directory)
  const lock = await tryLockFile(config.lock)
  if (lock === undefined) {
    const pid = await readFile(config.pidFile, 'utf8').catch(() => '')
    const holder = pid === '' ? 'another process' : `process ${pid.trim()}`
    const advice = pid === '' ? '' : `; to stop it, run: kill ${pid.trim()}`
    throw new DfsError(
      'IO_ERROR',
      `Namenode directory "${config.directory}" is in use by ${holder}${advice}`,
      { path: config.directory },
    )
  }
  await writeFile(config.pidFile, `${process.pid}\n`).catch((error: unknown) => {
    // The file only helps messages, and a full disk must not keep the namespace from being read.
    if (!isOutOfSpace(error)) throw error
  })
  return lock
}

/** What a format needs from outside. */
export interface FormatSources {
  readonly clock: Clock
  readonly prng: Prng
  readonly uuid: () => string
}

/**
 * Opens the namespace in the directory; formats it first when the directory holds nothing of one.
 * @throws {@link DfsError} CORRUPTION when there is a journal and no namespace, which no format may bury;
 *   otherwise as {@link SqliteStore.open}. When the last process met damage, every page is read first.
 */
export async function openNamespace(
  config: NamenodeConfig,
  sources: FormatSources,
): Promise<{ store: SqliteStore; isNew: boolean }> {
  const formatting = `${config.database}.formatting`
  const isNew = !existsSync(config.database)
  if (isNew) {
    const files = await readdir(config.journal).catch((): string[] => [])
    if (files.some((name) => parseSegmentName(name) !== undefined)) {
      throw new DfsError(
        'CORRUPTION',
        `"${config.journal}" holds a journal but "${config.database}" is missing. Bring the namespace ` +
          'back from a backup: dfs namenode restore --from BACKUP --to NEWDIR; to begin an empty one, move ' +
          `the journal away: mv ${config.journal} ${config.journal}.old`,
        { path: config.database },
      )
    }
    await formatInto(formatting, identityFrom(sources))
    await renameDurably(formatting, config)
  }
  await checkAfterDamage(config)
  return { store: await SqliteStore.open(config.database), isNew }
}

/** Makes the next start read every page before it serves anything. */
export function noteDamage({ damageFile }: NamenodeConfig, error: Error): void {
  try {
    // The process ends right after this.
    writeFileSync(damageFile, `${error.message}\n`)
  } catch {
    // A disk that takes nothing more has been told of already.
  }
}

/** Damage that a query met may be one that a start does not look at. */
async function checkAfterDamage({ damageFile, database }: NamenodeConfig): Promise<void> {
  if (!existsSync(damageFile)) return
  const findings = await new DatabaseCheck(database).run()
  if (findings.length > 0) throw damagedNamespace(database, findings.join('; '))
  await rm(damageFile)
}

/** Formats beside the final name, so that a crash leaves nothing or a whole namespace. */
async function formatInto(file: string, identity: NamespaceIdentity): Promise<void> {
  for (const suffix of ['', '-wal', '-shm', '-journal']) await rm(file + suffix, { force: true })
  await SqliteStore.format(file, identity)
}

async function renameDurably(from: string, config: NamenodeConfig): Promise<void> {
  const file = await open(from, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(from, config.database)
  await syncDirectory(config.directory)
}

function identityFrom({ clock, prng, uuid }: FormatSources): NamespaceIdentity {
  const cTime = clock.wall()
  const half = 2 ** 31
  return {
    clusterId: `CID-${uuid()}`,
    namespaceId: 1 + prng.below(half - 1),
    blockPoolId: `BP-${prng.below(half)}-127.0.0.1-${cTime}`,
    cTime,
  }
}
