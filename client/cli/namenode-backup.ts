/** `dfs namenode backup` and `dfs namenode restore`. */
import { resolve } from 'node:path'
import { offlineSource } from '../../ops/backup/offline-source.ts'
import {
  type Moment,
  type RestoreReport,
  restore,
  timeText,
  type VerifyReport,
  verifyBackup,
} from '../../ops/backup/restore.ts'
import { type BackupReport, backUp } from '../../ops/backup/run.ts'
import { onlineSource } from '../../ops/backup/source.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { CommandContext } from './command.ts'
import type { NamenodeOptions } from './commands/namenode.ts'
import { CommandError, UsageError } from './failures.ts'
import { humanSize } from './format.ts'

export async function runBackup(context: CommandContext, options: NamenodeOptions): Promise<void> {
  const { to, from, full, keep, verify } = options
  if (to === undefined) throw new UsageError('backup needs --to DIR')
  const directory = resolve(context.io.cwd, to)
  if (verify) {
    await show(context, options, () => verifyBackup(directory), verifyLines(directory))
    return
  }
  const source =
    from === undefined
      ? onlineSource((await context.session.fs()).operator)
      : offlineSource(resolve(context.io.cwd, from))
  const bounds = { isFull: full, keep: keptCount(keep) }
  await show(context, options, () => backUp(source, directory, bounds), backupLines)
}

export async function runRestore(context: CommandContext, options: NamenodeOptions): Promise<void> {
  const { from, to, at, verify } = options
  if (from === undefined) throw new UsageError('restore needs --from DIR, the backup')
  const directory = resolve(context.io.cwd, from)
  if (verify) {
    await show(context, options, () => verifyBackup(directory), verifyLines(directory))
    return
  }
  if (to === undefined) throw new UsageError('restore needs --to DIR, a new directory')
  const target = resolve(context.io.cwd, to)
  const moment = parseMoment(at)
  await show(context, options, () => restore(directory, target, moment), restoreLines(target))
}

async function show<Report>(
  context: CommandContext,
  { json }: NamenodeOptions,
  work: () => Promise<Report>,
  lines: (report: Report) => readonly string[],
): Promise<void> {
  let report: Report
  try {
    report = await work()
  } catch (error) {
    if (!(error instanceof DfsError)) throw error
    throw new CommandError(error.message)
  }
  if (json) context.out.json(report)
  else context.out.lines(lines(report))
}

function keptCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const count = Number(text)
  if (Number.isSafeInteger(count) && count >= 1) return count
  throw new UsageError(`--keep must be a number from 1, got "${text}"`)
}

/** `--at`: a number is a transaction, anything else a time. */
export function parseMoment(text: string | undefined): Moment {
  if (text === undefined) return { kind: 'latest' }
  if (/^\d+$/.test(text)) return { kind: 'txid', txid: Number(text) }
  const time = Date.parse(text)
  if (Number.isNaN(time)) {
    throw new UsageError(
      `--at must be a transaction id or a time like 2026-11-25T17:30:00Z, got "${text}"`,
    )
  }
  return { kind: 'time', time }
}

function backupLines(report: BackupReport): readonly string[] {
  const { copiedBase, copiedSegments, copiedBytes, bases, segments, bytes } = report
  const what = [
    ...(copiedBase ? ['the database'] : []),
    ...(copiedSegments > 0 ? [`${copiedSegments} segments of the journal`] : []),
  ]
  return [
    `Backed up cluster ${report.clusterId} through transaction ${report.txid} in ${report.directory}`,
    what.length === 0
      ? 'Copied nothing: the backup had everything'
      : `Copied ${what.join(' and ')}, ${humanSize(copiedBytes)}`,
    `The backup holds ${bases} copies of the database and ${segments} segments, ${humanSize(bytes)}`,
  ]
}

function verifyLines(directory: string): (report: VerifyReport) => readonly string[] {
  return ({ clusterId, files, bytes, transactions, spans }) => [
    `The backup of cluster ${clusterId} in ${directory} is whole`,
    `Checked ${files} files, ${humanSize(bytes)}, ${transactions} transactions`,
    ...spans.map(
      ({ fromTxid, throughTxid }) => `Can be restored: transactions ${fromTxid} to ${throughTxid}`,
    ),
  ]
}

function restoreLines(target: string): (report: RestoreReport) => readonly string[] {
  return (report) => [
    ...report.skippedBases.map((file) => `Passed over ${file}: it is damaged`),
    `Restored cluster ${report.clusterId} into ${target}`,
    `State: transaction ${report.txid} of ${timeText(report.time)}`,
    `Totals: ${report.files} files, ${report.directories} directories, ${report.symlinks} symbolic links, ` +
      `${report.blocks} blocks`,
    `Replicas of blocks from ${report.nextBlockId} on, written after that moment, stay on their datanodes: ` +
      'they belong to no file, and are neither used nor deleted',
    'Files that were deleted after that moment are back, but their replicas may be gone: once the datanodes ' +
      'have reported, run dfs fsck /',
    `Start it: dfs namenode --dir ${target}`,
  ]
}
