import type { Readable, Writable } from 'node:stream'
import { describeFailure, isOperatingError, UnreachableError } from './failures.ts'
import {
  flag,
  list,
  type OptionTable,
  type OptionValues,
  type ParseRules,
  parseArguments,
  value,
} from './options.ts'
import type { LineWriter } from './output.ts'
import type { Session } from './session.ts'

/** What a command may know of the process around it; tests put their own here. */
export interface CommandIo {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  /** Byte sink behind `stdout` for bulk data. */
  openBulkOutput(): Writable
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Aborts on SIGINT or SIGTERM. */
  readonly signal: AbortSignal
  /** Says that the command takes the time it needs to end after `signal`, instead of some seconds. */
  keepUntilDone(): void
}

/** Options that every command takes, before or after its name. */
export const globalOptions = {
  fs: value('fs', 'URI', 'cluster to talk to, hdfs://HOST:PORT'),
  user: value('user', 'NAME', 'act as this user'),
  config: value('config conf', 'FILE', 'configuration file (default ./trefoil.json when present)'),
  set: list('set D', 'KEY=VALUE', 'override one setting'),
  trace: flag('trace', 'show the stack behind an error'),
  help: flag('help', 'show how to use the command'),
} as const

export type GlobalOptions = OptionValues<typeof globalOptions>

/** What a running command works with. */
export class CommandContext {
  readonly name: string
  readonly io: CommandIo
  readonly out: LineWriter
  readonly session: Session
  readonly global: GlobalOptions
  failureCount = 0

  constructor(parts: {
    name: string
    io: CommandIo
    out: LineWriter
    session: Session
    global: GlobalOptions
  }) {
    this.name = parts.name
    this.io = parts.io
    this.out = parts.out
    this.session = parts.session
    this.global = parts.global
  }

  get signal(): AbortSignal {
    return this.io.signal
  }

  /** Reports one failure on stderr and goes on; the exit code will be 1. */
  fail(error: unknown, path?: string): void {
    this.failureCount += 1
    this.note(describeFailure(error, path))
    if (this.global.trace && error instanceof Error) this.io.stderr.write(`${error.stack ?? ''}\n`)
  }

  /** Says something on stderr that is not a failure. */
  note(text: string): void {
    this.out.flush()
    this.io.stderr.write(`dfs: ${this.name}: ${text}\n`)
  }

  /**
   * Runs one of several independent operations. A failure that is only about `path` is reported and the
   * next may go on; a lost cluster, an interruption or a bug of ours ends the command.
   */
  async attempt(path: string | undefined, action: () => Promise<void>): Promise<boolean> {
    try {
      await action()
      return true
    } catch (error) {
      if (!isOperatingError(error) || isFatal(error) || this.signal.aborted) throw error
      this.fail(error, path)
      return false
    }
  }
}

function isFatal(error: unknown): boolean {
  if (error instanceof UnreachableError) return true
  if (!(error instanceof Error)) return false
  return 'dfsCode' in error && (error.dfsCode === 'CONNECTION_LOST' || error.dfsCode === 'ABORTED')
}

/** What a file in commands/ exports. */
export interface CommandDefinition<T extends OptionTable> {
  readonly name: string
  /** After `usage: dfs `. */
  readonly usage: string
  /** Sentences for `dfs help NAME`. */
  readonly description: string
  readonly examples?: readonly string[]
  readonly options: T
  readonly rules?: ParseRules
  run(context: CommandContext, options: OptionValues<T>, operands: readonly string[]): Promise<void>
}

/** A command whose option types are settled inside. */
export interface Command {
  readonly name: string
  readonly usage: string
  readonly description: string
  readonly examples: readonly string[]
  readonly options: OptionTable
  /** Parses the arguments behind the name; throws UsageError before anything has happened. */
  prepare(args: readonly string[]): {
    readonly global: GlobalOptions
    run(context: CommandContext): Promise<void>
  }
}

/** Closes over a definition's option types. */
export function defineCommand<T extends OptionTable>(definition: CommandDefinition<T>): Command {
  return {
    name: definition.name,
    usage: definition.usage,
    description: definition.description,
    examples: definition.examples ?? [],
    options: definition.options,
    prepare(args) {
      const parsed = parseArguments(definition.options, globalOptions, args, definition.rules)
      return {
        global: parsed.inherited,
        run: (context) => definition.run(context, parsed.options, parsed.operands),
      }
    },
  }
}
