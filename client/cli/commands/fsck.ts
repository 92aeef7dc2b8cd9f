import type { BlockLocation, FileStatus } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { isMissing } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { type FileHealth, FsckTally } from '../fsck-tally.ts'
import { flag, type OptionValues } from '../options.ts'

const options = {
  files: flag('files', 'name every file that is checked'),
  blocks: flag('blocks', 'with -files: list the blocks of each file'),
  locations: flag('locations', 'with -blocks: list the datanodes of each block'),
  corruptOnly: flag(
    'list-corruptfileblocks',
    'only list blocks without a readable replica, and their files',
  ),
  json: flag('json', 'a JSON object'),
} as const

type FsckOptions = OptionValues<typeof options>

export const command = defineCommand({
  name: 'fsck',
  usage: 'fsck [PATH] [-files [-blocks [-locations]]]',
  description:
    'Asks the namenode where the replicas of every block below PATH (default /) are. Reports blocks with ' +
    'too few live replicas, with none (missing), and with corrupt ones only. Ends with "is HEALTHY", or ' +
    'with "is CORRUPT" and exit code 1 when a block has no readable replica. It reads no block data.',
  examples: ['dfs fsck /', 'dfs fsck /data -files -blocks -locations'],
  options,
  async run(context, options, operands) {
    for (const operand of operands.length === 0 ? ['/'] : operands) {
      for (const { fs, status } of await context.session.expand(operand)) {
        await check(context, fs, { root: status, options })
      }
    }
  },
})

async function check(
  context: CommandContext,
  fs: FileSystem,
  { root, options }: { readonly root: FileStatus; readonly options: FsckOptions },
): Promise<void> {
  const { out } = context
  const isText = !options.json && !options.corruptOnly
  if (isText)
    out.line(
      `FSCK started by ${context.session.user} for path ${root.path} at ${new Date().toString()}`,
    )
  const tally = new FsckTally(root.path)
  const startedMs = performance.now()
  for await (const { status, blocks } of walk(fs, root, context.signal)) {
    await out.ready()
    if (status.isDirectory()) tally.directories += 1
    else if (status.isSymbolicLink()) tally.symlinks += 1
    else report(context, options, tally.addFile(status, blocks))
  }
  const live = await fs.datanodes('live')
  const cluster = { datanodes: live.length, racks: new Set(live.map(({ rack }) => rack)).size }
  if (options.json) out.json({ ...tally.record(), ...cluster })
  else if (isText) {
    out.lines(tally.summaryLines(cluster))
    out.line(`FSCK ended after ${Math.round(performance.now() - startedMs)} milliseconds`)
    out.line()
    out.line()
    out.line(
      `The filesystem under path '${root.path}' is ${tally.isHealthy ? 'HEALTHY' : 'CORRUPT'}`,
    )
  }
  if (!tally.isHealthy) context.failureCount += 1
}

interface Visited {
  readonly status: FileStatus
  readonly blocks: readonly BlockLocation[]
}

/** Parents before what is in them; a file that goes away meanwhile is not visited. */
async function* walk(
  fs: FileSystem,
  root: FileStatus,
  signal: AbortSignal,
): AsyncIterable<Visited> {
  if (!root.isDirectory()) {
    yield { status: root, blocks: root.isFile() ? await fs.blockLocations(root.path) : [] }
    return
  }
  yield { status: root, blocks: [] }
  try {
    for await (const status of fs.listWithLocations(root.path, { signal })) {
      if (status.isDirectory()) yield* walk(fs, status, signal)
      else yield { status, blocks: status.blocks }
    }
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

function report({ out }: CommandContext, options: FsckOptions, health: FileHealth): void {
  if (options.json) return
  if (options.corruptOnly) {
    for (const { name, isReadable } of health.blocks) {
      if (!isReadable) out.line(`${name}\t${health.path}`)
    }
    return
  }
  if (options.files) {
    const blocks = `${health.blocks.length} block(s)`
    const verdict = health.problems.length === 0 ? ' OK' : ''
    out.line(
      `${health.path} ${health.size} bytes, replicated: replication=${health.replication}, ${blocks}: ${verdict}`,
    )
  }
  for (const problem of health.problems) out.line(`${health.path}: ${problem}`)
  if (!options.files || !options.blocks) return
  for (const [index, { name, length, liveReplicas, datanodes }] of health.blocks.entries()) {
    const places = datanodes.map(({ address, storageId }) => `${address},${storageId ?? '?'}`)
    const locations = options.locations ? `  [${places.join(', ')}]` : ''
    out.line(`${index}. ${name} len=${length} Live_repl=${liveReplicas}${locations}`)
  }
  out.line()
}
