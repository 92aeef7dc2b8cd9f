/**
 * append: opens a closed file for writing at its end (FSDirAppendOp). A partial last block goes back from
 * complete to under construction, with the stamp and length it has; who writes it decides about a new one:
 *
 *     Java     append → updateBlockForPipeline → pipeline with the new stamp → updatePipeline → data
 *     Go, Rust append → pipeline with the stamp it has → data
 *
 * The bytes it had stay acknowledged: `committedLength` is what no recovery may go below (N9). A replica
 * that is not in the pipeline keeps the old length, and with Java the old stamp, and is stale from then on.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { BlockRow, InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { fileStatus } from '../located-blocks.ts'
import type { Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import { blocksOnceClosed } from '../release-lease.ts'
import type { AppendedView, LocatedBlockView, Request } from '../requests.ts'
import { lookUp } from '../resolve.ts'
import { takeOverFrom } from './recover-lease.ts'

type Append = Request & { readonly kind: 'append' }

/** @throws DfsError FILE_NOT_FOUND, FILE_EXISTS for a directory, and as every attempt to write an open file. */
export function append(context: Context, request: Append): Plan<AppendedView> {
  const { path, clientName, newBlock } = request
  const row = appendable(context, path)
  const draft = new Draft(context.nextIds)
  const attempt = { attempt: 'APPEND_FILE', path, clientName, file: row } as const
  const refusal = takeOverFrom(context, draft, attempt)
  if (refusal !== undefined) return refusal

  const last = blocksOnceClosed(context, row).at(-1)
  const lease = { holder: clientName, clientHost: context.caller.host }
  const file: InodeRow = { ...draft.latest(row), lease }
  const locations = last === undefined ? [] : requireReplicated(context, path, last)
  draft.putInode(file)
  draft.effects.push({ kind: 'lease.renewed', holder: clientName, at: context.now })
  const status = fileStatus(file)
  if (last === undefined) return draft.plan({ status })
  if (newBlock) return draft.plan({ status, block: located(file, last, []) })
  if (last.length >= file.blockSize) return draft.plan({ status })
  reopen(draft, file, last)
  const { id, generationStamp } = last
  draft.effects.push({ kind: 'locations.expected', block: id, generationStamp, locations })
  return draft.plan({ status, block: located(file, last, locations) })
}

function appendable(context: Context, path: string): InodeRow {
  const row = lookUp(context, path)
  if (row === undefined) {
    throw new DfsError(
      'FILE_NOT_FOUND',
      `Failed to append to non-existent file ${path} for client ${context.caller.host}`,
      { path },
    )
  }
  if (row.kind !== 'file') {
    throw new DfsError(
      'FILE_EXISTS',
      `Cannot append to ${row.kind} ${path}: it must be a regular file`,
      { path },
    )
  }
  requireAccess(context.caller, row, access.write, () => path)
  return row
}

/** @throws {@link DfsError} IO_ERROR when no good replica of the block can be reached. */
function requireReplicated(
  context: Context,
  path: string,
  last: BlockRow,
): LocatedBlockView['locations'] {
  const locations = context.blocks.reopenLocations(last, context.caller.host)
  if (locations.length > 0) return locations
  throw new DfsError(
    'IO_ERROR',
    `append: last block ${last.id} of ${path} is not sufficiently replicated yet: no datanode with a good replica of it answers. \`dfs fsck ${path} -blocks -locations\` shows where its replicas were`,
    { path, blockId: last.id },
  )
}

function reopen(draft: Draft, file: InodeRow, last: BlockRow): void {
  const { id, inode, index, generationStamp, length } = last
  draft.putBlock(file, {
    ...{ id, inode, index, generationStamp, length, committedLength: length },
    state: 'under-construction',
  })
}

function located(
  file: InodeRow,
  last: BlockRow,
  locations: LocatedBlockView['locations'],
): LocatedBlockView {
  const { id, generationStamp, length } = last
  const offset = file.length - length
  return { block: { id, generationStamp, length }, offset, locations, isCorrupt: false }
}
