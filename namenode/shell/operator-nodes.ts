import type { EncodableOf } from '../../protocol/message.ts'
import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type { repairGuardResponse } from '../../protocol/messages/operator-nodes.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import { type ClientContext, mapReply } from './client-context.ts'

/** Methods about the pause of repair after a mass failure. */
export function repairGuardHandlers(context: ClientContext): RpcHandlers<typeof operatorProtocol> {
  const { blocks } = context.namenode
  return {
    getRepairGuard: () => repairGuard(context),
    resumeRepair: (_request, call) =>
      mapReply(context.requireSuperuser(call), () => {
        const before = repairGuard(context)
        blocks.resumeRepair()
        return before
      }),
  }
}

function repairGuard(context: ClientContext): EncodableOf<typeof repairGuardResponse> {
  const { blocks } = context.namenode
  const toWall = (at: number): number => Math.max(0, Math.round(at + context.wallOffsetMs))
  const { pausedAt, lost, remainingCount } = blocks.repairGuard()
  return {
    isPaused: pausedAt !== undefined,
    pausedAtMs: pausedAt === undefined ? undefined : toWall(pausedAt),
    lost: lost.map(({ uuid, name, lostAt }) => ({ uuid, name, lostAtMs: toWall(lostAt) })),
    remaining: remainingCount,
  }
}
