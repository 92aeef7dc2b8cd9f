import { defineCommand } from '../command.ts'
import { Copier } from '../copy.ts'
import {
  copyOptionTable,
  fileOptionTable,
  readCopyOptions,
  readFileOptions,
} from '../copy-options.ts'
import { CommandError, UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { createProgress } from '../progress.ts'
import { RemoteSource, RemoteTarget } from '../remote-tree.ts'
import type { RemoteFile, RemotePath } from '../session.ts'

const options = {
  ...copyOptionTable,
  ...fileOptionTable,
  preserveAll: flag(
    'ptopax preserve-all',
    'as -p, and keep access control lists and extended attributes',
  ),
} as const

export const command = defineCommand({
  name: 'cp',
  usage: 'cp [OPTION...] SOURCE... TARGET',
  description:
    'Copies files, and directories with what is in them, inside the cluster, or between clusters when ' +
    'paths are hdfs:// URIs. The data passes through this machine.',
  examples: [
    'dfs cp /data/a.csv /data/b.csv',
    'dfs cp -p /data hdfs://other:8020/backup/',
    'dfs cp -ptopax /data /copy',
  ],
  options,
  async run(context, options, operands) {
    const destination = operands.at(-1)
    if (operands.length < 2 || destination === undefined) {
      throw new UsageError('Name at least one source, and a target')
    }
    const preserve = options.preserve || options.preserveAll
    const copyOptions = readCopyOptions({ ...options, preserve })
    const into = await context.session.locate(destination)
    const files: RemoteFile[] = []
    for (const operand of operands.slice(0, -1)) {
      await context.attempt(operand, async () => {
        files.push(...(await context.session.expand(operand)))
      })
    }
    const target = new RemoteTarget(into.fs, context.signal, readFileOptions(options))
    const progress = await createProgress(context.io, options.quiet)
    const copier = new Copier(context, target, copyOptions, progress)
    const to = destination.endsWith('/') && into.path !== '/' ? `${into.path}/` : into.path
    await copier.run(async () => {
      const placement = await copier.placement(to, files.length)
      for (const file of files) {
        await context.attempt(file.shown, async () => {
          const path = placement(file.status.name)
          refuseSelf(file, { ...into, path })
          const source = new RemoteSource(file.fs, context.signal, options.preserveAll)
          await copier.copy(source, source.node(file.status), path)
        })
      }
    })
  },
})

function refuseSelf(file: RemoteFile, to: RemotePath): void {
  if (file.fs !== to.fs) return
  if (file.path === to.path) throw new CommandError('Source and target are the same')
  const base = file.path === '/' ? '/' : `${file.path}/`
  if (file.status.isDirectory() && to.path.startsWith(base)) {
    throw new CommandError(`Cannot copy a directory into itself, ${to.path}`)
  }
}
