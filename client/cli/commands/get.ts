import { resolve } from 'node:path'
import { defineCommand } from '../command.ts'
import { Copier } from '../copy.ts'
import { copyOptionTable, readCopyOptions } from '../copy-options.ts'
import { UsageError } from '../failures.ts'
import { LocalTarget } from '../local-tree.ts'
import { flag, value } from '../options.ts'
import { createProgress } from '../progress.ts'
import { RemoteSource, remoteNode } from '../remote-tree.ts'
import type { RemoteFile } from '../session.ts'
import { copyToOutput } from './cat.ts'

const options = {
  ...copyOptionTable,
  crc: flag('crc', 'accepted: data is always verified, no .crc files are written'),
  queueSize: value('q', 'COUNT', 'accepted: the queue needs no size'),
} as const

export const command = defineCommand({
  name: 'get',
  usage: 'get [OPTION...] PATH... [LOCAL]',
  description:
    'Copies files, and directories with what is in them, out of the cluster; to standard output when ' +
    'LOCAL is -. LOCAL defaults to the working directory. Every byte is verified against its checksum; ' +
    'a file appears under its name only when all of it is there.',
  examples: [
    'dfs get /data/report.csv',
    "dfs get -p '/logs/2026-11-*' logs/",
    'dfs get /backup.tar - | tar t',
  ],
  options,
  async run(context, options, operands) {
    const sources = operands.length === 1 ? operands : operands.slice(0, -1)
    const destination = operands.length === 1 ? '.' : operands.at(-1)
    if (sources.length === 0 || destination === undefined) throw new UsageError('Name a path')
    const copyOptions = readCopyOptions(options)
    const files: RemoteFile[] = []
    for (const source of sources) {
      await context.attempt(source, async () => {
        files.push(...(await context.session.expand(source)))
      })
    }
    if (destination === '-') {
      for (const file of files) await context.attempt(file.shown, () => copyToOutput(context, file))
      return
    }
    const progress = await createProgress(context.io, options.quiet)
    const copier = new Copier(context, new LocalTarget(), copyOptions, progress)
    const isDirectoryNamed = destination.endsWith('/')
    const local = resolve(context.io.cwd, destination.replace(/^file:\/\//, ''))
    await copier.run(async () => {
      const placement = await copier.placement(
        isDirectoryNamed && local !== '/' ? `${local}/` : local,
        files.length,
      )
      for (const { fs, status } of files) {
        const source = new RemoteSource(fs, context.signal)
        await copier.copy(source, remoteNode(status), placement(status.name))
      }
    })
  },
})
