import type { Observation } from './observe.ts'
import type { NodesEvent, NodeView, OverviewView } from './views.ts'

/** One event of the stream: its name and its data, as text. */
export interface WatchEvent {
  readonly name: 'overview' | 'nodes' | 'trouble'
  readonly text: string
}

/** Who is told of changes. */
export type Listener = (events: readonly WatchEvent[]) => void

/** Parameters of {@link ClusterWatch}. */
export interface WatchOptions {
  readonly observe: () => Promise<Observation>
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
  #overviewText = ''
  #overview: OverviewView | undefined
  readonly #nodes = new Map<string, NodeView>()

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
    if (this.#overview === undefined) return []
    return [
      { name: 'overview', text: this.#overviewText },
      nodesEvent({ isWhole: true, nodes: [...this.#nodes.values()], removed: [] }),
    ]
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      this.#tell(this.#changes(await this.#options.observe()))
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

  #changes({ overview, nodes }: Observation): WatchEvent[] {
    const events: WatchEvent[] = []
    const isWhole = this.#overview === undefined
    const text = JSON.stringify(overview)
    if (text !== this.#overviewText) events.push({ name: 'overview', text })
    this.#overview = overview
    this.#overviewText = text
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

  #forget(): void {
    this.#overview = undefined
    this.#overviewText = ''
    this.#nodes.clear()
  }
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
