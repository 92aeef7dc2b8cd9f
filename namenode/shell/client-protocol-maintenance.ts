/**
 * What `hdfs dfsadmin` asks of the namenode's own state: saveNamespace, rollEdits, metaSave and their kin, in our terms.
 * All are for superusers.
 */
import { DfsError } from '../../protocol/errors.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { ClientContext } from './client-context.ts'
import { metaSaveLines, writeMetaSave } from './meta-save.ts'

const nothing = {}

/** @param logDirectory where metaSave puts its files */
export function maintenanceHandlers(
  context: ClientContext,
  logDirectory: string,
): RpcHandlers<typeof clientNamenodeProtocol> {
  const { namenode } = context
  return {
    // The database takes transactions all the time; this makes it take the rest and begins a journal segment.
    saveNamespace: async ({ timeWindow, txGap }, call) => {
      await context.requireSuperuser(call)
      if (namenode.blocks.safeMode === 'off') {
        throw new DfsError(
          'IO_ERROR',
          'Safe mode should be turned ON in order to create namespace image.',
        )
      }
      const hadLag = await namenode.checkpointer.foldNow()
      if (hadLag) await namenode.journal.roll()
      const isOnlyIfNeeded = timeWindow > 0 || txGap > 0
      return { saved: hadLag || !isOnlyIfNeeded }
    },
    rollEdits: async (_request, call) => {
      await context.requireSuperuser(call)
      const { through } = await namenode.journal.roll()
      return { newSegmentTxId: through + 1 }
    },
    // A start takes over what an older version wrote, at once and for good: nothing waits to be finalized.
    finalizeUpgrade: async (_request, call) => {
      await context.requireSuperuser(call)
      return nothing
    },
    // There is one directory: when it fails the namenode stops, and nothing is left to be restored while it runs.
    restoreFailedStorage: async (_request, call) => {
      await context.requireSuperuser(call)
      return { result: false }
    },
    metaSave: async ({ filename }, call) => {
      await context.requireSuperuser(call)
      await writeMetaSave(logDirectory, filename, metaSaveLines(namenode))
      return nothing
    },
  }
}
