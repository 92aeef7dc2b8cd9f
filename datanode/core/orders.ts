/**
 * Orders of the namenode in domain terms, and their translation from the commands on the wire
 * (DatanodeCommand). Commands we have no use for (upgrade, cache, erasure coding, keys, bandwidth) give no order.
 */
import {
  type BlockId,
  blockId,
  type GenerationStamp,
  generationStamp,
  type StorageUuid,
  storageUuid,
} from '../../protocol/ids.ts'
import type {
  BlockCommand,
  DatanodeCommand,
  RecoveringBlock,
} from '../../protocol/messages/datanode-namenode.ts'
import type {
  DatanodeInfo,
  StorageType,
  OrderedBlock as WireBlock,
} from '../../protocol/messages/hdfs-blocks.ts'

/** A replica as an order names it. */
export interface OrderedBlock {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  /** Bytes; of a replica to delete it means nothing. */
  readonly length: number
}

/** Where a copy shall go. */
export interface TransferTarget {
  readonly datanode: DatanodeInfo
  readonly storage: StorageUuid | undefined
  readonly storageType: StorageType
}

/** Copy a finalized replica to `targets`, each passing it on to the next. */
export interface TransferOrder {
  readonly kind: 'transfer'
  readonly block: OrderedBlock
  readonly targets: readonly TransferTarget[]
  /** The block has no other replica. */
  readonly isUrgent: boolean
}

/** Bring the replicas of a block whose writer is gone to one length and stamp. */
export interface RecoverOrder {
  readonly kind: 'recover'
  readonly block: OrderedBlock
  /** The new generation stamp; a recovery with a smaller one loses. */
  readonly recoveryStamp: GenerationStamp
  readonly locations: readonly DatanodeInfo[]
  /** For a truncate, or a block that was committed. */
  readonly truncateLength?: number | undefined
}

export type DatanodeOrder =
  | TransferOrder
  | { readonly kind: 'invalidate'; readonly blocks: readonly OrderedBlock[] }
  | RecoverOrder
  /** The namenode does not know us (any more). */
  | { readonly kind: 'register' }

/** Translates one command of a heartbeat's or report's answer. */
export function ordersOfCommand(command: DatanodeCommand): readonly DatanodeOrder[] {
  switch (command.cmdType) {
    case 'RegisterCommand':
      return [{ kind: 'register' }]
    case 'BlockCommand':
      return command.blkCmd === undefined ? [] : ordersOfBlockCommand(command.blkCmd)
    case 'BlockRecoveryCommand':
      return (command.recoveryCmd?.blocks ?? []).map(recoverOrder)
    case 'BalancerBandwidthCommand':
    case 'FinalizeCommand':
    case 'KeyUpdateCommand':
    case 'UnusedUpgradeCommand':
    case 'NullDatanodeCommand':
    case 'BlockIdCommand':
    case 'BlockECReconstructionCommand':
      return []
    default:
      return []
  }
}

/** Translates a block the way InterDatanodeProtocol and recovery commands carry it. */
export function recoverOrder(recovering: RecoveringBlock): RecoverOrder {
  const { b, locs } = recovering.block
  return {
    kind: 'recover',
    block: {
      blockId: blockId(b.blockId),
      generationStamp: generationStamp(b.generationStamp),
      length: b.numBytes,
    },
    recoveryStamp: generationStamp(recovering.newGenStamp),
    locations: locs,
    truncateLength: recovering.truncateBlock?.numBytes,
  }
}

function ordersOfBlockCommand(command: BlockCommand): readonly DatanodeOrder[] {
  const blocks = command.blocks.map((block) => orderedBlock(block))
  switch (command.action) {
    case 'TRANSFER':
      return blocks.flatMap((block, index) => {
        const targets = targetsOf(command, index)
        return targets.length === 0
          ? []
          : [{ kind: 'transfer', block, targets, isUrgent: command.isUrgent[index] === true }]
      })
    case 'INVALIDATE':
      return [{ kind: 'invalidate', blocks }]
    case 'SHUTDOWN':
      return []
    default:
      return []
  }
}

function orderedBlock({ blockId: id, genStamp, numBytes }: WireBlock): OrderedBlock {
  return {
    blockId: blockId(id),
    generationStamp: generationStamp(genStamp),
    length: Number(numBytes),
  }
}

/** The targets of the block at `index`; storages and their types travel in parallel lists that may be short. */
function targetsOf(command: BlockCommand, index: number): readonly TransferTarget[] {
  const datanodes = command.targets[index]?.datanodes ?? []
  const storages = command.targetStorageUuids[index]?.storageUuids ?? []
  const types = command.targetStorageTypes[index]?.storageTypes ?? []
  return datanodes.map((datanode, position) => {
    const uuid = storages[position]
    return {
      datanode,
      storage: uuid === undefined ? undefined : storageUuid(uuid),
      storageType: types[position] ?? 'DISK',
    }
  })
}
