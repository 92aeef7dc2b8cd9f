import type { Observation } from './observe.ts'
import type { HistoryView, NodesEvent, NodeView, SampleView } from './views.ts'

/** Parts that are told as a whole when anything of them changed. */
const plainParts = ['overview', 'balance', 'work', 'log'] as const

/** One event of the stream: its name and its data, as text. */
export interface WatchEvent {
  readonly name: (typeof plainParts)[number] | 'nodes' | 'history' | 'trouble'
  readonly text: string
}

/** Who is told of changes. */
export type Listener = (events: readonly WatchEvent[]) => void

/** Parameters of {@link ClusterWatch}. */
export interface WatchOptions {
  /** Looks at the cluster; samples of its history only when taken later than `historyAfterMs`. */
  readonly observe: (historyAfterMs: number) => Promise<Observation>
  /** Between the end of one observation and the next. */
  readonly periodMs: number
}

/** A heartbeat is news only when the one last told of is older than this: it comes every few seconds from every node. */
const heartbeatNewsMs = 10_000

/**
 * Looks at the cluster for all listeners together, as long as there are any, and tells each what changed. The
 * namenode is asked once a period however many pages are open, and not at all when none is.
 */
export class ClusterWatch {
  readonly #options: WatchOptions
  readonly #listeners = new Set<Listener>()
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  #hasSeen = false
  readonly #texts = new Map<(typeof plainParts)[number], string>()
  readonly #nodes = new Map<string, NodeView>()
  #history: HistoryView | undefined

  constructor(options: WatchOptions) {
    this.#options = options
  }

  /** Tells `listener` of changes from now on; the answer ends that. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) void this.#look()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      clearTimeout(this.#timer)
      // What was seen ages unnoticed from here on.
      this.#forget()
    }
  }

  /** Everything as it was seen last, for a listener that begins or has missed something. */
  snapshot(): WatchEvent[] {
    if (!this.#hasSeen) return []
    const history = this.#history
    return [
      ...[...this.#texts].map(([name, text]) => ({ name, text })),
      nodesEvent({ isWhole: true, nodes: [...this.#nodes.values()], removed: [] }),
      ...(history === undefined ? [] : [historyEvent({ ...history, isWhole: true })]),
    ]
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      this.#tell(this.#changes(await this.#options.observe(this.#lastSampleMs())))
    } catch (error) {
      this.#forget()
      const message = error instanceof Error ? error.message : String(error)
      this.#tell([{ name: 'trouble', text: JSON.stringify({ message }) }])
    } finally {
      this.#isLooking = false
    }
    if (this.#listeners.size === 0) {
      this.#forget()
      return
    }
    this.#timer = setTimeout(() => void this.#look(), this.#options.periodMs)
  }

  #tell(events: readonly WatchEvent[]): void {
    if (events.length === 0) return
    for (const listener of [...this.#listeners]) listener(events)
  }

  #lastSampleMs(): number {
    return this.#history?.samples.at(-1)?.atMs ?? 0
  }

  #changes({ nodes, history, newestEvent, ...parts }: Observation): WatchEvent[] {
    const events: WatchEvent[] = []
    const isWhole = !this.#hasSeen
    this.#hasSeen = true
    for (const name of plainParts) {
      const text = JSON.stringify(name === 'log' ? { newest: newestEvent } : parts[name])
      if (text !== this.#texts.get(name)) events.push({ name, text })
      this.#texts.set(name, text)
    }
    if (history !== null) events.push(...this.#addHistory(history))
    const current = new Set(nodes.map(({ uuid }) => uuid))
    const removed = [...this.#nodes.keys()].filter((uuid) => !current.has(uuid))
    const changed = nodes.filter((node) => isNews(this.#nodes.get(node.uuid), node))
    for (const uuid of removed) this.#nodes.delete(uuid)
    for (const node of changed) this.#nodes.set(node.uuid, node)
    if (isWhole || changed.length > 0 || removed.length > 0) {
      events.push(nodesEvent({ isWhole, nodes: changed, removed }))
    }
    return events
  }

  #addHistory(news: HistoryView): WatchEvent[] {
    if (this.#history !== undefined && news.samples.length === 0) return []
    this.#history = joined(this.#history?.samples ?? [], news)
    return [historyEvent(news)]
  }

  #forget(): void {
    this.#hasSeen = false
    this.#texts.clear()
    this.#nodes.clear()
    this.#history = undefined
  }
}

function joined(known: readonly SampleView[], news: HistoryView): HistoryView {
  const samples = [...known, ...news.samples]
  const oldestMs = (samples.at(-1)?.atMs ?? 0) - news.spanMs
  return { ...news, samples: samples.filter(({ atMs }) => atMs > oldestMs) }
}

function historyEvent(history: HistoryView): WatchEvent {
  return { name: 'history', text: JSON.stringify(history) }
}

function nodesEvent(event: Omit<NodesEvent, 'nowMs'>): WatchEvent {
  return { name: 'nodes', text: JSON.stringify({ nowMs: Date.now(), ...event }) }
}

function isNews(before: NodeView | undefined, now: NodeView): boolean {
  if (before === undefined) return true
  const silence = (now.lastHeartbeatMs ?? 0) - (before.lastHeartbeatMs ?? 0)
  if (Math.abs(silence) >= heartbeatNewsMs) return true
  const { lastHeartbeatMs } = before
  return JSON.stringify(before) !== JSON.stringify({ ...now, lastHeartbeatMs })
}
