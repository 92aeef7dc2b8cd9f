/**
 * What becomes of an open file whose writer lost its lease (FSNamesystem.internalReleaseLease). The file
 * is closed at its last consistent length, at once if that is known, else after its last block has been
 * recovered by the datanodes:
 *
 *     all blocks complete                        → close
 *     last committed, every block has a replica  → close
 *     last committed otherwise, and its replicas
 *     may still be reported                      → wait for them
 *     no datanode with the last can be asked:
 *       it is empty, and none can have it        → drop it, close
 *       otherwise                                → wait for one that has it
 *     otherwise                                  → new stamp, under recovery, ask the datanodes
 *
 * A committed block is final for its writer, who saw every byte acknowledged: it is recovered at exactly its length, like
 * a truncate, or not at all (N23). HDFS waits for its replicas for ever.
 */

import type { BlockId, ClientName } from '../../protocol/ids.ts'
import type { BlockRow, InodeRow } from './changes.ts'
import { completedIfReplicated } from './commit-block.ts'
import type { Context } from './context.ts'
import type { Draft } from './draft.ts'
import { contentTimes } from './inode-changes.ts'
import { namenodeHolder } from './lease-manager.ts'

/** How far the release got. */
export type Release = 'closed' | 'waiting-for-replicas' | 'recovering'

/**
 * Closes `file` or takes the next step towards it.
 * @param newHolder who holds the lease meanwhile; absent: the present holder keeps it.
 */
export function releaseLease(
  context: Context,
  draft: Draft,
  file: InodeRow,
  newHolder?: ClientName,
): Release {
  const rows = context.rows.blocks(file.id)
  const last = rows.at(-1)
  const known = rows.map((row) => completedIfReplicated(context, row))
  const blocked = known.some((row) => row.state !== 'complete')
  if (!blocked) {
    putChanged(draft, file, { before: rows, after: known })
    closeFile(context, draft, file, 0)
    return 'closed'
  }
  const earlier = known.slice(0, -1)
  const areEarlierComplete = earlier.every((row) => row.state === 'complete')
  if (last === undefined || !areEarlierComplete || isAwaited(context, last)) {
    putChanged(draft, file, { before: rows, after: known })
    return postpone(context, draft, file, newHolder)
  }
  putChanged(draft, file, { before: rows, after: earlier })
  if (!context.blocks.isRecoverable(last.id)) {
    if (mayBeHeld(context, last)) return postpone(context, draft, file, newHolder)
    draft.deleteBlock(last)
    draft.effects.push({ kind: 'recovery.finished', block: last.id })
    closeFile(context, draft, file, 0)
    return 'closed'
  }
  if (!isRecovering(context, last.id)) startRecovery(context, draft, file, last)
  reassign(context, draft, file, newHolder)
  return 'recovering'
}

/**
 * A report of a final replica may still come: it was asked for a moment ago, or its datanode is not back after a start.
 */
function isAwaited({ leases, blocks, now }: Context, { id, state }: BlockRow): boolean {
  if (state !== 'committed') return false
  const waiting = leases.recovery(id)
  return waiting === undefined || now < waiting.overdueAt || blocks.mayBeReportedLater(id)
}

/** True unless nothing of the block was acknowledged, as far as is known, and no datanode can have any of it. */
function mayBeHeld({ blocks }: Context, { id, length }: BlockRow): boolean {
  return length > 0 || blocks.expectedLocations(id).length > 0 || blocks.mayBeReportedLater(id)
}

/** True while the datanodes may still finish the recovery of a block that was asked for. */
export function isRecovering({ leases, blocks, now }: Context, id: BlockId): boolean {
  const recovery = leases.recovery(id)
  if (recovery?.stamp === undefined || now >= recovery.overdueAt) return false
  return !recovery.isOrdered || blocks.isRecoveryLed(id)
}

/**
 * Nobody can be asked yet: a client that took the lease over only polls, so `tick` looks again for it. Of a committed block the
 * first time counts, since its reports have that long to come.
 */
function postpone(
  context: Context,
  draft: Draft,
  file: InodeRow,
  newHolder: ClientName | undefined,
): Release {
  reassign(context, draft, file, newHolder)
  const last = context.rows.blocks(file.id).at(-1)
  if (last === undefined) return 'waiting-for-replicas'
  const isCommitted = last.state === 'committed'
  const isFirst = context.leases.recovery(last.id) === undefined
  if (isCommitted ? isFirst : newHolder !== undefined) {
    const { id: block, inode } = last
    draft.effects.push({ kind: 'recovery.postponed', block, inode, at: context.now })
  }
  return 'waiting-for-replicas'
}

/** The blocks of a file as {@link releaseLease} leaves them when it answers `closed`. */
export function blocksOnceClosed(context: Context, file: InodeRow): readonly BlockRow[] {
  const rows = context.rows.blocks(file.id).map((row) => completedIfReplicated(context, row))
  return rows.at(-1)?.state === 'complete' ? rows : rows.slice(0, -1)
}

/** Ends the lease; `growth` is how much the length changes by the last block's becoming complete. */
export function closeFile(context: Context, draft: Draft, file: InodeRow, growth: number): void {
  const latest = draft.latest(file)
  const length = latest.length + growth
  draft.putInode({ ...latest, length, ...contentTimes(context.wall), lease: undefined })
  const last = context.rows.blocks(file.id).at(-1)
  // Else what was postponed would be done to whoever opens the file next.
  if (last !== undefined && context.leases.recovery(last.id) !== undefined) {
    draft.effects.push({ kind: 'recovery.finished', block: last.id })
  }
}

/** Asks the datanodes to agree on `last` under a new stamp; every earlier recovery of it is void from now on. */
export function startRecovery(
  context: Context,
  draft: Draft,
  file: InodeRow,
  last: BlockRow,
): void {
  const recoveryStamp = draft.allocateGenerationStamp()
  const block: BlockRow = { ...last, ...bounds(last), state: 'under-recovery' }
  if (last.state !== 'under-recovery') draft.putBlock(file, block)
  draft.effects.push({ kind: 'recovery.started', block, recoveryStamp, at: context.now })
}

/** What limits the length of a block that is about to be recovered, beside what its row says already. */
function bounds({ state, length }: BlockRow): Partial<BlockRow> {
  return state === 'committed' && length > 0 ? { truncateLength: length } : {}
}

/** Passes the lease on to a client that asked for the file, or to the namenode. */
function reassign(
  context: Context,
  draft: Draft,
  file: InodeRow,
  newHolder: ClientName | undefined,
): void {
  const latest = draft.latest(file)
  const { lease } = latest
  if (lease === undefined || newHolder === undefined || lease.holder === newHolder) return
  const clientHost = newHolder === namenodeHolder ? '' : context.caller.host
  draft.putInode({ ...latest, lease: { holder: newHolder, clientHost } })
  draft.effects.push({ kind: 'lease.renewed', holder: newHolder, at: context.now })
}

function putChanged(
  draft: Draft,
  file: InodeRow,
  rows: { readonly before: readonly BlockRow[]; readonly after: readonly BlockRow[] },
): void {
  rows.after.forEach((row, index) => {
    if (row !== rows.before[index]) draft.putBlock(file, row)
  })
}
