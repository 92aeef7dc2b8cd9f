import { defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { parseSize } from '../format.ts'
import { flag, value } from '../options.ts'
import type { RemoteFile } from '../session.ts'
import { copyToOutput } from './cat.ts'

const options = {
  bytes: value('c bytes', 'SIZE', 'the last SIZE bytes; +SIZE: from byte SIZE on, counted from 1'),
  lines: value('n lines', 'COUNT', 'the last COUNT lines; +COUNT: from line COUNT on'),
  follow: flag('f follow', 'not supported yet'),
} as const

/** HDFS's `tail` shows the last kibibyte. */
const defaultBytes = 1024
const readBytes = 64 * 1024
const newline = 0x0a

export const command = defineCommand({
  name: 'tail',
  usage: 'tail [-c SIZE | -n COUNT] PATH...',
  description:
    'Writes the end of files to standard output: as in HDFS the last 1024 bytes, unless told otherwise.',
  examples: ['dfs tail -n 20 /logs/today.txt'],
  options,
  async run(context, { bytes, lines, follow }, operands) {
    if (operands.length === 0) throw new UsageError('Name a file')
    if (follow) throw new UsageError('Option -f is not supported yet')
    if (bytes !== undefined && lines !== undefined) throw new UsageError('Give either -c or -n')
    const start = startFinder(bytes, lines)
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const file of await context.session.expand(operand)) {
          if (file.status.isDirectory()) throw new CommandError('Is a directory', file.shown)
          await context.attempt(file.shown, async () => {
            await copyToOutput(context, file, await start(file))
          })
        }
      })
    }
  },
})

type StartFinder = (file: RemoteFile) => Promise<number>

function startFinder(bytes: string | undefined, lines: string | undefined): StartFinder {
  if (lines !== undefined) {
    if (!/^[+-]?\d+$/.test(lines)) throw new UsageError(`Cannot read "${lines}" as a line count`)
    const count = Math.abs(Number(lines))
    return lines.startsWith('+')
      ? (file) => lineStart(file, count)
      : (file) => lastLines(file, count)
  }
  const size = bytes === undefined ? defaultBytes : parseSize(bytes.replace(/^[+-]/, ''))
  if (size === undefined) throw new UsageError(`Cannot read "${bytes ?? ''}" as a size`)
  if (bytes?.startsWith('+') === true) return () => Promise.resolve(Math.max(size - 1, 0))
  return (file) => Promise.resolve(Math.max(file.status.size - size, 0))
}

async function readRange({ fs, path }: RemoteFile, start: number, end: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of fs.createReadStream(path, { start, end: end - 1 })) {
    pieces.push(piece as Buffer)
  }
  return Buffer.concat(pieces)
}

/** Offset of the line `count` lines before the end; reads backwards. */
async function lastLines(file: RemoteFile, count: number): Promise<number> {
  const { size } = file.status
  if (count === 0) return size
  let wanted = count
  for (let end = size; end > 0; end -= readBytes) {
    const start = Math.max(end - readBytes, 0)
    const bytes = await readRange(file, start, end)
    let position = bytes.length
    // The newline that ends the last line separates nothing.
    if (end === size && bytes[position - 1] === newline) position -= 1
    while (position > 0) {
      position = bytes.lastIndexOf(newline, position - 1)
      if (position === -1) break
      wanted -= 1
      if (wanted === 0) return start + position + 1
    }
  }
  return 0
}

/** Offset of line number `line`, counted from 1. */
async function lineStart(file: RemoteFile, line: number): Promise<number> {
  const { size } = file.status
  let missing = line - 1
  for (let start = 0; start < size && missing > 0; start += readBytes) {
    const bytes = await readRange(file, start, Math.min(start + readBytes, size))
    for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) {
      missing -= 1
      if (missing === 0) return start + at + 1
    }
  }
  return missing > 0 ? size : 0
}
