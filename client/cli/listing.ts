/** How one path looks in `ls`, `stat` and `--json`. */
import type { FileStatus } from '../index.ts'
import { humanSize, localMinute, octalMode, printable, symbolicMode } from './format.ts'

/** One path as `--json` shows it. */
export interface StatusRecord {
  readonly path: string
  readonly name: string
  readonly type: string
  readonly size: number
  readonly mode: string
  readonly owner: string
  readonly group: string
  readonly modified: string
  readonly accessed: string
  readonly replication?: number
  readonly blockSize?: number
  readonly inode: number
  /** Symbolic links: where they lead. */
  readonly target?: string
}

export function statusRecord(status: FileStatus): StatusRecord {
  return {
    path: status.path,
    name: status.name,
    type: status.type,
    size: status.size,
    mode: octalMode(status.mode).padStart(4, '0'),
    owner: status.owner,
    group: status.group,
    modified: new Date(status.mtimeMs).toISOString(),
    accessed: new Date(status.atimeMs).toISOString(),
    ...(status.isFile() ? { replication: status.replication, blockSize: status.blockSize } : {}),
    inode: status.inode,
    ...(status.target === undefined ? {} : { target: status.target }),
  }
}

/** `d`, `l` or `-`, then the permissions. */
export function modeColumn(status: FileStatus): string {
  const letterByType = { directory: 'd', symlink: 'l', file: '-' } as const
  return letterByType[status.type] + symbolicMode(status.mode)
}

/** The path, and of a symbolic link where it leads. */
function shownPath({ path, target }: FileStatus): string {
  return target === undefined ? path : `${path} -> ${target}`
}

export interface LineStyle {
  readonly isHuman: boolean
  readonly hidesControls: boolean
  readonly showsAccessTime: boolean
}

/** Lines of HDFS's `ls`: permissions, replication, owner, group, bytes, time, path. */
export function listingLines(statuses: readonly FileStatus[], style: LineStyle): string[] {
  const rows = statuses.map((status) => ({
    mode: `${modeColumn(status)}${status.hasAcl ? '+' : ' '}`,
    replication: status.isDirectory() ? '-' : String(status.replication),
    owner: status.owner,
    group: status.group,
    size: style.isHuman ? humanSize(status.size) : String(status.size),
    time: localMinute(style.showsAccessTime ? status.atimeMs : status.mtimeMs),
    path: style.hidesControls ? printable(shownPath(status)) : shownPath(status),
  }))
  const widest = (least: number, of: (row: (typeof rows)[number]) => string): number =>
    rows.reduce((width, row) => Math.max(width, of(row).length), least)
  const replicationWidth = widest(3, (row) => row.replication)
  const ownerWidth = widest(0, (row) => row.owner)
  const groupWidth = widest(0, (row) => row.group)
  const sizeWidth = widest(10, (row) => row.size)
  return rows.map((row) =>
    [
      `${row.mode}${row.replication.padStart(replicationWidth)}`,
      row.owner.padEnd(ownerWidth),
      row.group.padEnd(groupWidth),
      row.size.padStart(sizeWidth),
      row.time,
      row.path,
    ].join(' '),
  )
}
