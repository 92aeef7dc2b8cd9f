/** What an operator asked of datanodes as reports show it: how far each has got, and what is in its way. */
import type { BlockId } from '../../protocol/ids.ts'
import type { AdminState } from '../../protocol/states.ts'
import type { DatanodeRow } from './changes.ts'
import { adminStateOf, type DatanodeGoals } from './datanode-goals.ts'
import { type ReasonParts, whyLeft } from './drain-reasons.ts'
import type { DrainProgress, Drains } from './drains.ts'

/** A block that is left on a datanode, and why. */
export interface BlockLeft {
  readonly id: BlockId
  readonly reason: string
}

export interface DrainView {
  readonly row: DatanodeRow
  readonly adminState: AdminState
  /** Absent once the goal is reached, and before the first pass has ended. */
  readonly progress: DrainProgress | undefined
  /** Why it cannot be done now whatever is left. */
  readonly obstacle: string | undefined
  readonly blocksLeft: readonly BlockLeft[]
}

export interface DrainViewParts extends ReasonParts {
  readonly goals: DatanodeGoals
  readonly drains: Drains
  /** Blocks to explain for each datanode. */
  readonly samplesMax: number
}

/** Every datanode that something is asked of, in the order in which it was asked. */
export function drainView(parts: DrainViewParts): readonly DrainView[] {
  const views: DrainView[] = []
  for (const row of parts.goals.rows()) {
    const { uuid, isReached } = row
    const progress = isReached ? undefined : parts.drains.progress(uuid)
    const sample = progress?.sample.slice(0, parts.samplesMax) ?? []
    views.push({
      row,
      adminState: adminStateOf(row),
      progress,
      obstacle: isReached ? undefined : parts.drains.obstacle(uuid),
      blocksLeft: sample.map((id) => ({ id, reason: whyLeft(id, parts) })),
    })
  }
  return views
}
