/**
 * addBlock: commits the block the client has finished and allocates the next one. A repeated call (the
 * answer was lost) names the last block but one as `previous` and gets the block allocated before.
 */
import { DfsError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { BlockRow, InodeRow } from '../changes.ts'
import { committed, completedIfReplicated } from '../commit-block.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { isSameBlock, leasedFile } from '../lease-checks.ts'
import type { Plan } from '../outcome.ts'
import type { LocatedBlockView, ReplicaLocation, Request } from '../requests.ts'

type AddBlock = Request & { readonly kind: 'addBlock' }

/** Waits while the block before `previous` has no replica; `previous` itself may lag behind. */
export function addBlock(context: Context, request: AddBlock): Plan<LocatedBlockView> {
  const file = leasedFile(context, request)
  const rows = context.rows.blocks(file.id)
  const last = rows.at(-1)
  const repeated = repeatedBlock(request, file, rows)
  if (repeated !== undefined) return repeat(context, request, file, rows)

  const draft = new Draft(context.nextIds)
  const waiting: BlockRow[] = []
  const settled = rows.map((row, index) => {
    const isPrevious = index === rows.length - 1
    const named = isPrevious ? request.previous : undefined
    const now = completedIfReplicated(context, named === undefined ? row : committed(row, named))
    if (!isPrevious && now.state !== 'complete') waiting.push(now)
    if (now !== row) draft.putBlock(file, now)
    return now
  })
  if (waiting.length > 0) {
    if (!request.isLastTry) return { kind: 'wait', blocks: waiting.map(({ id }) => id) }
    throw new DfsError('NOT_REPLICATED_YET', `Not replicated yet: ${request.path}`, {
      path: request.path,
    })
  }
  if (rows.length >= limits.blocksPerFileMax) {
    throw new DfsError(
      'LIMIT_EXCEEDED',
      `File "${request.path}" has reached the limit of ${limits.blocksPerFileMax} blocks (dfs.namenode.fs-limits.max-blocks-per-file)`,
      { path: request.path },
    )
  }
  const grown = (settled.at(-1)?.length ?? 0) - (last?.length ?? 0)
  const length = file.length + grown
  // Put even when nothing changed: whoever replays the block then knows its file's replication.
  draft.putInode({ ...file, length })
  const targets = choose(context, request, file)
  const block: BlockRow = {
    id: draft.allocateBlockId(),
    inode: file.id,
    index: rows.length,
    generationStamp: draft.allocateGenerationStamp(),
    length: 0,
    state: 'under-construction',
  }
  draft.putBlock(file, block, true)
  return draft.plan(handOut(draft, block, length, targets))
}

/**
 * The block that this very call allocated when it was made before; undefined for a new call.
 * @throws {@link DfsError} IO_ERROR when `previous` is neither the last block nor the one before.
 */
function repeatedBlock(
  { path, previous }: AddBlock,
  file: InodeRow,
  rows: readonly BlockRow[],
): BlockRow | undefined {
  const last = rows.at(-1)
  if (last === undefined ? previous === undefined : isSameBlock(last, previous)) return undefined
  if (last !== undefined) {
    if (previous === undefined && isFull(file, last)) return undefined
    const beforeLast = rows.at(-2)
    const isFirstOfAppend = previous === undefined && isFull(file, beforeLast)
    if (isFirstOfAppend || isSameBlock(beforeLast, previous)) {
      if (last.length === 0 && last.state === 'under-construction') return last
      throw new DfsError(
        'IO_ERROR',
        `Request looked like a retry to allocate block ${last.id} but it already contains ${last.length} bytes`,
        { path },
      )
    }
  }
  throw new DfsError(
    'IO_ERROR',
    `Cannot allocate block in ${path}: passed 'previous' block ${previous?.id ?? 'none'} does not match actual last block in file ${last?.id ?? 'none'}`,
    { path },
  )
}

/** True when an append goes on behind `block` and so has no `previous` to name. */
function isFull(file: InodeRow, block: BlockRow | undefined): boolean {
  return block?.state === 'complete' && block.length >= file.blockSize
}

/** Answers with the block allocated before; its pipeline is chosen anew when a restart has forgotten it. */
function repeat(
  context: Context,
  request: AddBlock,
  file: InodeRow,
  rows: readonly BlockRow[],
): Plan<LocatedBlockView> {
  const draft = new Draft(context.nextIds)
  const block = rows.at(-1)
  if (block === undefined) throw new DfsError('INTERNAL', 'A repeated addBlock has a last block')
  const expected = context.blocks.expectedLocations(block.id)
  const targets = expected.length > 0 ? expected : choose(context, request, file)
  return draft.plan(handOut(draft, block, file.length, targets))
}

function handOut(
  draft: Draft,
  block: BlockRow,
  offset: number,
  locations: readonly ReplicaLocation[],
): LocatedBlockView {
  const { id, generationStamp } = block
  draft.effects.push({ kind: 'locations.expected', block: id, generationStamp, locations })
  return { block: { id, generationStamp, length: 0 }, offset, locations, isCorrupt: false }
}

function choose(context: Context, request: AddBlock, file: InodeRow): readonly ReplicaLocation[] {
  const { targets, refusals } = context.blocks.chooseTargets({
    count: file.replication,
    blockSizeBytes: file.blockSize,
    clientHost: context.caller.host,
    excluded: new Set(request.excluded),
    favored: request.favored,
    existing: [],
  })
  if (targets.length > 0) return targets
  const summary = `File ${request.path} could only be written to 0 of the 1 minReplication nodes`
  const nodes =
    refusals.length === 0
      ? 'there is no datanode: start one, or see `dfs report` for those that are dead'
      : `${refusals.map(({ datanode, reason }) => `${datanode}: ${reason}`).join('; ')}. Free space, restart these datanodes or add one, then try again; \`dfs report\` shows their state`
  throw new DfsError('NO_DATANODES', `${summary}: ${nodes}`, { path: request.path })
}
