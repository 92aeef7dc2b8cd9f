import { Readable } from 'node:stream'
import { unreachable } from '../base/assert.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { onAbort, pause } from './abort.ts'
import type { ClientContext } from './context.ts'
import { type FollowedLook, Follower } from './core/follow.ts'
import { toFsError } from './errors.ts'
import type { FileReader } from './file-reader.ts'
import { DfsReadStream } from './input-stream.ts'
import type { OpenOptions } from './located-file.ts'

/** Bytes a follower holds for a consumer that is slower than the file grows. */
const highWaterMarkBytes = 1024 * 1024

/** How a file is followed. */
export interface FollowOptions {
  /** First byte, 0 by default. */
  readonly start?: number | undefined
  /** Ends the stream, without an error. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Readable that stays at the end of a file while it grows, across blocks, appends and writers. Emits `truncate` with
 * the new length when the file was cut, and goes on from there. Fails with ENOENT when the file is deleted, renamed or
 * replaced by another one; otherwise it ends when its signal aborts, or when it is destroyed.
 */
export class DfsFollowStream extends Readable {
  readonly path: string
  readonly #controller = new AbortController()
  readonly #removeAbort: () => void
  readonly #chunks: AsyncGenerator<Buffer, void, undefined>
  #isPulling = false

  /** @param open opens the file at the path for reading */
  constructor(
    context: ClientContext,
    path: string,
    open: (options: OpenOptions) => Promise<FileReader>,
    { start = 0, signal }: FollowOptions = {},
  ) {
    super({ highWaterMark: highWaterMarkBytes })
    this.path = path
    const looking = { context, path, open, signal: this.#controller.signal }
    this.#chunks = follow(looking, new Follower(start), (length) => {
      this.emit('truncate', length)
    })
    this.#removeAbort = onAbort(signal, () => {
      this.#controller.abort()
    })
  }

  override _read(): void {
    if (!this.#isPulling) void this.#pull()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#removeAbort()
    this.#controller.abort()
    callback(error)
  }

  async #pull(): Promise<void> {
    this.#isPulling = true
    try {
      for (let goesOn = true; goesOn; ) {
        const { done, value } = await this.#chunks.next()
        if (this.destroyed) return
        goesOn = this.push(done === true ? null : value) && done !== true
      }
    } catch (error) {
      if (this.#controller.signal.aborted) this.push(null)
      else this.destroy(toFsError(error, this.path))
    } finally {
      this.#isPulling = false
    }
  }
}

interface Looking {
  readonly context: ClientContext
  readonly path: string
  readonly open: (options: OpenOptions) => Promise<FileReader>
  readonly signal: AbortSignal
}

async function* follow(
  looking: Looking,
  follower: Follower,
  onTruncated: (length: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const { path, signal } = looking
  for (;;) {
    const { look, reader } = await lookAt(looking, follower.position)
    const step = follower.looked(look)
    switch (step.kind) {
      case 'read':
        if (reader === undefined) break
        yield* read(reader, { start: follower.position, end: step.end, signal })
        follower.readTo(step.end)
        break
      case 'wait':
        await pause(step.delayMs, signal)
        break
      case 'truncated':
        onTruncated(step.length)
        break
      case 'ended':
        throw endError(path, step.reason)
      default:
        unreachable(step)
    }
  }
}

async function* read(
  reader: FileReader,
  {
    start,
    end,
    signal,
  }: { readonly start: number; readonly end: number; readonly signal: AbortSignal },
): AsyncGenerator<Buffer, void, undefined> {
  const open = (): Promise<FileReader> => Promise.resolve(reader)
  const source = new DfsReadStream(reader.file.path, open, { start, end: end - 1, signal })
  for await (const chunk of source) yield chunk as Buffer
}

/** What is at the path, with a reader of exactly that inode. */
async function lookAt(
  { context, path, open, signal }: Looking,
  position: number,
): Promise<{ readonly look: FollowedLook; readonly reader?: FileReader }> {
  const missing = { look: { kind: 'missing' } } as const
  const inodeId = await inodeAt(context, path, signal)
  if (inodeId === undefined) return missing
  try {
    const reader = await open({ signal, from: position })
    const { length, isOpen } = reader.file
    // The blocks belong to the inode only if it was there before and after they were asked for.
    if (length > position && (await inodeAt(context, path, signal)) !== inodeId) return missing
    return { look: { kind: 'file', inodeId, length, isOpen }, reader }
  } catch (error) {
    if (isDfsError(error, 'FILE_NOT_FOUND')) return missing
    if (isDfsError(error, 'BLOCK_MISSING')) return { look: { kind: 'unreadable' } }
    throw error
  }
}

async function inodeAt(
  { namenode }: ClientContext,
  path: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { fs } = await namenode.call('getFileInfo', { src: path }, { signal })
  return fs?.fileId
}

const endings = {
  deleted: ['FILE_NOT_FOUND', 'was deleted or renamed while it was followed'],
  replaced: ['FILE_NOT_FOUND', 'was replaced by another file while it was followed'],
  unreadable: ['BLOCK_MISSING', 'cannot be followed: no datanode can read its last block'],
} as const

function endError(path: string, reason: keyof typeof endings): DfsError {
  const [code, what] = endings[reason]
  return new DfsError(code, `File "${path}" ${what}`, { path })
}
