import { type FileHealth, FsckTally } from '../../../protocol/fsck-tally.ts'
import {
  blockLines,
  directoryLine,
  fileLine,
  summaryLines,
  verdictLines,
} from '../../../protocol/fsck-text.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { copyToLostFound } from '../fsck-salvage.ts'
import { flag, type OptionValues } from '../options.ts'
import { walkLocated } from '../remote-walk.ts'

const options = {
  files: flag('files', 'name every file that is checked'),
  blocks: flag('blocks', 'with -files: list the blocks of each file'),
  locations: flag('locations', 'with -blocks: list the datanodes of each block'),
  racks: flag('racks', 'with -blocks: list the datanodes with their racks'),
  replicaDetails: flag(
    'replicaDetails',
    'with -blocks: list the datanodes and what they are up to',
  ),
  open: flag('openforwrite', 'check files that are being written, too'),
  corruptOnly: flag(
    'list-corruptfileblocks',
    'only list blocks without a readable replica, and their files',
  ),
  move: flag('move', 'copy what can be read of corrupt files to /lost+found'),
  delete: flag('delete', 'delete corrupt files; after -move when both are given'),
  maintenance: flag('maintenance', 'tell replicas on datanodes in maintenance apart'),
  snapshots: flag('includeSnapshots', 'accepted: there are no snapshots'),
  progress: flag('showprogress', 'accepted'),
  json: flag('json', 'a JSON object'),
} as const

export type FsckOptions = OptionValues<typeof options>

export const command = defineCommand({
  name: 'fsck',
  usage:
    'fsck [PATH...] [-files [-blocks [-locations | -racks | -replicaDetails]]] [-move] [-delete]',
  description:
    'Asks the namenode where the replicas of every block below PATH (default /) are. Reports blocks with ' +
    'too few live replicas, on too few racks, with none (missing), and with corrupt ones only. Files that are ' +
    'being written are left out unless -openforwrite. Ends with "is HEALTHY", or with "is CORRUPT" and exit ' +
    'code 1 when a block has no readable replica. It reads no block data; `dfs explain PATH` says what is wrong ' +
    'with one file and what is being done about it.',
  examples: [
    'dfs fsck /',
    'dfs fsck /data -files -blocks -locations',
    'dfs fsck / -list-corruptfileblocks',
    'dfs fsck /data -move -delete',
  ],
  options,
  async run(context, options, operands) {
    if (options.corruptOnly && (options.move || options.delete)) {
      throw new UsageError('-list-corruptfileblocks only lists; leave out -move and -delete')
    }
    for (const operand of operands.length === 0 ? ['/'] : operands) {
      for (const { fs, path } of await context.session.expand(operand)) {
        await new Check(context, fs, options).run(path)
      }
    }
  },
})

/** One fsck of one path. */
class Check {
  readonly #context: CommandContext
  readonly #fs: FileSystem
  readonly #options: FsckOptions

  constructor(context: CommandContext, fs: FileSystem, options: FsckOptions) {
    this.#context = context
    this.#fs = fs
    this.#options = options
  }

  async run(path: string): Promise<void> {
    const { out, session, signal } = this.#context
    const { json, corruptOnly } = this.#options
    const isText = !json && !corruptOnly
    const startedMs = performance.now()
    const live = await this.#fs.datanodes('live', { signal })
    const racks = new Set(live.map(({ rack }) => rack)).size
    const cluster = { datanodes: live.length, racks }
    if (isText)
      out.line(`FSCK started by ${session.user} for path ${path} at ${new Date().toString()}`)
    const tally = new FsckTally(path, { racks, withOpen: this.#options.open })
    for await (const status of walkLocated(this.#fs, path, signal)) {
      await out.ready()
      if (status.isDirectory()) {
        tally.directories += 1
        if (isText && this.#options.files) out.line(directoryLine(status.path))
      } else if (status.isSymbolicLink()) tally.symlinks += 1
      else {
        const health = tally.addFile(status)
        if (health !== undefined) await this.#report(health)
      }
    }
    if (!tally.isHealthy) this.#context.failureCount += 1
    if (json) {
      out.json({ ...tally.record(), ...cluster })
      return
    }
    if (isText) {
      out.lines(summaryLines(tally, cluster))
      out.line(`FSCK ended after ${Math.round(performance.now() - startedMs)} milliseconds`)
      out.line()
      out.line()
    }
    out.lines(verdictLines(tally, corruptOnly))
  }

  async #report(health: FileHealth): Promise<void> {
    const { out } = this.#context
    const { json, corruptOnly, files, blocks } = this.#options
    if (corruptOnly) {
      for (const { name, isReadable } of health.blocks) {
        if (!isReadable && !json) out.line(`${name}\t${health.path}`)
      }
      return
    }
    if (!json) {
      if (files) out.line(fileLine(health))
      for (const problem of health.problems) out.line(`${health.path}: ${problem}`)
      if (files && blocks) out.lines(blockLines(health, this.#options))
    }
    if (health.isCorrupt) await this.#repair(health)
  }

  /** What -move and -delete ask for; a file that cannot be salvaged whole is still there unless -delete. */
  async #repair(health: FileHealth): Promise<void> {
    const { out, signal } = this.#context
    const { path } = health
    const isText = !this.#options.json
    let isSafe = true
    if (this.#options.move) {
      isSafe = await this.#context.attempt(path, async () => {
        const { directory, pieces, bytes } = await copyToLostFound(this.#fs, health, signal)
        if (isText) {
          out.line(`${path}: copied ${bytes} bytes in ${pieces} piece(s) to ${directory}`)
        }
      })
    }
    if (!this.#options.delete || !isSafe) return
    await this.#context.attempt(path, async () => {
      await this.#fs.rm(path, { force: true, signal })
      if (isText) out.line(`${path}: deleted`)
    })
  }
}
