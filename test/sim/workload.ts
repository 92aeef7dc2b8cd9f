import { unreachable } from '../../base/assert.ts'
import { type DfsError, isDfsError } from '../../protocol/errors.ts'
import { posixProtocol } from '../../protocol/messages/posix.ts'
import { operationKinds, pickKind, type SimConfig } from './config.ts'
import {
  beginningOf,
  type Content,
  contentLength,
  drawBlock,
  drawPackets,
  isPrefix,
  isSame,
  restOf,
} from './content.ts'
import {
  absent,
  type Expectation,
  type FileSystemModel,
  type Finding,
  type Floor,
} from './model.ts'
import { lengthOf } from './replica-disk.ts'
import { SimClient, strayPauseMs } from './sim-client.ts'
import { appendFile, type DrawnContent, readFile, truncateFile, writeFile } from './sim-files.ts'
import { followFile } from './sim-follower.ts'
import { drawSplice } from './sim-splice.ts'

/** Files do not grow beyond this many blocks by being put together. */
const concatBlocksMax = 6
const rivalStartMsMax = 3000
const rivalPauseMs = 700
const rivalAttemptsMax = 60
const filesPerDirectory = 3
const directoriesPerClient = 2

/** What a workload tells about itself. */
export interface Witness {
  /** Something that must never happen, whatever the faults. */
  violation(message: string): void
  /** What happened, for the digest of the run. */
  trace(what: string): void
  /** Another operation is over. */
  finished(): void
}

type Changes = Map<string, readonly Expectation[]>

/**
 * What one client does: writes, reads, renames and deletes files in a directory of its own, one operation at a time,
 * and holds every answer against the model.
 */
export class Workload {
  readonly #client: SimClient
  readonly #home: string
  readonly #model: FileSystemModel
  readonly #config: SimConfig
  readonly #witness: Witness

  constructor(
    client: SimClient,
    home: string,
    parts: {
      readonly model: FileSystemModel
      readonly config: SimConfig
      readonly witness: Witness
    },
  ) {
    this.#client = client
    this.#home = home
    this.#model = parts.model
    this.#config = parts.config
    this.#witness = parts.witness
  }

  /** Does `count` operations. */
  async run(count: number): Promise<void> {
    const { prng } = this.#client
    for (let done = 0; done < count; done += 1) {
      await this.#client.pause(prng.below(this.#config.thinkMsMax))
      await this.#step()
      this.#witness.finished()
    }
  }

  #step(): Promise<void> {
    const kind = pickKind(this.#client.prng, operationKinds, this.#config.operations)
    switch (kind) {
      case 'write':
        return this.#write(this.#drawFile())
      case 'append':
        return this.#append(this.#drawKnownFile())
      case 'truncate':
        return this.#truncate(this.#drawKnownFile())
      case 'concat':
        return this.#concat()
      case 'splice':
        return this.#splice()
      case 'fight':
        return this.#fight(this.#drawFile())
      case 'delete':
        return this.#delete(this.#drawFile())
      case 'delete-directory':
        return this.#delete(this.#drawDirectory())
      case 'rename':
        return this.#rename(this.#drawFile(), this.#drawFile())
      case 'rename-directory':
        return this.#rename(this.#drawDirectory(), this.#drawDirectory())
      case 'mkdir':
        return this.#mkdir(this.#drawDirectory())
      case 'read':
      case undefined:
        return this.#read(this.#drawFile())
      default:
        return unreachable(kind)
    }
  }

  async #write(
    path: string,
    content: DrawnContent = drawPackets(this.#client.prng, this.#config),
  ): Promise<void> {
    const file: Expectation = { kind: 'file', content }
    const floor: Floor = { flushed: 0, synced: 0 }
    const partial: Expectation = { kind: 'partial', content, floor }
    const directory: Expectation = { kind: 'directory' }
    const parents: Changes = new Map(this.#parentsOf(path).map((name) => [name, [directory]]))
    await this.#operate({
      name: `write ${path}`,
      possible: new Map(parents).set(path, [file, partial]),
      // A file that could not be written to its end stays as far as it got.
      isAtomic: false,
      followed: path,
      action: () =>
        writeFile(this.#client, path, content, {
          ...this.#config,
          onSafe: (length, safety, sentAt) => {
            this.#model.raiseFloor(floor, length, safety, sentAt)
            this.#model.acknowledge(new Map(parents).set(path, [file, partial]))
          },
        }),
      certain: () => parents.set(path, [file]),
    })
  }

  /** Adds to a file of which it is known what it holds. */
  async #append(path: string): Promise<void> {
    const before = this.#known(path)
    if (before === undefined) return this.#read(path)
    const { prng } = this.#client
    const held = contentLength(before)
    const isNewBlock = prng.chance(1, 4)
    // Chosen beforehand, because what the file may hold must be known before it can be read.
    const sizes = { first: 1 + prng.below(this.#config.blockBytes), seed: prng.next() }
    const last = before.at(-1)
    const lastBytes = last === undefined ? 0 : lengthOf(last)
    const isReopened = lastBytes > 0 && lastBytes < this.#config.blockBytes
    const start = isReopened ? lastBytes : 0
    const end = Math.min(this.#config.blockBytes, start + sizes.first)
    const first = drawBlock(prng, this.#config, start, end)
    const second = isNewBlock ? [drawBlock(prng, this.#config, 0, sizes.first)] : []
    const added: DrawnContent = [first, ...second]
    const grown = isReopened
      ? [...before.slice(0, -1), [...(last ?? []), ...first]]
      : [...before, first]
    const content: Content = [...grown, ...second]
    const floor: Floor = { flushed: held, synced: held }
    const file: Expectation = { kind: 'file', content }
    const partial: Expectation = { kind: 'partial', content, floor }
    await this.#operate({
      name: `append ${path}`,
      possible: new Map([[path, [file, partial]]]),
      isAtomic: false,
      followed: path,
      action: () =>
        appendFile(this.#client, path, () => added, {
          ...this.#config,
          onSafe: (length, safety, sentAt) => {
            this.#model.raiseFloor(floor, held + length, safety, sentAt)
            this.#model.acknowledge(new Map([[path, [file, partial]]]))
          },
        }),
      certain: () => new Map([[path, [file]]]),
    })
  }

  async #truncate(path: string): Promise<void> {
    const before = this.#known(path)
    if (before === undefined) return this.#read(path)
    const held = contentLength(before)
    const newLength = this.#client.prng.below(held + 1)
    const file: Expectation = { kind: 'file', content: beginningOf(before, newLength) }
    const floor: Floor = { flushed: newLength, synced: newLength }
    await this.#operate({
      name: `truncate ${path}`,
      possible: new Map([[path, [file, { kind: 'partial', content: before, floor }]]]),
      isAtomic: false,
      action: () => truncateFile(this.#client, path, newLength),
      certain: () => new Map([[path, [file]]]),
    })
  }

  /** Puts one file of a directory at the end of another one. */
  async #concat(): Promise<void> {
    const { prng } = this.#client
    const target = this.#drawKnownFile()
    const directory = target.slice(0, target.lastIndexOf('/'))
    const source = `${directory}/f${prng.below(filesPerDirectory)}`
    const [before, added] = [this.#known(target), this.#known(source)]
    if (before === undefined || added === undefined || source === target) return this.#read(target)
    if (before.length + added.length > concatBlocksMax) return this.#read(target)
    const content: Content = [...before, ...added]
    const joined: Changes = new Map<string, readonly Expectation[]>([
      [target, [{ kind: 'file', content }]],
      [source, [absent]],
    ])
    await this.#operate({
      name: `concat ${target} ${source}`,
      possible: joined,
      isAtomic: true,
      action: () => this.#client.call('concat', { trg: target, srcs: [source] }),
      certain: () => joined,
    })
  }

  /** Has some blocks of a file give way to those of another one. */
  async #splice(): Promise<void> {
    const target = this.#drawKnownFile()
    const source = this.#drawFile()
    if (this.#known(target) === undefined || source === target) return this.#read(target)
    await this.#write(source)
    const [before, taken] = [this.#known(target), this.#known(source)]
    if (before === undefined || taken === undefined) return
    const draft = await drawSplice(this.#client, target, source)
    if (draft === undefined || draft.blocksAfter > concatBlocksMax) return this.#read(target)
    const { start, end } = draft
    const content: Content = [...beginningOf(before, start), ...taken, ...restOf(before, end)]
    const exchanged: Changes = new Map<string, readonly Expectation[]>([
      [target, [{ kind: 'file', content }]],
      [source, [absent]],
    ])
    await this.#operate({
      name: `splice ${target} ${source}`,
      possible: exchanged,
      isAtomic: true,
      action: () => this.#client.callService(posixProtocol, 'splice', draft.request),
      certain: () => {
        if (draft.isStale) this.#witness.violation(`${target} gave blocks away that were not named`)
        return exchanged
      },
    })
  }

  /** While the client writes a file another one takes its lease away. */
  async #fight(path: string): Promise<void> {
    const content = drawPackets(this.#client.prng, this.#config)
    const writing = this.#write(path, content)
    const seen = await this.#robLease(path)
    await writing
    const last = await this.#look(this.#client, path)
    const isOfThis = seen !== undefined && contentLength(seen) > 0 && isPrefix(seen, content)
    if (!isOfThis || last?.kind !== 'file') return
    if (!isSame(last.content, seen)) {
      this.#witness.violation(`${path} changed after its lease had been recovered`)
    }
  }

  /** Has the lease of a file recovered. Returns what the file holds when that is done. */
  async #robLease(path: string): Promise<Content | undefined> {
    const { world, prng } = this.#client
    const rival = new SimClient(world, `${this.#client.clientName}-rival`, prng.next())
    this.#client.life.onDeath(() => {
      rival.life.kill()
    })
    await rival.pause(prng.below(rivalStartMsMax))
    let found: Finding | undefined
    for (let attempt = 1; attempt <= rivalAttemptsMax && found === undefined; attempt += 1) {
      try {
        const { clientName } = rival
        const { result } = await rival.call('recoverLease', { src: path, clientName })
        if (result) found = await this.#look(rival, path)
      } catch (error) {
        if (!isDfsError(error)) throw error
      }
      await rival.pause(rivalPauseMs)
    }
    rival.life.kill()
    this.#witness.trace(`fight ${path} ${found?.kind ?? 'unsettled'}`)
    return found?.kind === 'file' && !found.isOpen ? found.content : undefined
  }

  /** Reads a file that somebody works on. Nothing when it cannot be read now. */
  async #look(client: SimClient, path: string): Promise<Finding | undefined> {
    const before = this.#model.expectations(path)
    let finding: Finding
    try {
      finding = { kind: 'file', ...(await readFile(client, path)) }
    } catch (error) {
      if (!isDfsError(error)) throw error
      if (error.code !== 'FILE_NOT_FOUND') return undefined
      finding = { kind: 'absent' }
    }
    const wrong = this.#model.glance(path, finding, before)
    if (wrong !== undefined) this.#witness.violation(`read of ${wrong}`)
    return finding
  }

  /** What a file certainly holds, if that is certain. */
  #known(path: string): Content | undefined {
    const [only, ...others] = this.#model.expectations(path)
    return only?.kind === 'file' && others.length === 0 ? only.content : undefined
  }

  async #mkdir(path: string): Promise<void> {
    const changes: Changes = new Map(
      [path, ...this.#parentsOf(path)].map((name) => [name, [{ kind: 'directory' }]]),
    )
    await this.#operate({
      name: `mkdir ${path}`,
      possible: changes,
      isAtomic: true,
      action: () =>
        this.#client.call('mkdirs', { src: path, masked: { perm: 0o755 }, createParent: true }),
      certain: () => changes,
    })
  }

  async #delete(path: string): Promise<void> {
    const gone: Changes = new Map(
      [path, ...this.#model.below(path)].map((name) => [name, [absent]]),
    )
    await this.#operate({
      name: `delete ${path}`,
      possible: gone,
      isAtomic: true,
      action: () => this.#client.call('delete', { src: path, recursive: true }),
      certain: ({ result }) => {
        const kinds = this.#model.expectations(path).map(({ kind }) => kind)
        if (result && kinds.every((kind) => kind === 'absent')) {
          this.#witness.violation(`${path} was deleted and did not exist`)
        }
        if (!result && !kinds.includes('absent')) {
          this.#witness.violation(`${path} could not be deleted and must exist`)
        }
        return gone
      },
    })
  }

  async #rename(source: string, target: string): Promise<void> {
    if (source === target) return
    // Nothing is overwritten, so nothing may have been at the target.
    const moved: Changes = new Map(this.#model.below(target).map((path) => [path, [absent]]))
    for (const path of this.#model.below(source)) {
      moved.set(target + path.slice(source.length), this.#model.expectations(path))
      moved.set(path, [absent])
    }
    const overwriteDest = false
    await this.#operate({
      name: `rename ${source} ${target}`,
      possible: moved,
      isAtomic: true,
      action: () =>
        this.#client.call('rename2', {
          src: source,
          dst: target,
          overwriteDest,
          moveToTrash: false,
        }),
      certain: () => {
        const kinds = this.#model.expectations(source).map(({ kind }) => kind)
        if (kinds.every((kind) => kind === 'absent')) {
          this.#witness.violation(`${source} was renamed and did not exist`)
        }
        if (!this.#model.expectations(target).some(({ kind }) => kind === 'absent')) {
          this.#witness.violation(`${target} was overwritten by a rename that may not`)
        }
        return moved
      },
    })
  }

  async #read(path: string): Promise<void> {
    let finding: Finding
    try {
      finding = { kind: 'file', ...(await readFile(this.#client, path)) }
    } catch (error) {
      if (!isDfsError(error)) throw error
      // During faults a block may be out of reach; that it is not lost is checked at the end.
      if (error.code !== 'FILE_NOT_FOUND') {
        this.#witness.trace(`read ${path} ${error.code}`)
        return
      }
      finding = { kind: 'absent' }
    }
    this.#witness.trace(`read ${path} ${finding.kind}`)
    const wrong = this.#model.judge(path, finding, 'meanwhile')
    if (wrong !== undefined) this.#witness.violation(`read of ${wrong}`)
  }

  /** Runs one changing operation and keeps the model in step, whatever becomes of it. */
  async #operate<Reply>(operation: {
    readonly name: string
    readonly possible: Changes
    readonly isAtomic: boolean
    /** A file that others may read meanwhile. */
    readonly followed?: string
    readonly action: () => Promise<Reply>
    readonly certain: (reply: Reply) => Changes
  }): Promise<void> {
    const undo = this.#model.begin(operation.possible)
    const { followed } = operation
    const parts = { model: this.#model, config: this.#config, witness: this.#witness }
    const leave = followed === undefined ? undefined : followFile(this.#client, followed, parts)
    try {
      const reply = await operation.action()
      if (operation.isAtomic) undo()
      this.#model.acknowledge(operation.certain(reply))
      this.#witness.trace(`${operation.name} done`)
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#witness.trace(`${operation.name} ${error.code}`)
      if (this.#isCalm && mayNotFail.has(error.code)) {
        this.#witness.violation(`${operation.name} failed with nothing wrong: ${error.message}`)
      }
      if (isUnknown(error)) await this.#client.pause(strayPauseMs)
      else if (operation.isAtomic) undo()
    } finally {
      leave?.()
    }
  }

  /** Nothing goes wrong in this run, and no rival takes leases away: what can be done succeeds. */
  get #isCalm(): boolean {
    const { faultEveryMs, network, operations } = this.#config
    const isQuiet = network.lossOneIn === 0 && network.lateOneIn === 0
    return faultEveryMs === 0 && isQuiet && operations.fight === 0
  }

  /** Directories between the home and `path` that `path` needs. */
  #parentsOf(path: string): readonly string[] {
    const parent = path.slice(0, path.lastIndexOf('/'))
    return parent === '' ? [] : [...this.#parentsOf(parent), parent]
  }

  #drawFile(): string {
    const { prng } = this.#client
    const directory = prng.chance(1, 2) ? this.#home : this.#drawDirectory()
    return `${directory}/f${prng.below(filesPerDirectory)}`
  }

  /** A file of which it is known what it holds, if there is one. */
  #drawKnownFile(): string {
    const known = this.#model.below(this.#home).filter((path) => this.#known(path) !== undefined)
    return known.length === 0 ? this.#drawFile() : this.#client.prng.pick(known)
  }

  #drawDirectory(): string {
    return `${this.#home}/d${this.#client.prng.below(directoriesPerClient)}`
  }
}

/** Errors that only faults explain. */
const mayNotFail: ReadonlySet<string> = new Set([
  'IO_ERROR',
  'NO_DATANODES',
  'OUTCOME_UNKNOWN',
  'CONNECTION_LOST',
  'TIMED_OUT',
])

function isUnknown({ code }: DfsError): boolean {
  return code === 'OUTCOME_UNKNOWN' || code === 'CONNECTION_LOST' || code === 'TIMED_OUT'
}
