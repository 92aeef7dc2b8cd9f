import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { BackupService } from './backup-service.ts'
import type { ClientContext } from './client-context.ts'
import { backupHandlers } from './operator-backup.ts'
import { balanceHandlers } from './operator-balance.ts'
import { explainHandlers } from './operator-explain.ts'
import { datanodeGoalHandlers, repairGuardHandlers } from './operator-nodes.ts'

/** All methods of OperatorProtocol, one file of handlers per subject. */
export function operatorHandlers(
  context: ClientContext,
  { backup }: { readonly backup?: BackupService } = {},
): RpcHandlers<typeof operatorProtocol> {
  return {
    ...balanceHandlers(context),
    ...repairGuardHandlers(context),
    ...explainHandlers(context),
    ...backupHandlers(context, backup),
    ...datanodeGoalHandlers(context),
  }
}
