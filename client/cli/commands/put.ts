import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { type CommandContext, defineCommand } from '../command.ts'
import { Copier, type CopySource, type SourceNode } from '../copy.ts'
import {
  copyOptionTable,
  fileOptionTable,
  readCopyOptions,
  readFileOptions,
} from '../copy-options.ts'
import { CommandError, UsageError } from '../failures.ts'
import { LocalSource } from '../local-tree.ts'
import { flag, value } from '../options.ts'
import { createProgress } from '../progress.ts'
import { RemoteTarget } from '../remote-tree.ts'

const options = {
  ...copyOptionTable,
  ...fileOptionTable,
  follow: flag('L dereference', 'copy what symbolic links point to instead of skipping them'),
  lazyPersist: flag('l', 'accepted: blocks are always written to disk'),
  queueSize: value('q', 'COUNT', 'accepted: the queue needs no size'),
} as const

export const command = defineCommand({
  name: 'put',
  usage: 'put [OPTION...] LOCAL... [TARGET]',
  description:
    'Copies local files, and directories with what is in them, into the cluster; - is standard input. ' +
    'Several sources, or a TARGET that is a directory, are copied into TARGET; it defaults to your home ' +
    'directory. Symbolic links inside a tree are skipped and counted. A file appears under its name only ' +
    'when all of it is stored on every replica.',
  examples: [
    'dfs put report.csv /data/',
    'dfs put -p -f site/ /www',
    'tar c . | dfs put - /backup.tar',
  ],
  options,
  async run(context, options, operands) {
    const sources = operands.length === 1 ? operands : operands.slice(0, -1)
    const destination = operands.length === 1 ? '.' : operands.at(-1)
    if (sources.length === 0 || destination === undefined) throw new UsageError('Name a local file')
    if (sources.includes('-') && sources.length > 1) {
      throw new UsageError('Standard input cannot be copied together with other sources')
    }
    const copyOptions = readCopyOptions(options)
    const fileOptions = readFileOptions(options)
    const { fs, path } = await context.session.locate(destination)
    const target = new RemoteTarget(fs, context.signal, fileOptions)
    const progress = await createProgress(context.io, options.quiet)
    const copier = new Copier(context, target, copyOptions, progress)
    const to = destination.endsWith('/') && path !== '/' ? `${path}/` : path
    await copier.run(async () => {
      const placement = await copier.placement(to, sources.length)
      if (sources[0] === '-') await putInput(context, copier, placement)
      else await putSources(context, copier, { sources, placement, follows: options.follow })
    })
  },
})

async function putSources(
  context: CommandContext,
  copier: Copier,
  task: {
    readonly sources: readonly string[]
    readonly placement: (name: string) => string
    readonly follows: boolean
  },
): Promise<void> {
  const source = new LocalSource(task.follows)
  for (const shown of task.sources) {
    await context.attempt(shown, async () => {
      const node = await source.root(resolve(context.io.cwd, shown.replace(/^file:\/\//, '')))
      await copier.copy(source, node, task.placement(node.name))
    })
  }
}

async function putInput(
  context: CommandContext,
  copier: Copier,
  placement: (name: string) => string,
): Promise<void> {
  const path = placement('')
  if (placement('x') !== path) {
    throw new CommandError('Is a directory; standard input needs a file name', path)
  }
  await copier.copy(new InputSource(context.io.stdin), inputNode(), path)
}

class InputSource implements CopySource {
  readonly #stdin: Readable

  constructor(stdin: Readable) {
    this.#stdin = stdin
  }

  async *children(): AsyncIterable<SourceNode> {}

  open(): Readable {
    return this.#stdin
  }
}

/** Standard input as a file of the current user, made now. */
function inputNode(): SourceNode {
  const now = Date.now()
  return {
    name: '',
    path: '-',
    kind: 'file',
    size: 0,
    attributes: { mode: 0o644, owner: undefined, group: undefined, atimeMs: now, mtimeMs: now },
  }
}
