/** What `/healthz` and `/readyz` of a namenode look at. */
import type { HealthCheck, Watchdog } from '../../transport/health.ts'
import type { Namenode } from './namenode.ts'

/** A transaction that waits for the disk for so long has a disk that hangs. */
const journalStallMsMax = 30_000

/** Fails when only a restart, or a repair of the machine, helps. */
export function namenodeHealth(namenode: Namenode, watchdog: Watchdog): HealthCheck[] {
  const stalledMs = watchdog.progressOf(() => {
    const { journal } = namenode
    return journal.waitingCount === 0 ? undefined : journal.durableTxid
  })
  return [
    watchdog.eventLoop(),
    {
      name: 'journal',
      reason: () => {
        const ms = stalledMs()
        if (ms < journalStallMsMax) return undefined
        const { waitingCount } = namenode.journal
        return `${waitingCount} transactions have waited for the journal's disk for ${Math.round(ms / 1000)} s`
      },
    },
  ]
}

/** Fails while clients would not get what they ask for. */
export function namenodeReadiness(
  namenode: Namenode,
  health: readonly HealthCheck[],
): HealthCheck[] {
  const { blocks } = namenode
  return [
    ...health,
    {
      name: 'blocks-loaded',
      reason: () => {
        if (namenode.blockLoading.isDone) return undefined
        return `Rows of blocks are still being loaded: ${namenode.blockLoading.loadedCount} so far`
      },
    },
    {
      name: 'safe-mode',
      reason: () => {
        if (blocks.safeMode === 'off') return undefined
        if (blocks.safeMode === 'manual') return 'Safe mode was entered by an operator'
        const { safeBlocks, safeModeNeededBlocks } = blocks.stats()
        return `Safe mode: ${safeBlocks} blocks were reported, ${safeModeNeededBlocks} are needed`
      },
    },
    {
      name: 'disk-space',
      reason: () => {
        if (!namenode.isLowOnSpace) return undefined
        return `Changes are refused: ${namenode.freeBytes ?? 0} bytes are free on the namenode's disk`
      },
    },
  ]
}
