import { DfsError } from '../../protocol/errors.ts'
import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { BackupService } from './backup-service.ts'
import type { ClientContext } from './client-context.ts'

/** Methods that copy the namenode's state. Only a superuser may: the copy holds every name there is. */
export function backupHandlers(
  context: ClientContext,
  backup: BackupService | undefined,
): RpcHandlers<typeof operatorProtocol> {
  const service = (): BackupService => {
    if (backup !== undefined) return backup
    throw new DfsError('UNSUPPORTED_OPERATION', 'This namenode keeps no files that could be copied')
  }
  return {
    beginBackup: async ({ through, isFull }, call) => {
      await context.requireSuperuser(call)
      return service().begin(through, isFull)
    },
    readBackup: async ({ session, name, offset, length }, call) => {
      await context.requireSuperuser(call)
      return { data: await service().read(session, name, offset, length) }
    },
    endBackup: async ({ session, through }, call) => {
      await context.requireSuperuser(call)
      await service().end(session, through)
      return {}
    },
  }
}
