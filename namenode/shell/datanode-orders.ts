import { unreachable } from '../../base/assert.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { datanodeCommand } from '../../protocol/messages/datanode-namenode.ts'
import type { DatanodeOrder, RecoverOrder, TransferOrder } from '../core/orders.ts'
import type { BlockReference } from '../core/requests.ts'
import { type ViewSource, wireDatanodeInfo, wirePlacelessBlock } from './wire-views.ts'

export type WireCommand = EncodableOf<typeof datanodeCommand>
type WireOrderedBlock = { blockId: number; genStamp: number; numBytes: bigint }

/** Orders as the commands of a heartbeat's answer; transfers and recoveries go together. */
export function wireCommands(
  source: ViewSource,
  orders: readonly DatanodeOrder[],
): readonly WireCommand[] {
  const transfers: TransferOrder[] = []
  const recoveries: RecoverOrder[] = []
  const commands: WireCommand[] = []
  for (const order of orders) {
    switch (order.kind) {
      case 'transfer':
        transfers.push(order)
        break
      case 'recover':
        recoveries.push(order)
        break
      case 'invalidate':
        commands.push({
          cmdType: 'BlockCommand',
          blkCmd: {
            action: 'INVALIDATE',
            blockPoolId: source.blockPoolId,
            blocks: order.blocks.map(orderedBlock),
          },
        })
        break
      case 'register':
        commands.push({ cmdType: 'RegisterCommand', registerCmd: {} })
        break
      default:
        unreachable(order)
    }
  }
  if (transfers.length > 0) commands.push(transferCommand(source, transfers))
  if (recoveries.length > 0) commands.push(recoveryCommand(source, recoveries))
  return commands
}

/** Blocks and the lists of their targets are parallel. */
function transferCommand(source: ViewSource, orders: readonly TransferOrder[]): WireCommand {
  const known = orders.map(({ block, targets, isUrgent }) => ({
    ...{ block, isUrgent },
    targets: targets.flatMap(({ datanode, storage }) => {
      const view = source.datanode(datanode)
      return view === undefined ? [] : [{ info: wireDatanodeInfo(source, view), storage }]
    }),
  }))
  return {
    cmdType: 'BlockCommand',
    blkCmd: {
      action: 'TRANSFER',
      blockPoolId: source.blockPoolId,
      blocks: known.map(({ block }) => orderedBlock(block)),
      targets: known.map(({ targets }) => ({ datanodes: targets.map(({ info }) => info) })),
      targetStorageUuids: known.map(({ targets }) => ({
        storageUuids: targets.map(({ storage }) => storage),
      })),
      targetStorageTypes: known.map(({ targets }) => ({
        storageTypes: targets.map(() => 'DISK' as const),
      })),
      isUrgent: known.map(({ isUrgent }) => isUrgent),
    },
  }
}

function recoveryCommand(source: ViewSource, orders: readonly RecoverOrder[]): WireCommand {
  return {
    cmdType: 'BlockRecoveryCommand',
    recoveryCmd: {
      blocks: orders.map(({ block, recoveryStamp, locations, truncateLength }) => ({
        newGenStamp: recoveryStamp,
        block: wirePlacelessBlock(source, block, locations),
        truncateBlock:
          truncateLength === undefined
            ? undefined
            : { blockId: block.id, genStamp: recoveryStamp, numBytes: truncateLength },
      })),
    },
  }
}

function orderedBlock({ id, generationStamp, length }: BlockReference): WireOrderedBlock {
  return { blockId: id, genStamp: generationStamp, numBytes: BigInt(length) }
}
