import { aliases, type CatalogEntry, catalog, lookUp } from './catalog.ts'
import {
  type Command,
  CommandContext,
  type CommandIo,
  type GlobalOptions,
  globalOptions,
} from './command.ts'
import { loadConfiguration } from './configuration.ts'
import { describeFailure, exitCodes, isOperatingError, UsageError } from './failures.ts'
import { parseArguments } from './options.ts'
import { LineWriter } from './output.ts'
import { type Connect, Session } from './session.ts'

/** A command line, taken apart as far as it can be without the command's own options. */
interface Invocation {
  readonly name: string
  readonly entry: CatalogEntry
  readonly args: readonly string[]
}

/**
 * Runs one command line and returns the exit code; errors end up as lines on `io.stderr`.
 *
 * @param args what follows `dfs`
 */
export async function runCli(
  args: readonly string[],
  io: CommandIo,
  connect: Connect,
): Promise<number> {
  let name = ''
  try {
    const invocation = findCommand(args)
    name = invocation.name
    const { command } = await invocation.entry.load()
    const prepared = command.prepare(invocation.args)
    if (prepared.global.help) return await showHelp(command, io)
    return await runCommand(name, prepared, io, connect)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const hint =
      name === '' ? '`dfs help` lists the commands' : `\`dfs help ${name}\` shows how to use it`
    io.stderr.write(`dfs: ${name === '' ? '' : `${name}: `}${error.message}; ${hint}\n`)
    return exitCodes.usage
  }
}

async function runCommand(
  name: string,
  prepared: ReturnType<Command['prepare']>,
  io: CommandIo,
  connect: Connect,
): Promise<number> {
  const { global } = prepared
  const out = new LineWriter(io.stdout)
  const session = new Session({
    connect,
    user: global.user,
    env: io.env,
    configure: () => loadConfiguration(global, io.env, io.cwd),
  })
  const context = new CommandContext({ name, io, out, session, global })
  try {
    await prepared.run(context)
    out.flush()
    return context.failureCount === 0 ? exitCodes.ok : exitCodes.failed
  } catch (error) {
    out.flush()
    return reportEnd(error, context, global)
  } finally {
    await session.close()
  }
}

function reportEnd(error: unknown, context: CommandContext, global: GlobalOptions): number {
  if (error instanceof UsageError) throw error
  if (context.signal.aborted) {
    context.note('interrupted')
    return exitCodes.interrupted
  }
  if (!isOperatingError(error) && !global.trace && error instanceof Error) {
    context.io.stderr.write(`${error.stack ?? ''}\n`)
  }
  context.fail(error)
  return exitCodes.failed
}

async function showHelp(command: Command, io: CommandIo): Promise<number> {
  const { helpLines } = await import('./help-text.ts')
  io.stdout.write(`${helpLines(command).join('\n')}\n`)
  return exitCodes.ok
}

/**
 * Finds the command. Accepts options before the name, HDFS's spelling with a dash (`-ls`), and a first word
 * `dfs` or `fs` as in `hdfs dfs -ls`; options found on the way are handed to the command.
 */
export function findCommand(args: readonly string[]): Invocation {
  const before: string[] = []
  let rest: readonly string[] = args
  for (;;) {
    const { operands } = parseArguments({}, globalOptions, rest, { stopAtOperand: isWord })
    before.push(...rest.slice(0, rest.length - operands.length))
    const [word, ...behind] = operands
    if (word === undefined) return defaultInvocation(before)
    const bare = word.replace(/^--?/, '')
    const found = lookUp(bare)
    if (found !== undefined) {
      return { ...found, args: [...before, ...found.implied, ...behind] }
    }
    if (bare !== 'dfs' && bare !== 'fs') throw unknownCommand(word)
    rest = behind
  }
}

/** Words end the options before a name: anything without a dash, and a command's name with one. */
function isWord(argument: string): boolean {
  if (!argument.startsWith('-')) return true
  return lookUp(argument.replace(/^--?/, '')) !== undefined
}

function defaultInvocation(before: readonly string[]): Invocation {
  const entry = catalog['help']
  if (entry === undefined || before.length > 0) throw new UsageError('Name a command')
  return { name: 'help', entry, args: [] }
}

function unknownCommand(word: string): UsageError {
  const bare = word.replace(/^--?/, '')
  const names = [...Object.keys(catalog), ...Object.keys(aliases)]
  const near = names.find((name) => distance(name.toLowerCase(), bare.toLowerCase()) <= 1)
  const guess = near === undefined ? '' : `; did you mean "${near}"?`
  return new UsageError(`Unknown command "${word}"${guess}`)
}

/** Edits between two words: insertions, deletions, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, row) => [row])
  for (let column = 0; column <= b.length; column += 1) rows[0]?.splice(column, 1, column)
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Infinity
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1]
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (isSame ? 0 : 1))
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (isSwap) best = Math.min(best, at(i - 2, j - 2) + 1)
      rows[i]?.splice(j, 1, best)
    }
  }
  return at(a.length, b.length)
}

/** The line for an error that nobody else reported. */
export function lastWords(error: unknown): string {
  return `dfs: ${describeFailure(error)}\n`
}
