import type { FileStatus } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import type { FileSystem } from '../file-system.ts'
import { counted, printable } from '../format.ts'
import { listingLines, type StatusRecord, statusRecord } from '../listing.ts'
import { flag, type OptionValues } from '../options.ts'
import { JsonArrayWriter } from '../output.ts'

const options = {
  recursive: flag('R recursive', 'list what is below directories, too'),
  directory: flag('d directory', 'list directories themselves, not what is in them'),
  human: flag('h human-readable', 'sizes as 1.5 K, 128 M'),
  pathsOnly: flag('C', 'paths only, one a line'),
  question: flag('q', 'show ? for characters that do not print'),
  byTime: flag('t', 'newest first'),
  bySize: flag('S', 'largest first'),
  reverse: flag('r reverse', 'reverse the order'),
  accessTime: flag('u', 'show, and sort by, the time of last access'),
  long: flag('l', 'accepted: the listing is always long'),
  all: flag('a all', 'accepted: no name is hidden'),
  json: flag('json', 'a JSON array'),
} as const

type LsOptions = OptionValues<typeof options>

const pageEntries = 1000

export const command = defineCommand({
  name: 'ls',
  usage: 'ls [OPTION...] [PATH...]',
  description:
    'Lists paths, by default your home directory /user/NAME. Columns: permissions, replication, owner, ' +
    'group, bytes, time of last change, path. Without -t or -S the order is that of the names.',
  examples: [
    'dfs ls /',
    'dfs ls -R -h /data',
    "dfs ls '/logs/2026-{10,11}/*.gz'",
    'dfs ls --json /',
  ],
  options,
  async run(context, options, operands) {
    const writer = options.json ? new JsonArrayWriter(context.out) : undefined
    const lister = new Lister(context, options, writer)
    for (const operand of operands.length === 0 ? ['.'] : operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          await context.attempt(status.path, () => lister.listOperand(fs, status))
        }
      })
    }
    writer?.end()
  },
})

class Lister {
  readonly #context: CommandContext
  readonly #options: LsOptions
  readonly #json: JsonArrayWriter | undefined

  constructor(context: CommandContext, options: LsOptions, json: JsonArrayWriter | undefined) {
    this.#context = context
    this.#options = options
    this.#json = json
  }

  async listOperand(fs: FileSystem, status: FileStatus): Promise<void> {
    if (status.isDirectory() && !this.#options.directory) await this.#listDirectory(fs, status)
    else this.#print([status])
  }

  async #listDirectory(fs: FileSystem, directory: FileStatus): Promise<void> {
    const { byTime, bySize, reverse, recursive } = this.#options
    const isHeaded = !recursive && !this.#options.pathsOnly && this.#json === undefined
    const isSorted = byTime || bySize || reverse
    let isCounted = isHeaded && directory.childCount >= 0
    if (isCounted && directory.childCount > 0) this.#printCount(directory.childCount)
    let page: FileStatus[] = []
    for await (const status of fs.opendir(directory.path, { signal: this.#context.signal })) {
      page.push(status)
      if (isSorted || (isHeaded && !isCounted) || page.length < pageEntries) continue
      await this.#printPage(fs, page)
      page = []
    }
    if (isHeaded && !isCounted && page.length > 0) {
      this.#printCount(page.length)
      isCounted = true
    }
    if (isSorted) page.sort(this.#order())
    await this.#printPage(fs, page)
  }

  async #printPage(fs: FileSystem, page: readonly FileStatus[]): Promise<void> {
    await this.#context.out.ready()
    if (!this.#options.recursive) {
      this.#print(page)
      return
    }
    let siblings: FileStatus[] = []
    for (const status of page) {
      siblings.push(status)
      if (!status.isDirectory()) continue
      this.#print(siblings)
      siblings = []
      await this.#context.attempt(status.path, () => this.#listDirectory(fs, status))
    }
    this.#print(siblings)
  }

  #print(statuses: readonly FileStatus[]): void {
    const { out } = this.#context
    if (this.#json !== undefined) {
      for (const status of statuses) this.#json.push(statusRecord(status) satisfies StatusRecord)
    } else if (this.#options.pathsOnly) {
      for (const { path } of statuses) out.line(this.#options.question ? printable(path) : path)
    } else {
      const style = {
        isHuman: this.#options.human,
        hidesControls: this.#options.question,
        showsAccessTime: this.#options.accessTime,
      }
      out.lines(listingLines(statuses, style))
    }
  }

  #printCount(count: number): void {
    this.#context.out.line(`Found ${counted(count, 'item')}`)
  }

  #order(): (a: FileStatus, b: FileStatus) => number {
    const { byTime, bySize, reverse, accessTime } = this.#options
    const time = (status: FileStatus): number => (accessTime ? status.atimeMs : status.mtimeMs)
    const sign = reverse ? -1 : 1
    return (a, b) => {
      let order = 0
      if (byTime) order = time(b) - time(a)
      else if (bySize) order = b.size - a.size
      if (order === 0) order = a.name < b.name ? -1 : 1
      return order * sign
    }
  }
}
