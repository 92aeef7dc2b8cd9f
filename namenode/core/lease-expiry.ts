/**
 * What time does to leases: files of writers past the hard limit are closed, oldest first; files the
 * namenode holds itself, and recoveries that did not finish, get their next step.
 */
import type { InodeId } from '../../protocol/ids.ts'
import type { Context } from './context.ts'
import type { Draft } from './draft.ts'
import { namenodeHolder } from './lease-manager.ts'
import { isRecovering, releaseLease } from './release-lease.ts'
import type { MissCollector } from './row-miss.ts'

/** Rows to load for one tick at most; the rest follows with the next. */
const missesPerTickMax = 256

/**
 * Plans the next step of every file whose lease ran out, until about `budget` changes.
 * @param unseen files that were open at the last restart: a recovery of theirs may have been forgotten.
 */
export function expireLeases(
  context: Context,
  draft: Draft,
  collector: MissCollector,
  options: { readonly budget: number; readonly unseen: Set<InodeId> },
): void {
  const { leases, now } = context
  const seen = new Set<InodeId>()
  const isFull = (): boolean =>
    draft.size >= options.budget || collector.misses.length >= missesPerTickMax
  const step = (id: InodeId, isExpired: boolean): void => {
    if (seen.has(id)) return
    seen.add(id)
    collector.attempt(() => releaseOne(context, draft, id, isExpired))
    // Asked for together with the file, since both are needed.
    if (collector.misses.length > 0) collector.attempt(() => context.rows.blocks(id))
  }
  for (const id of leases.expired(now)) {
    if (isFull()) return
    step(id, true)
  }
  for (const [block, { inode, stamp, overdueAt }] of leases.recoveries()) {
    if (isFull()) return
    const isUnderWay = stamp === undefined ? now < overdueAt : isRecovering(context, block)
    if (!isUnderWay) step(inode, false)
  }
  for (const id of options.unseen) {
    if (isFull()) return
    // A file that had its step above looks different once the plan is applied: next tick.
    if (seen.has(id)) continue
    const isSeen = collector.attempt(() => resumeRecovery(context, draft, id))
    if (isSeen === true) options.unseen.delete(id)
  }
}

function releaseOne(context: Context, draft: Draft, id: InodeId, isExpired: boolean): void {
  const file = context.rows.inode(id)
  if (file?.lease === undefined || context.rows.ancestors(file) === undefined) {
    context.leases.forgetRecoveries(id)
    return
  }
  releaseLease(context, draft, file, isExpired ? namenodeHolder : undefined)
}

/** Starts the recovery of a file anew when a restart has forgotten who was asked for it. */
function resumeRecovery(context: Context, draft: Draft, id: InodeId): boolean {
  const file = context.rows.inode(id)
  if (file?.lease === undefined || context.rows.ancestors(file) === undefined) return true
  const last = context.rows.blocks(id).at(-1)
  if (last?.state === 'under-recovery' && !isRecovering(context, last.id)) {
    releaseLease(context, draft, file)
  }
  return true
}
