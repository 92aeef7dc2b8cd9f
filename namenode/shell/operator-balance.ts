import { DfsError } from '../../protocol/errors.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type { balanceResponse } from '../../protocol/messages/operator-balance.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import { planBalance } from '../core/balance-plan.ts'
import { type ClientContext, mapReply } from './client-context.ts'

const percentMax = 100

/** Methods about how evenly the datanodes are filled. */
export function balanceHandlers(context: ClientContext): RpcHandlers<typeof operatorProtocol> {
  const { blocks } = context.namenode
  return {
    getBalance: ({ thresholdPercent }) => balance(context, checked(thresholdPercent)),
    setBalance: ({ isEnabled, thresholdPercent, bytesPerSecond }, call) =>
      mapReply(context.requireSuperuser(call), () => {
        if (bytesPerSecond === 0) {
          throw new DfsError('INVALID_ARGUMENT', 'Bandwidth must be at least 1 byte a second')
        }
        blocks.setBalance({
          ...{ isEnabled, bytesPerSecond },
          thresholdPercent: checked(thresholdPercent),
        })
        const after = balance(context, undefined)
        context.noteOperator(
          call,
          `Balancing is ${after.isEnabled ? 'on' : 'off'}, within ${after.thresholdPercent} %`,
        )
        return after
      }),
  }
}

function checked(thresholdPercent: number | undefined): number | undefined {
  const isFine =
    thresholdPercent === undefined || (thresholdPercent >= 1 && thresholdPercent <= percentMax)
  if (isFine) return thresholdPercent
  throw new DfsError(
    'INVALID_ARGUMENT',
    `Threshold must be 1 to ${percentMax} percent, got ${thresholdPercent}`,
  )
}

function balance(
  { namenode: { blocks } }: ClientContext,
  thresholdPercent: number | undefined,
): EncodableOf<typeof balanceResponse> {
  const view = blocks.balance()
  const { flows } =
    thresholdPercent === undefined ? view.plan : planBalance(view.fills, thresholdPercent / 100)
  const { isEnabled, bytesPerSecond, movingBlocks, movingBytes, movedBlocks, movedBytes } = view
  return {
    ...{ isEnabled, bytesPerSecond, movingBlocks, movingBytes, movedBlocks, movedBytes },
    thresholdPercent: thresholdPercent ?? view.thresholdPercent,
    waitsFor: view.waitsFor,
    datanodes: view.fills.map(({ node, capacity, used }) => ({
      ...{ uuid: node.uuid, name: node.name, capacity, used },
    })),
    flows: flows.map(({ source, target, bytes }) => ({
      ...{ source: source.name, target: target.name, bytes },
    })),
  }
}
