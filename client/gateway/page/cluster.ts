import { useEffect, useState } from 'preact/hooks'
import type { NodesEvent, NodeView, OverviewView, TroubleEvent } from '../api/views.ts'

/** The cluster as the event stream has told it so far. */
export interface ClusterState {
  readonly overview: OverviewView | undefined
  readonly nodes: readonly NodeView[]
  readonly connection: 'connecting' | 'live' | 'lost'
  /** Why nothing new is known, in the gateway's words. */
  readonly trouble: string | undefined
  /** The gateway's clock minus ours. */
  readonly clockOffsetMs: number
}

let state: ClusterState = {
  overview: undefined,
  nodes: [],
  connection: 'connecting',
  trouble: undefined,
  clockOffsetMs: 0,
}
const listeners = new Set<(state: ClusterState) => void>()
let isStarted = false

function update(change: Partial<ClusterState>): void {
  state = { ...state, ...change }
  for (const listener of listeners) listener(state)
}

/** Puts a node's new state in place before the stream tells it, for the answer to a button. */
export function noteNode(node: NodeView): void {
  update({ nodes: merged([node], []) })
}

/** The state of the cluster, live. */
export function useCluster(): ClusterState {
  const [seen, setSeen] = useState(state)
  useEffect(() => {
    listeners.add(setSeen)
    start()
    setSeen(state)
    return () => {
      listeners.delete(setSeen)
    }
  }, [])
  return seen
}

/** Renders again every few seconds, for "12 s ago". */
export function useTicks(periodMs: number): void {
  const [, setTick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), periodMs)
    return () => clearInterval(timer)
  }, [periodMs])
}

function start(): void {
  if (isStarted) return
  isStarted = true
  connect()
}

/** The browser connects again by itself, except after a refusal. */
function connect(): void {
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
  on('trouble', (data) => {
    const { message } = data as TroubleEvent
    update({ trouble: message })
  })
  source.onerror = () => {
    update({ connection: 'lost' })
    if (source.readyState !== EventSource.CLOSED) return
    setTimeout(connect, 10_000)
  }
}

function merged(changed: readonly NodeView[], removed: readonly string[]): NodeView[] {
  const byUuid = new Map(state.nodes.map((node) => [node.uuid, node]))
  for (const uuid of removed) byUuid.delete(uuid)
  for (const node of changed) byUuid.set(node.uuid, node)
  return [...byUuid.values()]
}
