import type { FileStatus } from '../../index.ts'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { humanSize, octalMode, symbolicMode, utcSecond } from '../format.ts'
import { modeColumn, statusRecord } from '../listing.ts'
import { flag, value } from '../options.ts'
import { JsonArrayWriter } from '../output.ts'

const options = {
  format: value('c format', 'FORMAT', 'print FORMAT for each path'),
  json: flag('json', 'a JSON array'),
} as const

export const command = defineCommand({
  name: 'stat',
  usage: 'stat [FORMAT] PATH...',
  description:
    'Shows what the namenode knows about paths. FORMAT, as in HDFS an argument with a % in it: ' +
    '%a octal permissions, %A symbolic permissions, %b bytes, %F type, %g group, %i inode, %n name, ' +
    '%N path, %o block size, %r replication, %u owner, %x and %y time of last access and change in UTC, ' +
    '%X and %Y the same as milliseconds, %% a percent sign.',
  examples: ['dfs stat /data/a.csv', "dfs stat '%n %b %y' '/data/*'"],
  options,
  async run(context, { format, json }, operands) {
    const isFormatFirst = format === undefined && operands[0]?.includes('%') === true
    const wanted = isFormatFirst ? operands[0] : format
    const paths = isFormatFirst ? operands.slice(1) : operands
    if (paths.length === 0) throw new UsageError('Name a path')
    const writer = json ? new JsonArrayWriter(context.out) : undefined
    for (const path of paths) {
      await context.attempt(path, async () => {
        for (const { status } of await context.session.expand(path)) {
          if (writer !== undefined) writer.push(statusRecord(status))
          else if (wanted !== undefined) context.out.line(formatStatus(wanted, status))
          else context.out.lines(statusLines(status))
        }
      })
    }
    writer?.end()
  },
})

const wordByType = {
  file: 'regular file',
  directory: 'directory',
  symlink: 'symbolic link',
} as const

/** Fills in HDFS's stat format; what follows an unknown letter stays as it is. */
export function formatStatus(format: string, status: FileStatus): string {
  const textByLetter: Readonly<Record<string, string>> = {
    a: octalMode(status.mode),
    A: modeColumn(status),
    b: String(status.size),
    F: wordByType[status.type],
    g: status.group,
    i: String(status.inode),
    n: status.name,
    N: status.path,
    o: String(status.blockSize),
    r: String(status.replication),
    u: status.owner,
    x: utcSecond(status.atimeMs),
    X: String(status.atimeMs),
    y: utcSecond(status.mtimeMs),
    Y: String(status.mtimeMs),
    '%': '%',
  }
  return format.replaceAll(/%(.)/gs, (whole, letter: string) => textByLetter[letter] ?? whole)
}

function statusLines(status: FileStatus): string[] {
  const mode = `${octalMode(status.mode).padStart(4, '0')} (${symbolicMode(status.mode)})`
  const lines = [
    `Path:        ${status.path}`,
    `Type:        ${wordByType[status.type]}, inode ${status.inode}`,
    `Access:      ${mode}, owner ${status.owner}, group ${status.group}`,
    `Modified:    ${new Date(status.mtimeMs).toISOString()}`,
    `Accessed:    ${new Date(status.atimeMs).toISOString()}`,
  ]
  if (status.isFile()) {
    const blocks = `${status.replication} replicas of blocks of ${humanSize(status.blockSize)}`
    lines.splice(2, 0, `Size:        ${status.size} bytes, ${blocks}`)
  } else if (status.target !== undefined) {
    lines.splice(2, 0, `Leads to:    ${status.target}`)
  } else if (status.isDirectory() && status.childCount >= 0) {
    lines.splice(2, 0, `Entries:     ${status.childCount}`)
  }
  return lines
}
