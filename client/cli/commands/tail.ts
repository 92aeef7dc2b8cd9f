import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, isMissing, UsageError } from '../failures.ts'
import { parseSize } from '../format.ts'
import { flag, value } from '../options.ts'
import type { RemoteFile } from '../session.ts'
import { copyToOutput, sendToOutput } from './cat.ts'

const options = {
  bytes: value('c bytes', 'SIZE', 'the last SIZE bytes; +SIZE: from byte SIZE on, counted from 1'),
  lines: value('n lines', 'COUNT', 'the last COUNT lines; +COUNT: from line COUNT on'),
  follow: flag('f follow', 'go on while the file grows, until it is gone or you press Ctrl-C'),
} as const

/** HDFS's `tail` shows the last kibibyte. */
const defaultBytes = 1024
const readBytes = 64 * 1024
const newline = 0x0a

export const command = defineCommand({
  name: 'tail',
  usage: 'tail [-f] [-c SIZE | -n COUNT] PATH...',
  description:
    'Writes the end of files to standard output: as in HDFS the last 1024 bytes, unless told otherwise. With -f it stays ' +
    'and writes what is added to one file, by its writer or by later appends; it says so in one line when the file is cut, ' +
    'deleted, renamed or replaced.',
  examples: ['dfs tail -n 20 /logs/today.txt', 'dfs tail -f /logs/today.txt'],
  options,
  async run(context, { bytes, lines, follow }, operands) {
    if (operands.length === 0) throw new UsageError('Name a file')
    if (bytes !== undefined && lines !== undefined) throw new UsageError('Give either -c or -n')
    const start = startFinder(bytes, lines)
    if (follow) {
      await followOne(context, operands, start)
      return
    }
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const file of await context.session.expand(operand)) {
          if (file.status.isDirectory()) throw new CommandError('Is a directory', file.shown)
          await context.attempt(file.shown, async () => {
            await copyToOutput(context, file, await start(await withLength(file)))
          })
        }
      })
    }
  },
})

/** Stays with the one file; the end that Ctrl-C makes is not a failure. */
async function followOne(
  context: CommandContext,
  operands: readonly string[],
  start: StartFinder,
): Promise<void> {
  const files = (
    await Promise.all(operands.map((operand) => context.session.expand(operand)))
  ).flat()
  const [file, second] = files
  if (file === undefined || second !== undefined)
    throw new UsageError('Only one file can be followed')
  if (file.status.isDirectory()) throw new CommandError('Is a directory', file.shown)
  const from = await start(await withLength(file))
  const source = file.fs.follow(file.path, { start: from, signal: context.signal })
  source.on('truncate', (length: number) => {
    context.note(`${file.shown}: was truncated to ${length} bytes; following from there`)
  })
  try {
    await sendToOutput(context, source)
  } catch (error) {
    if (context.signal.aborted) return
    throw isMissing(error) && error instanceof Error ? new CommandError(error.message) : error
  }
}

/** A file with the bytes of it that may be read now. */
interface ReadableFile extends RemoteFile {
  readonly length: number
}

async function withLength(file: RemoteFile): Promise<ReadableFile> {
  return { ...file, length: await file.fs.readableLength(file.path) }
}

type StartFinder = (file: ReadableFile) => Promise<number>

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
  return (file) => Promise.resolve(Math.max(file.length - size, 0))
}

async function readRange({ fs, path }: RemoteFile, start: number, end: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of fs.createReadStream(path, { start, end: end - 1 })) {
    pieces.push(piece as Buffer)
  }
  return Buffer.concat(pieces)
}

/** Offset of the line `count` lines before the end; reads backwards. */
async function lastLines(file: ReadableFile, count: number): Promise<number> {
  const { length: size } = file
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
async function lineStart(file: ReadableFile, line: number): Promise<number> {
  const { length: size } = file
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
