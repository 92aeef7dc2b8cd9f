import { open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLogger } from '../../base/log.ts'
import { systemClock } from '../../base/system.ts'
import { type NamenodeConfig, namenodeConfig } from '../../namenode/config.ts'
import { parseSegmentName, scanSegment } from '../../namenode/format/journal-segment.ts'
import { lockDirectory } from '../../namenode/shell/directory.ts'
import { JournalArchive } from '../../namenode/shell/journal-archive.ts'
import { SqliteStore } from '../../namenode/shell/store.ts'
import { DfsError } from '../../protocol/errors.ts'
import { txId } from '../../protocol/ids.ts'
import { withSettings } from '../../protocol/settings.ts'
import { readPiece } from './directory.ts'
import type { BackupSource, SourceSegment } from './source.ts'

const databaseName = 'namespace.sqlite'

interface FoundSegment extends SourceSegment {
  readonly path: string
  readonly lastTxid: number
}

/** The directory of a namenode that does not run; nobody can start it while the backup is taken. */
export function offlineSource(directory: string): BackupSource {
  return {
    async begin(through, isFull) {
      const config = namenodeConfig(withSettings({}), { directory })
      await stat(config.database).catch((error: unknown) => {
        throw new DfsError('FILE_NOT_FOUND', `"${directory}" holds no namespace to back up`, {
          cause: error,
        })
      })
      const lock = await lockDirectory(config)
      const store = await SqliteStore.open(config.database).catch(async (error: unknown) => {
        await lock.release()
        throw error
      })
      const end = async (): Promise<void> => {
        await store.close()
        await lock.release()
      }
      try {
        const frozen = await store.freeze()
        const found = await findSegments(config, store.identity.clusterId)
        const txid = Math.max(frozen.txid, found.at(-1)?.lastTxid ?? 0)
        const isContinued =
          through === txid || found.some((segment) => segment.firstTxid <= through + 1)
        if (through > txid) throw otherHistory(through, txid)
        const needsDatabase = isFull || through < 0 || !isContinued
        const after = Math.min(
          isContinued && through >= 0 ? through : Infinity,
          needsDatabase ? frozen.txid : Infinity,
        )
        const segments = found.filter(({ lastTxid }) => lastTxid > after)
        const pathByName = new Map(segments.map(({ name, path }) => [name, path]))
        return {
          ...{ clusterId: store.identity.clusterId, time: systemClock.wall(), txid, segments, end },
          database: needsDatabase ? { name: databaseName, ...frozen } : undefined,
          read: async (name, offset, length) => {
            const file = await open(pathByName.get(name) ?? config.database, 'r')
            try {
              return await readPiece(file, offset, length)
            } finally {
              await file.close()
            }
          },
        }
      } catch (error) {
        await end()
        throw error
      }
    },
  }
}

function otherHistory(through: number, txid: number): DfsError {
  return new DfsError(
    'INVALID_ARGUMENT',
    `The backup holds transactions up to ${through}, this directory only up to ${txid}: it is an older ` +
      'state or another history; give a new directory for its backup',
  )
}

/** Live and archived segments, each as far as it is whole. */
async function findSegments(config: NamenodeConfig, clusterId: string): Promise<FoundSegment[]> {
  const archive = new JournalArchive({
    ...{ directory: config.journalArchive, bytesMax: Infinity, logger: silentLogger },
  })
  const paths = (await archive.list()).map(({ name }) => ({ name, path: archive.pathOf(name) }))
  for (const name of (await readdir(config.journal).catch((): string[] => [])).sort()) {
    paths.push({ name, path: join(config.journal, name) })
  }
  const segments: FoundSegment[] = []
  for (const [index, { name, path }] of paths.entries()) {
    const firstTxid = parseSegmentName(name)
    if (firstTxid === undefined) continue
    const bytes = await readFile(path)
    const isLast = index === paths.length - 1
    const records = scanSegment({ file: path, bytes, firstTxid, isLast, clusterId })
    let lastTxid = txId(firstTxid - 1)
    let step = records.next()
    for (; step.done !== true; step = records.next()) lastTxid = step.value.txid
    if (lastTxid < firstTxid) continue
    segments.push({ name, path, firstTxid, lastTxid, bytes: step.value.validBytes })
  }
  return segments
}
