import { useEffect, useState } from 'preact/hooks'
import type {
  BalanceView,
  HistoryView,
  NodesEvent,
  NodeView,
  OverviewView,
  RepairWorkView,
  TroubleEvent,
} from '../api/views.ts'
import { createStore } from './store.ts'

/** The cluster as the event stream has told it so far. */
export interface ClusterState {
  readonly overview: OverviewView | undefined
  readonly nodes: readonly NodeView[]
  /** null where the namenode does not tell, undefined until it was asked; so are the next three. */
  readonly balance: BalanceView | null | undefined
  readonly work: RepairWorkView | null | undefined
  readonly newestEvent: number | null | undefined
  /** undefined where the namenode keeps none, too. */
  readonly history: HistoryView | undefined
  readonly connection: 'connecting' | 'live' | 'lost'
  /** Why nothing new is known, in the gateway's words. */
  readonly trouble: string | undefined
  /** The gateway's clock minus ours. */
  readonly clockOffsetMs: number
}

const unknown: ClusterState = {
  overview: undefined,
  nodes: [],
  ...{ balance: undefined, work: undefined, newestEvent: undefined, history: undefined },
  connection: 'connecting',
  trouble: undefined,
  clockOffsetMs: 0,
}
const store = createStore<ClusterState>(unknown)
const { update } = store

/** The state of the cluster, live while {@link followCluster} is on. */
export const useCluster = store.use

/** Puts a node's new state in place before the stream tells it, for the answer to a button. */
export function noteNode(node: NodeView): void {
  update({ nodes: merged([node], []) })
}

/** Puts the new state of balancing in place before the stream tells it. */
export function noteBalance(balance: BalanceView): void {
  update({ balance })
}

/** Renders again every few seconds, for "12 s ago". */
export function useTicks(periodMs: number): void {
  const [, setTick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), periodMs)
    return () => clearInterval(timer)
  }, [periodMs])
}

/** The wait before another try where the browser does not try by itself: after a refusal. */
const retryMs = 10_000

/**
 * Listens to the cluster until the answer is called.
 *
 * @param onRefused the gateway did not want to be listened to; perhaps the token has ended
 */
export function followCluster(onRefused: () => void): () => void {
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  const connect = (): void => {
    source = connected(() => {
      onRefused()
      timer = setTimeout(connect, retryMs)
    })
  }
  connect()
  return () => {
    source?.close()
    clearTimeout(timer)
    update(unknown)
  }
}

function connected(onClosed: () => void): EventSource {
  const source = new EventSource('/api/v1/events')
  const on = (name: string, take: (data: unknown) => void): void => {
    source.addEventListener(name, (event: MessageEvent<string>) => {
      take(JSON.parse(event.data))
    })
  }
  on('overview', (data) => {
    const overview = data as OverviewView
    update({ overview, connection: 'live', trouble: undefined })
  })
  on('nodes', (data) => {
    const { nowMs, isWhole, nodes, removed } = data as NodesEvent
    const clockOffsetMs = nowMs - Date.now()
    update({ nodes: isWhole ? nodes : merged(nodes, removed), clockOffsetMs })
  })
  on('balance', (data) => update({ balance: data as BalanceView | null }))
  on('work', (data) => update({ work: data as RepairWorkView | null }))
  on('log', (data) => update({ newestEvent: (data as { newest: number | null }).newest }))
  on('history', (data) => update({ history: joined(store.get().history, data as HistoryView) }))
  on('trouble', (data) => {
    const { message } = data as TroubleEvent
    update({ trouble: message })
  })
  source.onerror = () => {
    update({ connection: 'lost' })
    if (source.readyState === EventSource.CLOSED) onClosed()
  }
  return source
}

function joined(known: HistoryView | undefined, news: HistoryView): HistoryView {
  if (known === undefined || news.isWhole) return news
  const samples = [...known.samples, ...news.samples]
  const oldestMs = (samples.at(-1)?.atMs ?? 0) - news.spanMs
  return { ...news, samples: samples.filter(({ atMs }) => atMs > oldestMs) }
}

function merged(changed: readonly NodeView[], removed: readonly string[]): NodeView[] {
  const byUuid = new Map(store.get().nodes.map((node) => [node.uuid, node]))
  for (const uuid of removed) byUuid.delete(uuid)
  for (const node of changed) byUuid.set(node.uuid, node)
  return [...byUuid.values()]
}
