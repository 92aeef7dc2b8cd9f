import type { Millis } from '../../base/brand.ts'
import { blockId, datanodeUuid } from '../../protocol/ids.ts'
import type { EncodableOf, EnumOf } from '../../protocol/message.ts'
import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type {
  explainBlockResponse,
  explainDatanodeResponse,
  explainedBlock,
  replicaWorthEnum,
} from '../../protocol/messages/operator-explain.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { ExplainedBlock, ReplicaWorth } from '../core/explain.ts'
import { type ClientContext, mapReply } from './client-context.ts'

/** Methods that say why a block or a datanode is as it is. Paths are told to superusers alone. */
export function explainHandlers(context: ClientContext): RpcHandlers<typeof operatorProtocol> {
  const { blocks } = context.namenode
  return {
    explainBlock: async ({ blockId: wireId }, call) => {
      const id = blockId(wireId)
      const { isSuperuser } = await mapReply(context.caller(call), (caller) => caller)
      const path = isSuperuser
        ? await context.execute(call, { kind: 'getBlockPath', block: id })
        : undefined
      const block = blocks.explainBlock(id)
      // What it tells of rows may not be on disk yet (J1).
      return context.namenode.release({
        block: block && wireBlock(block, path, (at) => toWall(context, at)),
        paused: pauseOf(context),
      } satisfies EncodableOf<typeof explainBlockResponse>)
    },
    explainDatanode: ({ uuid }) => {
      const node = blocks.explainNode(datanodeUuid(uuid))
      return {
        datanode: node && {
          ...node,
          uuid: node.datanode,
          outBytesPerSecond: whole(node.outBytesPerSecond),
          inBytesPerSecond: whole(node.inBytesPerSecond),
          silenceMs: Math.round(node.silenceMs),
        },
        paused: pauseOf(context),
      } satisfies EncodableOf<typeof explainDatanodeResponse>
    },
  }
}

/** What keeps all repair waiting. */
function pauseOf({ namenode: { blocks } }: ClientContext): string | undefined {
  if (blocks.safeMode !== 'off') return 'safe-mode'
  return blocks.repairGuard().pausedAt === undefined ? undefined : 'mass-failure'
}

function toWall(context: ClientContext, at: Millis): number {
  return Math.max(0, Math.round(at + context.wallOffsetMs))
}

function whole(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value)
}

const wireWorth = {
  good: 'GOOD',
  unconfirmed: 'UNCONFIRMED',
  'being-written': 'BEING_WRITTEN',
  waiting: 'WAITING',
  'to-be-deleted': 'TO_BE_DELETED',
  unreachable: 'UNREACHABLE',
  leaving: 'LEAVING',
  maintained: 'IN_MAINTENANCE',
  reported: 'REPORTED_CORRUPT',
  'stale-stamp': 'STALE_STAMP',
  'future-stamp': 'FUTURE_STAMP',
  'wrong-length': 'WRONG_LENGTH',
  'not-finalized': 'NOT_FINALIZED',
  'digest-mismatch': 'DIVERGENT',
  'digest-undecided': 'UNDECIDED',
} as const satisfies Record<ReplicaWorth, EnumOf<typeof replicaWorthEnum>>

function wireBlock(
  block: ExplainedBlock,
  path: string | undefined,
  wall: (at: Millis) => number,
): EncodableOf<typeof explainedBlock> {
  const { hindrance, nextTryAt } = block
  return {
    blockId: block.id,
    generationStamp: block.generationStamp,
    length: block.length,
    state: block.state,
    wanted: block.wanted,
    good: block.good,
    isHealthy: block.isHealthy,
    replicas: block.replicas.map((replica) => ({ ...replica, worth: wireWorth[replica.worth] })),
    copies: block.copies.map(({ from, to, bytes, since, sentAt, until }) => ({
      ...{ from, to, bytes },
      sinceMs: wall(since),
      sentMs: sentAt === undefined ? undefined : wall(sentAt),
      untilMs: wall(until),
    })),
    queue: block.queue,
    hindrance: hindrance?.why,
    hindranceMs: hindrance && wall(hindrance.at),
    refusals: block.refusals,
    isDeletionPostponed: block.isDeletionPostponed,
    nextTryMs: nextTryAt === undefined ? undefined : wall(nextTryAt),
    path,
  }
}
