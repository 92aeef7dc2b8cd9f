import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { Activity } from './activity.ts'
import type { BackupService } from './backup-service.ts'
import type { ClientContext } from './client-context.ts'
import { activityHandlers } from './operator-activity.ts'
import { backupHandlers } from './operator-backup.ts'
import { balanceHandlers } from './operator-balance.ts'
import { explainHandlers } from './operator-explain.ts'
import { datanodeGoalHandlers, repairGuardHandlers } from './operator-nodes.ts'
import { placementHandlers } from './operator-placement.ts'

/** All methods of OperatorProtocol, one file of handlers per subject. */
export function operatorHandlers(
  context: ClientContext,
  { backup, activity }: { readonly backup?: BackupService; readonly activity?: Activity } = {},
): RpcHandlers<typeof operatorProtocol> {
  return {
    ...balanceHandlers(context),
    ...repairGuardHandlers(context),
    ...explainHandlers(context),
    ...backupHandlers(context, backup),
    ...datanodeGoalHandlers(context),
    ...(activity === undefined ? {} : activityHandlers(context, activity)),
    ...placementHandlers(context),
  }
}
