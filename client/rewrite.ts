import { randomInt, randomUUID } from 'node:crypto'
import { type Range, RangeSet } from '../base/range-set.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { posixProtocol } from '../protocol/messages/posix.ts'
import { pause, throwIfAborted } from './abort.ts'
import type { ClientContext } from './context.ts'
import { planRewrite, type RewriteEdit } from './core/rewrite-plan.ts'
import { FileReader } from './file-reader.ts'
import type { FileStatus } from './file-status.ts'
import { FileWriter } from './file-writer.ts'
import type { PlacedBlock } from './located-file.ts'
import { rm, stat, type VerbOptions } from './namespace.ts'
import { PlaceConsumer } from './place-consumer.ts'

/** What a file shall be. */
export interface RewriteOptions extends VerbOptions {
  /** Bytes of the file afterwards. */
  readonly length: number
  /** Where its content differs from what it was; what lies behind the old end does anyway. */
  readonly changed: Iterable<Range>
  /** The new content of `[start, end)`, which is changed: as many bytes, in pieces that are never written to again. */
  readonly content: (start: number, end: number) => AsyncIterable<Uint8Array>
  /** Where the new blocks are written before they become the file's: its own directory by default. */
  readonly scratch?: string | undefined
  /** The file that is meant, as {@link FileStatus.inode} says; by default the one that has the path. */
  readonly inode?: number | undefined
}

/**
 * Others may change the same block between a look at it and the exchange: then the look is repeated, after a pause by chance, longer
 * each time, so that of two who are equally fast both get their turn.
 */
const attemptsMax = 25
const pausePerAttemptMs = 10
/** Small changes cut large blocks down to that; of very large files to more, so that their blocks stay few. */
const unitBytesMin = 256 * 1024
const unitsPerFileMax = limits.blocksPerFileMax / 2
const copyBytes = 1024 * 1024

/**
 * Changes bytes anywhere in a closed file, and its length. Everything happens at once, or nothing: the blocks that hold the changes are
 * written anew beside the file, on the disks of all their datanodes, and take the place of the old ones in one step of
 * the namenode. The file keeps its inode, its owner and rights, and every byte that is not changed, also when others change those meanwhile.
 *
 * @throws {@link DfsError} FILE_NOT_FOUND, FILE_CHANGED when another file has the path, ALREADY_BEING_CREATED while
 * somebody writes the file, PERMISSION_DENIED without write access to the file and its directory
 */
export async function rewrite(
  context: ClientContext,
  path: string,
  options: RewriteOptions,
): Promise<void> {
  const changed = new RangeSet(options.changed)
  changed.cut(options.length)
  for (let attempt = 1; ; attempt += 1) {
    throwIfAborted(options.signal)
    const status = await stat(context, path, options)
    if (options.inode !== undefined && status.inode !== options.inode) {
      throw new DfsError('FILE_CHANGED', `Another file took the place of "${path}"`, { path })
    }
    try {
      await new Rewrite(context, { path, status, options, changed }).run()
      return
    } catch (error) {
      const isRepeatable = isDfsError(error, 'FILE_CHANGED', 'BLOCK_MISSING')
      if (!isRepeatable || attempt === attemptsMax) throw error
      await pause(randomInt(pausePerAttemptMs * attempt + 1), options.signal)
    }
  }
}

interface Task {
  readonly path: string
  readonly status: FileStatus
  readonly options: RewriteOptions
  readonly changed: RangeSet
}

/** One attempt. */
class Rewrite {
  readonly #context: ClientContext
  readonly #task: Task

  constructor(context: ClientContext, task: Task) {
    this.#context = context
    this.#task = task
  }

  async run(): Promise<void> {
    const { path, options, changed, status } = this.#task
    const first = Math.min(changed.ranges[0]?.start ?? options.length, options.length)
    const from = Math.max(0, Math.min(first, status.size - 1))
    const { signal } = options
    const last = options.length < status.size ? status.size : (changed.ranges.at(-1)?.end ?? 0)
    const span = Math.max(1, last - from)
    const reader = await FileReader.open(this.#context, path, { from, span, signal })
    const { length: lengthBefore, isOpen } = reader.file
    if (isOpen) {
      throw new DfsError(
        'ALREADY_BEING_CREATED',
        `Cannot change "${path}": somebody is writing it`,
        { path },
      )
    }
    const fresh = new RangeSet(changed.ranges)
    fresh.add(Math.min(lengthBefore, options.length), options.length)
    const edits = planRewrite({
      blocks: await touchedBlocks(reader, options, fresh),
      ...{ lengthBefore, length: options.length, changed: fresh },
      blockBytes: status.blockSize,
      unitBytes: unitFor(status.blockSize, options.length),
    })
    if (edits.length === 0) return
    const taken = edits.some(({ pieces }) => pieces.length > 0)
      ? await this.#write(reader, fresh, edits)
      : undefined
    await this.#exchange(edits, taken)
  }

  /** Writes the new blocks as a file of their own, which is durable and closed then; answers its path. */
  async #write(
    reader: FileReader,
    fresh: RangeSet,
    edits: readonly RewriteEdit<PlacedBlock>[],
  ): Promise<string> {
    const { path, status, options } = this.#task
    const { signal, scratch = path.slice(0, path.lastIndexOf('/')) } = options
    const source = `${scratch === '/' ? '' : scratch}/.trefoil-${randomUUID()}`
    const { replication, blockSize } = status
    const writer = await FileWriter.create(this.#context, source, {
      ...{ mode: 0o600, replication, blockSize, overwrite: false, givesChunksAway: true, signal },
    })
    try {
      for (const { offset, pieces } of edits) {
        let start = offset
        for (const piece of pieces) {
          for (const part of fresh.pieces(start, start + piece)) {
            const bytes = part.isIn
              ? options.content(part.start, part.end)
              : copied(reader, part, signal)
            for await (const chunk of bytes) await writer.write(chunk)
          }
          start += piece
          await writer.endBlock()
        }
      }
      await writer.close()
      return source
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      await writer.abort(reason).catch(() => undefined) // the lease falls to the namenode's recovery
      throw error
    }
  }

  async #exchange(
    edits: readonly RewriteEdit<PlacedBlock>[],
    taken: string | undefined,
  ): Promise<void> {
    const { path, status, options } = this.#task
    const { signal } = options
    try {
      await this.#context.namenode.callService(
        posixProtocol,
        'splice',
        {
          ...{ src: path, fileId: status.inode, taken },
          edits: edits.map(({ offset, removed, pieces }) => ({
            offset,
            removed: removed.map(({ located: { b } }) => b),
            takes: pieces.length,
          })),
        },
        { signal },
      )
    } catch (error) {
      // Nothing that matters is lost with it: the file is as it was, or has the blocks.
      if (taken !== undefined) {
        await rm(this.#context, taken, { force: true }).catch(() => undefined)
      }
      throw error
    }
  }
}

function unitFor(blockSize: number, length: number): number {
  const units = Math.max(1, Math.ceil(length / unitsPerFileMax / unitBytesMin))
  return Math.min(blockSize, units * unitBytesMin)
}

/** The blocks that {@link planRewrite} asks for. */
async function touchedBlocks(
  { file }: FileReader,
  { length, signal }: RewriteOptions,
  fresh: RangeSet,
): Promise<readonly PlacedBlock[]> {
  const blocks = new Map<number, PlacedBlock>()
  const collect = async ({ start, end }: Range): Promise<void> => {
    for (let at = start; at < Math.min(end, file.length); ) {
      const block = await file.blockAt(at, signal)
      blocks.set(block.start, block)
      at = block.end
    }
  }
  for (const range of fresh.ranges) await collect(range)
  await collect({ start: length, end: file.length })
  // The last one when the file grows; the one that the new end cuts when it shrinks.
  for (const at of [file.length - 1, length - 1])
    await collect({ start: Math.max(0, at), end: at + 1 })
  return [...blocks.values()].sort((left, right) => left.start - right.start)
}

async function* copied(
  reader: FileReader,
  { start, end }: Range,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = start; at < end; at += copyBytes) {
    const piece = Buffer.allocUnsafe(Math.min(copyBytes, end - at))
    const range = { start: at, end: at + piece.length, signal }
    await reader.read(range, new PlaceConsumer(piece, at))
    yield piece
  }
}
