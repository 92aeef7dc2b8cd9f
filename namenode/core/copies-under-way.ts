/** What is being copied now, for people: the replicas on their way by order, not those that pipelines still report. */
import type { Millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { PendingCopies } from './pending-copies.ts'

/** A replica on its way by order, for people. Datanodes as `host:port`. */
export interface CopyUnderWay {
  readonly blockId: BlockId
  readonly source: string
  readonly target: string
  readonly bytes: number
  /** Decided then, by the monotonic clock. */
  readonly since: Millis
  /** The order has left for the source. */
  readonly isSent: boolean
}

/** The first ordered copies; what a pipeline still has to report is no copy. Costs a look at those told, and at pipelines between. */
export function copiesUnderWay(pending: PendingCopies, countMax: number): CopyUnderWay[] {
  const found: CopyUnderWay[] = []
  for (const [blockId, copies] of pending.entries()) {
    for (const { source, target, bytes, since, sentAt } of copies) {
      if (found.length >= countMax) return found
      if (source === undefined) continue
      found.push({
        ...{ blockId, bytes, since, isSent: sentAt !== undefined },
        source: source.name,
        target: target.node.name,
      })
    }
  }
  return found
}
