/**
 * What an operator asks of a datanode: decommission, maintenance, or nothing any more. Asking for what is
 * asked already changes nothing, except the end of a maintenance.
 */
import type { Millis } from '../../../base/brand.ts'
import { DfsError } from '../../../protocol/errors.ts'
import type { BlockSide } from '../block-side.ts'
import type { DatanodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { answer, type Plan } from '../outcome.ts'
import type { ReplicaLocation, Request } from '../requests.ts'

/** Answers the row as it is afterwards; `undefined` when nothing is asked. */
export function setDatanodeGoal(
  context: Context,
  request: Request & { readonly kind: 'setDatanodeGoal' },
): Plan<DatanodeRow | undefined> {
  const { caller, blocks, wall } = context
  if (!caller.isSuperuser) {
    throw new DfsError(
      'PERMISSION_DENIED',
      `Access denied for user ${caller.user}. Superuser privilege is required`,
    )
  }
  const { goal, expiresAt } = request
  if (expiresAt !== undefined && (goal !== 'in-maintenance' || expiresAt <= wall)) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      goal === 'in-maintenance'
        ? 'A maintenance must end in the future'
        : 'Only a maintenance can have an end',
    )
  }
  const { uuid, name } = blocks.datanodeNamed(request.datanode)
  const before = blocks.datanodeRow(uuid)
  const draft = new Draft(context.nextIds)
  if (goal === 'normal') {
    if (before === undefined) return answer(undefined)
    draft.deleteDatanode(uuid)
    return draft.plan(undefined)
  }
  const isSameGoal = before?.goal === goal
  if (isSameGoal && before.expiresAt === expiresAt) return answer(before)
  const row: DatanodeRow = {
    ...{ uuid, name, goal },
    isReached: isSameGoal && before.isReached,
    requestedAt: isSameGoal ? before.requestedAt : wall,
    ...(expiresAt !== undefined && { expiresAt }),
  }
  draft.putDatanode(row)
  return draft.plan(row)
}

/** What time has made of goals: those that were reached, and maintenance that is over. */
export function progressDatanodeGoals(blocks: BlockSide, wall: Millis, draft: Draft): void {
  const isOver = ({ expiresAt }: DatanodeRow): boolean =>
    expiresAt !== undefined && expiresAt <= wall
  for (const row of blocks.reachedGoals()) if (!isOver(row)) draft.putDatanode(row)
  for (const row of blocks.datanodeRows()) if (isOver(row)) draft.deleteDatanode(row.uuid)
}

/**
 * Takes back that datanodes may leave, when they are the only ones that have the version of a block which `draft`
 * makes the current one: they are drained once more. Invariant B16.
 */
export function retainSoleHolders(
  { blocks }: Context,
  draft: Draft,
  locations: readonly ReplicaLocation[],
): void {
  const rows = locations.map(({ datanode }) => blocks.datanodeRow(datanode))
  if (!rows.every((row) => row?.isReached === true)) return
  for (const row of rows) if (row !== undefined) draft.putDatanode({ ...row, isReached: false })
}
