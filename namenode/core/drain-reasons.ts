/**
 * Why a block is still in the way of draining its datanode: what is being done about it, or what keeps
 * it from being done. For reports only: asking changes nothing, and draws nothing from a generator.
 */
import type { BlockId } from '../../protocol/ids.ts'
import type { DatanodeRegistry } from './datanode-registry.ts'
import type { Refusal } from './placement.ts'
import { assess, sourcesOf } from './redundancy.ts'
import type { Repair } from './repair.ts'
import type { RepairRounds } from './repair-rounds.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

export interface ReasonParts {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
  readonly rounds: RepairRounds
  /** Why nothing at all is copied now. */
  readonly pause: string | undefined
}

const refusalsShown = 5

/** One clause about one block, without full stop. */
export function whyLeft(id: BlockId, parts: ReasonParts): string {
  const { ledger, registry, repair, rounds, pause } = parts
  const at = ledger.map.find(id)
  if (at === undefined) return 'deleted meanwhile'
  if (ledger.map.kind(at) !== 'complete') {
    return 'being written, and too few other datanodes write it: waits until its writer is done'
  }
  const health = assess(ledger, registry, at)
  const ordered = repair.pending.of(id).filter(({ source }) => source !== undefined)
  if (ordered.length > 0) {
    const targets = ordered.map(({ target }) => target.node.name).join(', ')
    return `being copied to ${targets}`
  }
  if (health.good.length >= health.needed) return 'copied meanwhile'
  if (pause !== undefined) return pause
  if (sourcesOf(health).every(({ node }) => node.liveness !== 'live')) {
    return 'no live datanode has a good replica to copy from'
  }
  const refusals = rounds.refusals(id)
  if (refusals.length < registry.count) return 'waits for its turn to be copied'
  return `no datanode can take a copy: ${listed(refusals)}`
}

function listed(refusals: readonly Refusal[]): string {
  const shown = refusals.slice(0, refusalsShown)
  const text = shown.map(({ datanode, reason }) => `${datanode} ${reason}`).join('; ')
  const rest = refusals.length - shown.length
  return rest === 0 ? text : `${text}; and ${rest} more`
}
