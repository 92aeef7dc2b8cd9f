import type { EncodableOf } from '../../protocol/message.ts'
import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type {
  getHistoryResponse,
  ListEventsRequest,
  listEventsResponse,
  repairStateResponse,
} from '../../protocol/messages/operator-activity.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import { dangers } from '../core/redundancy.ts'
import type { Activity } from './activity.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { type EventKind, type EventLevel, eventsPerAnswerMax } from './event-log.ts'
import { historyPeriodMs, historySpanMs } from './history.ts'

/** Copies of one answer. */
const copiesPerAnswerMax = 1_000

const kindNames = { audit: 'AUDIT', cluster: 'CLUSTER', operator: 'OPERATOR' } as const
const levelNames = { info: 'INFO', warning: 'WARNING', danger: 'DANGER' } as const
const kinds = Object.keys(kindNames) as EventKind[]
const levels = Object.keys(levelNames) as EventLevel[]

/** Methods about what the cluster does and did. */
export function activityHandlers(
  context: ClientContext,
  activity: Activity,
): RpcHandlers<typeof operatorProtocol> {
  return {
    getHistory: ({ afterMs = 0 }) => history(activity, afterMs),
    getRepairState: ({ copiesMax }) => repairState(context, copiesMax),
    listEvents: (request, call) =>
      mapReply(context.caller(call), ({ isSuperuser }) => events(activity, request, isSuperuser)),
  }
}

function history(
  { history, events }: Activity,
  afterMs: number,
): EncodableOf<typeof getHistoryResponse> {
  return {
    periodMs: historyPeriodMs,
    spanMs: historySpanMs,
    samples: history.after(afterMs),
    newestEvent: events.newest,
  }
}

function repairState(
  { namenode: { blocks }, wallOffsetMs }: ClientContext,
  copiesMax: number,
): EncodableOf<typeof repairStateResponse> {
  const { queueLengths, pendingCopies } = blocks.stats()
  const copies = blocks.copiesUnderWay(Math.min(copiesMax, copiesPerAnswerMax))
  return {
    queues: dangers.map((danger) => ({ danger, blocks: queueLengths[danger] })),
    copies: copies.map(({ since, ...copy }) => ({
      ...copy,
      sinceMs: Math.max(0, Math.round(since + wallOffsetMs)),
    })),
    copiesUnderWay: pendingCopies,
  }
}

/** Lines of the audit log have paths of everybody's: they are for superusers. */
function events(
  { events }: Activity,
  request: ListEventsRequest,
  isSuperuser: boolean,
): EncodableOf<typeof listEventsResponse> {
  const { after = 0, before = Number.MAX_SAFE_INTEGER, text = '', limit } = request
  const wanted = kinds.filter((kind) => {
    return request.kinds.length === 0 || request.kinds.includes(kindNames[kind])
  })
  const seen = wanted.filter((kind) => kind !== 'audit' || isSuperuser)
  const answer = events.list({
    kinds: new Set(seen),
    levels: new Set(
      levels.filter((level) => {
        return request.levels.length === 0 || request.levels.includes(levelNames[level])
      }),
    ),
    ...{ after, before },
    words: text
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== ''),
    limit: Math.min(limit, eventsPerAnswerMax),
  })
  return {
    events: answer.events.map(({ kind, level, ...event }) => ({
      ...event,
      kind: kindNames[kind],
      level: levelNames[level],
    })),
    hasMore: answer.hasMore,
    newest: events.newest,
    isWithoutAudit: seen.length < wanted.length,
  }
}
