/**
 * What happened lately, for an operator who asks: changes of the cluster, what operators asked for, and the newest lines
 * of the audit log. It is bounded and in memory; the log files are what lasts. Audit lines have a ring of their own, so that
 * ten thousand of them a second do not push out that a datanode died.
 */
import { Ring } from '../../base/ring.ts'
import type { AuditRecord } from './audit.ts'

export const auditEventsMax = 10_000
export const clusterEventsMax = 2_000
/** Events of one answer. */
export const eventsPerAnswerMax = 1_000

export type EventKind = 'audit' | 'cluster' | 'operator'
export type EventLevel = 'info' | 'warning' | 'danger'

/** Something that happened. `id` grows with every event, also across restarts of the namenode. */
export interface LoggedEvent {
  readonly id: number
  /** By the wall clock. */
  readonly atMs: number
  readonly kind: EventKind
  readonly level: EventLevel
  readonly text: string
  readonly user?: string | undefined
}

/** Which events are wanted. */
export interface EventQuery {
  readonly kinds: ReadonlySet<EventKind>
  readonly levels: ReadonlySet<EventLevel>
  /** Only with an id above or below. */
  readonly after: number
  readonly before: number
  /** In lower case; empty for all. */
  readonly words: readonly string[]
  readonly limit: number
}

export interface EventAnswer {
  /** The newest first. */
  readonly events: readonly LoggedEvent[]
  /** There are more that match, further back. */
  readonly hasMore: boolean
}

/** Ids begin with the time of the start, so that one of a former run is older than all of this one. */
const idsPerMillisecond = 1_000

export class EventLog {
  readonly #wall: () => number
  readonly #audit = new Ring<LoggedEvent | AuditEvent>(auditEventsMax)
  readonly #cluster = new Ring<LoggedEvent>(clusterEventsMax)
  #newest: number

  constructor(wall: () => number) {
    this.#wall = wall
    this.#newest = Math.floor(wall()) * idsPerMillisecond
  }

  /** Id of the newest event. */
  get newest(): number {
    return this.#newest
  }

  add(event: Omit<LoggedEvent, 'id' | 'atMs'>): void {
    this.#cluster.push({ id: this.#nextId(), atMs: this.#wall(), ...event })
  }

  /** Takes in a line of the audit log; it becomes text only when somebody asks. */
  readonly audited = (record: AuditRecord): void => {
    this.#audit.push({ id: this.#nextId(), atMs: this.#wall(), kind: 'audit', record })
  }

  list({ kinds, levels, after, before, words, limit }: EventQuery): EventAnswer {
    const events: LoggedEvent[] = []
    for (const stored of this.#newestFirst(kinds)) {
      if (stored.id <= after) break
      if (stored.id >= before) continue
      const event = 'record' in stored ? eventOf(stored) : stored
      if (!levels.has(event.level) || !hasWords(event, words)) continue
      if (events.length === limit) return { events, hasMore: true }
      events.push(event)
    }
    return { events, hasMore: false }
  }

  *#newestFirst(kinds: ReadonlySet<EventKind>): IterableIterator<LoggedEvent | AuditEvent> {
    const audit = kinds.has('audit') ? this.#audit.reversed() : [].values()
    const cluster = this.#cluster.reversed()
    let fromAudit = audit.next()
    let fromCluster = cluster.next()
    while (fromAudit.done !== true || fromCluster.done !== true) {
      const isAudit =
        fromCluster.done === true ||
        (fromAudit.done !== true && fromAudit.value.id > fromCluster.value.id)
      const event = (isAudit ? fromAudit.value : fromCluster.value) as LoggedEvent | AuditEvent
      if (isAudit) fromAudit = audit.next()
      else fromCluster = cluster.next()
      if (kinds.has(event.kind)) yield event
    }
  }

  #nextId(): number {
    this.#newest += 1
    return this.#newest
  }
}

interface AuditEvent {
  readonly id: number
  readonly atMs: number
  readonly kind: 'audit'
  readonly record: AuditRecord
}

function eventOf({ id, atMs, kind, record }: AuditEvent): LoggedEvent {
  const { isAllowed, user, realUser, host, command, source, target } = record
  const paths = [source, target].filter((path) => path !== undefined).join(' → ')
  const via = realUser === undefined ? '' : ` through ${realUser}`
  const verdict = isAllowed ? '' : 'denied: '
  const text = `${verdict}${command} ${paths} from ${host}${via}`
  return { id, atMs, kind, level: isAllowed ? 'info' : 'warning', text, user }
}

function hasWords({ text, user = '' }: LoggedEvent, words: readonly string[]): boolean {
  if (words.length === 0) return true
  const whole = `${user} ${text}`.toLowerCase()
  return words.every((word) => whole.includes(word))
}
