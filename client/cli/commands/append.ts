import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { statIfAny } from '../session.ts'

const options = {
  newBlock: flag('n new-block', 'begin a new block instead of filling up the last one'),
} as const

/** Reads of local files; below it pieces cost more than they carry. */
const chunkBytes = 1024 * 1024

export const command = defineCommand({
  name: 'append',
  usage: 'append [-n] LOCAL... TARGET',
  description:
    'Writes local files, one after the other, at the end of TARGET, which is made when it does not exist; - is ' +
    'standard input. Nothing is written when one of the files cannot be read. When it ends, all is on disk on ' +
    'every replica; when it is interrupted, what arrived stays.',
  examples: ['dfs append today.log /logs/all.log', 'journalctl -f | dfs append - /logs/journal'],
  options,
  async run(context, { newBlock }, operands) {
    const sources = operands.slice(0, -1)
    const destination = operands.at(-1)
    if (sources.length === 0 || destination === undefined) {
      throw new UsageError('Name local files and a target')
    }
    if (sources.includes('-') && sources.length > 1) {
      throw new UsageError('Standard input cannot be appended together with other sources')
    }
    const inputs = sources.map((shown) => new Input(context, shown))
    for (const input of inputs) await input.check()
    const { fs, path } = await context.session.locate(destination)
    if ((await statIfAny(fs, path))?.isDirectory() === true) {
      throw new CommandError('Is a directory', destination)
    }
    const { signal } = context
    const target = fs.createWriteStream(path, { flags: 'a', newBlock, signal })
    await appendAll(inputs, target, signal)
  },
})

async function appendAll(
  inputs: readonly Input[],
  target: Writable,
  signal: AbortSignal,
): Promise<void> {
  async function* chunks(): AsyncGenerator<Buffer> {
    for (const input of inputs) yield* input.open() as AsyncIterable<Buffer>
  }
  await pipeline(chunks, target, { signal })
}

class Input {
  readonly #context: CommandContext
  readonly #shown: string

  constructor(context: CommandContext, shown: string) {
    this.#context = context
    this.#shown = shown
  }

  async check(): Promise<void> {
    if (this.#shown === '-') return
    if ((await stat(this.#path())).isDirectory()) {
      throw new CommandError('Is a directory; only files can be appended', this.#shown)
    }
  }

  open(): Readable {
    if (this.#shown === '-') return this.#context.io.stdin
    return createReadStream(this.#path(), { highWaterMark: chunkBytes })
  }

  #path(): string {
    return resolve(this.#context.io.cwd, this.#shown.replace(/^file:\/\//, ''))
  }
}
