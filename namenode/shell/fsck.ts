/**
 * `/fsck` on the namenode's HTTP port, for Hadoop's `hdfs fsck`: HDFS's parameters and lines (FsckServlet, NamenodeFsck,
 * DFSck). Who asks is who the `ugi` parameter says, as everywhere with simple authentication.
 */
import { isDfsError } from '../../protocol/errors.ts'
import {
  type FileHealth,
  type FsckBlock,
  type FsckFile,
  type FsckReplica,
  FsckTally,
} from '../../protocol/fsck-tally.ts'
import {
  blockLines,
  directoryLine,
  fileLine,
  summaryLines,
  verdictLines,
} from '../../protocol/fsck-text.ts'
import { blockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Caller, FileStatusView, LocatedBlockView } from '../core/requests.ts'
import type { ClientContext } from './client-context.ts'
import { adminStateNames } from './wire-views.ts'

/** What a request asks for; presence of a parameter means yes. */
export interface FsckRequest {
  readonly path: string
  readonly user: string
  /** Address of the client. */
  readonly host: string
  readonly withFiles: boolean
  readonly withBlocks: boolean
  readonly withLocations: boolean
  readonly withRacks: boolean
  readonly withReplicaDetails: boolean
  readonly withOpenFiles: boolean
  readonly isMove: boolean
  readonly isDelete: boolean
  /** List corrupt blocks only, from this place in their list on. */
  readonly corruptFrom: number | undefined
  /** Tell about these blocks only. */
  readonly blockNames: readonly string[]
}

/** Takes lines; resolves when there is room for more. */
export type LineSink = (lines: readonly string[]) => Promise<void>

const corruptBlocksPerAnswer = 100

/** Who asks without saying so (hadoop.http.staticuser.user). */
const unnamedUser = 'dr.who'

/** Reads the query of a request. */
export function fsckRequest(query: URLSearchParams, host: string): FsckRequest {
  const has = (name: string): boolean => query.has(name)
  const from = Number(query.get('startblockafter') ?? '0')
  return {
    path: query.get('path') ?? '/',
    user: query.get('ugi') ?? query.get('user.name') ?? unnamedUser,
    host,
    withFiles: has('files'),
    withBlocks: has('blocks'),
    withLocations: has('locations'),
    withRacks: has('racks'),
    withReplicaDetails: has('replicadetails'),
    withOpenFiles: has('openforwrite'),
    isMove: has('move'),
    isDelete: has('delete'),
    corruptFrom: has('listcorruptfileblocks') ? (Number.isSafeInteger(from) ? from : 0) : undefined,
    blockNames: (query.get('blockId') ?? '').split(/\s+/).filter((name) => name !== ''),
  }
}

/** One check, from its first line to its verdict. */
export class NamenodeFsck {
  readonly #context: ClientContext
  readonly #request: FsckRequest
  readonly #print: LineSink

  constructor(context: ClientContext, request: FsckRequest, print: LineSink) {
    this.#context = context
    this.#request = request
    this.#print = print
  }

  /** Never rejects for what is wrong with the namespace: the last line says how it ended. */
  async run(): Promise<void> {
    const { path, user, host, blockNames, corruptFrom } = this.#request
    const startedAt = this.#context.namenode.now()
    const what = blockNames.length > 0 ? '' : ` for path ${path}`
    await this.#print([
      `FSCK started by ${user} (auth:SIMPLE) from /${host}${what} at ${new Date().toString()}`,
    ])
    try {
      const caller = await this.#context.callerNamed(user, host)
      if (blockNames.length > 0) await this.#tellBlocks(caller)
      else if (corruptFrom !== undefined) await this.#listCorrupt(caller, corruptFrom)
      else await this.#check(caller, startedAt)
    } catch (error) {
      if (!isDfsError(error)) throw error
      await this.#print(['', `fsck: ${error.message}`, '', `Fsck on path '${path}' FAILED`])
    }
  }

  async #check(caller: Caller, startedAt: number): Promise<void> {
    const { path, isMove, withFiles, withOpenFiles } = this.#request
    const { namenode } = this.#context
    if (isMove) {
      await this.#print([
        '',
        'The namenode reads no data, so it cannot move what is left of a file: `dfs fsck PATH -move` does.',
        '',
        `Fsck on path '${path}' FAILED`,
      ])
      return
    }
    const root = await namenode.execute(caller, { kind: 'getFileInfo', path })
    if (root === undefined) {
      await this.#print(['', '', `Path '${path}' does not exist`])
      return
    }
    const live = namenode.blocks.datanodes('live')
    const racks = new Set(live.map(({ rack }) => rack)).size
    const tally = new FsckTally(path, { racks, withOpen: withOpenFiles })
    await this.#print([''])
    for await (const { at, status } of this.#walk(caller, path, root)) {
      if (status.inode.kind === 'directory') {
        tally.directories += 1
        if (withFiles) await this.#print([directoryLine(at)])
      } else if (status.inode.kind === 'symlink') tally.symlinks += 1
      else {
        const health = tally.addFile(this.#fileOf(at, status))
        if (health !== undefined) await this.#report(caller, health)
      }
    }
    const replication = namenode.settings['dfs.replication']
    const durationMs = namenode.now() - startedAt
    await this.#print([
      ...summaryLines(tally, { datanodes: live.length, racks, replication }),
      `FSCK ended at ${new Date().toString()} in ${durationMs} milliseconds`,
      '',
      '',
      ...verdictLines(tally, false),
    ])
  }

  async #report(caller: Caller, health: FileHealth): Promise<void> {
    const { withFiles, withBlocks, withLocations, withRacks, withReplicaDetails, isDelete } =
      this.#request
    const detail = {
      locations: withLocations,
      racks: withRacks,
      replicaDetails: withReplicaDetails,
    }
    await this.#print([
      ...(withFiles ? [fileLine(health)] : []),
      ...health.problems.map((problem) => `${health.path}: ${problem}`),
      ...(withFiles && withBlocks ? blockLines(health, detail) : []),
    ])
    if (!isDelete || !health.isCorrupt) return
    const { path } = health
    await this.#context.namenode.execute(caller, { kind: 'delete', path, recursive: false })
    await this.#print([`${path}: deleted`])
  }

  /** What is at and below `path`, parents before what is in them. What goes away meanwhile is not visited. */
  async *#walk(
    caller: Caller,
    path: string,
    root: FileStatusView,
  ): AsyncGenerator<{ readonly at: string; readonly status: FileStatusView }> {
    if (root.inode.kind === 'directory') yield { at: path, status: root }
    const pending = [path]
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const directories: string[] = []
      for await (const status of this.#list(caller, at)) {
        const below = status.name === '' ? at : `${at === '/' ? '' : at}/${status.name}`
        yield { at: below, status }
        if (status.inode.kind === 'directory') directories.push(below)
      }
      pending.push(...directories.reverse())
    }
  }

  /** The entries of a directory, page by page, or a file itself, with locations. */
  async *#list(caller: Caller, path: string): AsyncGenerator<FileStatusView> {
    for (let startAfter = ''; ; ) {
      const listing = await this.#context.namenode.execute(caller, {
        ...{ kind: 'getListing', path, startAfter, needLocation: true },
        limit: limits.listingEntriesMax,
      })
      if (listing === undefined) return
      yield* listing.entries
      const last = listing.entries.at(-1)
      if (listing.remainingEntries === 0 || last === undefined) return
      startAfter = last.name
    }
  }

  #fileOf(path: string, { inode, length, located }: FileStatusView): FsckFile {
    return {
      path,
      size: length,
      replication: inode.replication,
      isOpen: located?.isUnderConstruction === true,
      blocks: (located?.blocks ?? []).map((block) => this.#blockOf(block)),
    }
  }

  #blockOf({ block, offset, locations, isCorrupt }: LocatedBlockView): FsckBlock {
    const { id, generationStamp, length } = block
    const datanodes = locations.flatMap(({ datanode, storage }): FsckReplica[] => {
      const view = this.#context.datanode(datanode)
      if (view === undefined) return []
      const { ipAddress, transferPort, rack, adminState } = view
      const address = `${ipAddress}:${transferPort}`
      return [{ address, storageId: storage, rack, adminState: adminStateNames[adminState] }]
    })
    const { blockPoolId } = this.#context
    return { blockPoolId, blockId: id, generationStamp, offset, length, isCorrupt, datanodes }
  }

  /** A page of the blocks that nobody can read, for a client that asks on until there are no more. */
  async #listCorrupt(caller: Caller, from: number): Promise<void> {
    const { path } = this.#request
    const { blocks } = this.#context.namenode
    const ids = blocks.missingBlocks(from + corruptBlocksPerAnswer).slice(from)
    const lines: string[] = []
    for (const id of ids) {
      const file = await this.#pathOf(caller, id)
      const isBelow = path === '/' || file === path || file?.startsWith(`${path}/`) === true
      if (file === undefined || !isBelow) continue
      lines.push(`blk_${id}\t${blocks.replicaCounts(id)?.wanted ?? 0}\t${file}`)
    }
    const none = from === 0 ? 'no' : 'no more'
    // While pages may follow the client must not take this one, which may have nothing of the path, for the last.
    const count = ids.length === 0 ? none : String(lines.length)
    await this.#print([
      `Cookie:\t${from + ids.length}`,
      ...lines,
      '',
      '',
      `The filesystem under path '${path}' has ${count} CORRUPT files`,
      '',
    ])
  }

  #pathOf(caller: Caller, block: LocatedBlockView['block']['id']): Promise<string | undefined> {
    return Promise.resolve(this.#context.namenode.execute(caller, { kind: 'getBlockPath', block }))
  }

  async #tellBlocks(caller: Caller): Promise<void> {
    for (const name of this.#request.blockNames) {
      const digits = /^blk_(\d+)(?:_\d+)?$/.exec(name)?.[1]
      if (digits === undefined) {
        await this.#print(['', `Incorrect blockId format: ${name}`])
        continue
      }
      await this.#tellBlock(caller, Number(digits))
    }
  }

  async #tellBlock(caller: Caller, number: number): Promise<void> {
    const id = blockId(number)
    const path = await this.#pathOf(caller, id)
    const counts = this.#context.namenode.blocks.replicaCounts(id)
    if (path === undefined || counts === undefined) {
      await this.#print(['', `Block blk_${number} does not exist`])
      return
    }
    const lines = [
      '',
      `Block Id: blk_${number}`,
      `Block belongs to: ${path}`,
      `No. of Expected Replica: ${counts.wanted}`,
      `No. of live Replica: ${counts.live}`,
      `No. of excess Replica: ${Math.max(0, counts.live - counts.wanted)}`,
      `No. of decommissioned or decommissioning Replica: ${counts.leaving}`,
      `No. of maintained Replica: ${counts.maintained}`,
      `No. of corrupted Replica: ${counts.corrupt}`,
    ]
    for await (const status of this.#list(caller, path)) {
      const found = status.located?.blocks.find(({ block }) => block.id === id)
      if (found === undefined) continue
      const { datanodes, isCorrupt } = this.#blockOf(found)
      for (const { address, rack, adminState } of datanodes) {
        const state = isCorrupt ? 'CORRUPT' : adminState === 'NORMAL' ? 'HEALTHY' : adminState
        lines.push(`Block replica on datanode/rack: ${address}${rack} is ${state}`)
      }
    }
    await this.#print(lines)
  }
}
