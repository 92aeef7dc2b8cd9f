/**
 * splice: some blocks of a closed file give way to the blocks of another one, in one step. So bytes in the middle of a file
 * change: the other file was written with the new content of those blocks, and is gone afterwards. HDFS has no such call;
 * it is concat (FSDirConcatOp) at any place, and blocks may be of any length afterwards, as after concat.
 *
 * It is a comparison and an exchange: the caller names the blocks that it means to replace by id, stamp and length, and when they
 * are not there any more nothing happens (FILE_CHANGED). So two clients that change different blocks of one file need no
 * lease, and of two that change the same block the later one learns of it.
 */
import { DfsError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { BlockRow, InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { contentTimes, unlink } from '../inode-changes.ts'
import { isSameBlock } from '../lease-checks.ts'
import type { Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import type { BlockEdit, Request } from '../requests.ts'
import { parentOf, resolve } from '../resolve.ts'
import { requireRemovable } from './delete.ts'

type Splice = Request & { readonly kind: 'splice' }

/** A file whose blocks are taken, and the directory it is taken out of. */
interface Source {
  readonly file: InodeRow
  readonly parent: InodeRow
  readonly name: string
}

/**
 * @throws {@link DfsError} FILE_CHANGED when file or blocks are not the ones named, ALREADY_BEING_CREATED while somebody
 * writes the file, INVALID_ARGUMENT for edits that overlap or do not use up the source, FILE_NOT_FOUND, IS_A_DIRECTORY, PERMISSION_DENIED
 */
export function splice(context: Context, request: Splice): Plan<undefined> {
  const target = targetOf(context, request)
  const source = request.taken === undefined ? undefined : sourceOf(context, request, target)
  const before = context.rows.blocks(target.id)
  const taken = source === undefined ? [] : context.rows.blocks(source.file.id)
  const after = edited(request, before, taken)
  if (after.length > limits.blocksPerFileMax) {
    throw new DfsError(
      'LIMIT_EXCEEDED',
      `Cannot splice ${request.path}: it would have more than ${limits.blocksPerFileMax} blocks (dfs.namenode.fs-limits.max-blocks-per-file)`,
      { path: request.path },
    )
  }
  const draft = new Draft(context.nextIds)
  exchange(draft, { target, before, after })
  if (source !== undefined) {
    unlink(draft, source.parent, { name: source.name, kind: 'file' }, context.wall)
    draft.deleteInode(source.file)
  }
  const length = after.reduce((sum, block) => sum + block.length, 0)
  draft.putInode({ ...draft.latest(target), length, ...contentTimes(context.wall) })
  return draft.plan(undefined)
}

function targetOf(context: Context, { path, inodeId }: Splice): InodeRow {
  const { last } = resolve(context, path)
  if (last === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
  }
  if (last.kind !== 'file') {
    throw new DfsError('IS_A_DIRECTORY', `Path is not a file: ${path}`, { path })
  }
  // Whoever owns the file could take the right to write it, and may have had it when he opened it.
  if (last.owner !== context.caller.user) {
    requireAccess(context.caller, last, access.write, () => path)
  }
  if (last.id !== inodeId) {
    throw new DfsError('FILE_CHANGED', `Another file took the place of "${path}"`, { path })
  }
  if (last.lease !== undefined) {
    throw new DfsError(
      'ALREADY_BEING_CREATED',
      `Cannot splice "${path}": ${last.lease.holder} on ${last.lease.clientHost} is writing it`,
      { path },
    )
  }
  return last
}

function sourceOf(context: Context, request: Splice, target: InodeRow): Source {
  const path = request.taken ?? ''
  const resolved = resolve(context, path)
  const { last: file } = resolved
  const parent = parentOf(resolved)
  if (file?.kind !== 'file' || parent === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
  }
  requireAccess(context.caller, file, access.read, () => path)
  requireRemovable(context, resolved)
  if (file.id === target.id) throw refused(request, 'a file cannot take its own blocks')
  if (file.lease !== undefined) throw refused(request, `"${path}" is under construction`)
  if (file.nlink > 1) throw refused(request, `"${path}" has other names (hard links)`)
  return { file, parent, name: resolved.name }
}

/** The blocks as the edits leave them; their own `inode` and `index` are still those from before. */
function edited(
  request: Splice,
  before: readonly BlockRow[],
  taken: readonly BlockRow[],
): readonly BlockRow[] {
  const places = new Places(before)
  const after: BlockRow[] = []
  let kept = 0
  let used = 0
  for (const edit of request.edits) {
    const { removed, takes } = edit
    const index = places.find(edit.offset)
    if (index === undefined || !isThere(before, index, edit)) throw changed(request, edit)
    if (index < kept) throw refused(request, 'edits must be in order and must not overlap')
    if (used + takes > taken.length) {
      throw refused(request, `the edits take more than the ${taken.length} blocks of the source`)
    }
    after.push(...before.slice(kept, index), ...taken.slice(used, used + takes))
    kept = index + removed.length
    used += takes
  }
  if (used < taken.length) {
    throw refused(
      request,
      `the edits take ${used} of the ${taken.length} blocks of the source, need all`,
    )
  }
  return [...after, ...before.slice(kept)]
}

/** Finds blocks by the byte they start at, for offsets that mostly grow. */
class Places {
  readonly #blocks: readonly BlockRow[]
  #index = 0
  #start = 0

  constructor(blocks: readonly BlockRow[]) {
    this.#blocks = blocks
  }

  /** Index of the block that starts at `offset`, or of the end; undefined inside of a block and behind the end. */
  find(offset: number): number | undefined {
    if (offset < this.#start) this.#index = this.#start = 0
    while (this.#start < offset) {
      const block = this.#blocks[this.#index]
      if (block === undefined) return undefined
      this.#start += block.length
      this.#index += 1
    }
    return this.#start === offset ? this.#index : undefined
  }
}

function isThere(before: readonly BlockRow[], index: number, { removed }: BlockEdit): boolean {
  return removed.every((block, at) => isSameBlock(before[index + at], block))
}

function changed({ path }: Splice, { offset, removed }: BlockEdit): DfsError {
  return new DfsError(
    'FILE_CHANGED',
    `The ${removed.length} blocks from byte ${offset} of "${path}" on are not those that were named any more`,
    { path },
  )
}

interface Exchange {
  readonly target: InodeRow
  readonly before: readonly BlockRow[]
  readonly after: readonly BlockRow[]
}

/** The changes from one list to the other: what is new or moved, then what is gone, freeing places from the end. */
function exchange(draft: Draft, { target, before, after }: Exchange): void {
  after.forEach((block, index) => {
    if (block !== before[index]) draft.putBlock(target, { ...block, inode: target.id, index })
  })
  const left = new Set(after.map(({ id }) => id))
  const noPlace = Math.max(before.length, after.length)
  let end = before.length
  for (const { id } of before) {
    if (left.has(id)) continue
    const isFreeing = end > after.length
    if (isFreeing) end -= 1
    draft.deleteBlock({ id, inode: target.id, index: isFreeing ? end : noPlace })
  }
}

function refused({ path }: Splice, why: string): DfsError {
  return new DfsError('INVALID_ARGUMENT', `Cannot splice "${path}": ${why}`, { path })
}
