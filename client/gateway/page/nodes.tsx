import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { NodeView } from '../api/views.ts'
import { Action } from './action.tsx'
import { call } from './api.ts'
import { noteNode, useCluster, useTicks } from './cluster.ts'
import { Confirmation } from './dialog.tsx'
import { counted, duration, moment, percent, size } from './format.ts'
import { Meter } from './overview.tsx'

type Verb = 'drain' | 'maintain' | 'resume'

/** Rows shown before the visitor asks for more: a thousand at once would be slow to draw. */
const rowsPerStep = 100

/** What was asked of a datanode, in words. */
export const adminWords = {
  normal: 'in service',
  draining: 'draining',
  drained: 'drained',
  'entering-maintenance': 'entering maintenance',
  'in-maintenance': 'in maintenance',
} as const

const livenessLevels = {
  live: 'good',
  stale: 'warning',
  disconnected: 'warning',
  dead: 'danger',
  unknown: 'danger',
} as const

/** Area: every datanode, and taking it out of service and back. */
export function Nodes(): JSX.Element {
  const { nodes, overview, clockOffsetMs } = useCluster()
  const [asked, setAsked] = useState<{ readonly verb: Verb; readonly node: NodeView }>()
  const [shown, setShown] = useState(rowsPerStep)
  const [filter, setFilter] = useState('')
  useTicks(5_000)
  const nowMs = Date.now() + clockOffsetMs
  const wanted = filter.trim().toLowerCase()
  const found = nodes.filter((node) => textOf(node).includes(wanted))
  return (
    <>
      <h1>Nodes</h1>
      <label class="filter">
        Filter
        <input
          type="search"
          value={filter}
          placeholder="name, rack or state"
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
      </label>
      <p role="status" class="note">
        {overview === undefined ? 'Asking the namenode…' : counted(found.length, 'datanode')}
      </p>
      <ul class="nodes">
        {found.slice(0, shown).map((node) => (
          <NodeCard
            key={node.uuid}
            node={node}
            nowMs={nowMs}
            onAsk={(verb) => setAsked({ verb, node })}
          />
        ))}
      </ul>
      {found.length > shown && (
        <button type="button" onClick={() => setShown(shown + rowsPerStep)}>
          Show {Math.min(rowsPerStep, found.length - shown)} more
        </button>
      )}
      {asked !== undefined && <NodeQuestion {...asked} onClose={() => setAsked(undefined)} />}
    </>
  )
}

function textOf({ name, rack, liveness, adminState }: NodeView): string {
  return `${name} ${rack} ${liveness} ${adminWords[adminState]}`.toLowerCase()
}

function NodeCard({
  node,
  nowMs,
  onAsk,
}: {
  readonly node: NodeView
  readonly nowMs: number
  readonly onAsk: (verb: Verb) => void
}) {
  const { name, rack, liveness, adminState, capacity, used, remaining, replicas } = node
  const isNormal = adminState === 'normal'
  const button = (verb: Verb, text: string) => (
    <Action path="/" label={`${text} ${name}`} onAct={() => onAsk(verb)}>
      {text}
    </Action>
  )
  return (
    <li class="card node">
      <h2>
        <span class={`dot ${livenessLevels[liveness]}`} aria-hidden="true" />
        {name}
      </h2>
      <p class="states">
        <span class={`tag ${livenessLevels[liveness]}`}>{liveness}</span>
        {!isNormal && <span class="tag warning">{adminWords[adminState]}</span>}
        {node.isUnsteady && <span class="tag warning">comes and goes</span>}
        <span class="note">{rack}</span>
      </p>
      <Meter label={`Space used on ${name}`} part={used} whole={used + remaining} />
      <p class="note">
        {percent(used, used + remaining)} used, {size(remaining)} free of {size(capacity)}
      </p>
      <dl class="counts">
        <Fact name="Last heartbeat" value={heartbeat(node, nowMs)} />
        <Fact name="Replicas" value={replicas.toLocaleString('en')} />
        <Fact name="Active transfers" value={String(node.activeTransfers)} />
        <Fact name="Disks" value={disks(node)} isBad={node.failedDisks > 0} />
        {node.unverifiedHours !== null && (
          <Fact name="Verified within" value={duration((node.unverifiedHours + 1) * 3_600_000)} />
        )}
      </dl>
      <Progress node={node} />
      <div class="buttons">
        {isNormal && button('drain', 'Drain')}
        {isNormal && button('maintain', 'Maintain')}
        {!isNormal && button('resume', 'Resume')}
      </div>
    </li>
  )
}

function Fact({
  name,
  value,
  isBad = false,
}: {
  readonly name: string
  readonly value: string
  readonly isBad?: boolean
}) {
  return (
    <div class={isBad ? 'danger' : ''}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function heartbeat({ lastHeartbeatMs }: NodeView, nowMs: number): string {
  if (lastHeartbeatMs === null) return 'never'
  const silentMs = nowMs - lastHeartbeatMs
  // The stream tells of heartbeats every ten seconds.
  return silentMs < 15_000 ? 'just now' : `${duration(silentMs)} ago`
}

function disks({ disks: count, failedDisks }: NodeView): string {
  return failedDisks === 0 ? String(count) : `${failedDisks} of ${count} failed`
}

/** How far a drain or the entering of maintenance is; nothing for a datanode in service. */
export function Progress({
  node: { name, drain, obstacle, expiresAtMs, adminState },
}: {
  readonly node: NodeView
}): JSX.Element {
  const isUnderWay = adminState === 'draining' || adminState === 'entering-maintenance'
  const done = drain === null ? 0 : drain.blocksAtStart - drain.blocks
  return (
    <>
      {isUnderWay && drain !== null && (
        <div class="progress">
          <progress
            aria-label={`Progress of ${name}`}
            max={Math.max(drain.blocksAtStart, 1)}
            value={done}
          />
          <p class="note">
            {counted(drain.blocks, 'block')} left ({size(drain.bytes)})
            {drain.bytesPerSecond > 0 && `, ${size(drain.bytesPerSecond)}/s`}
            {drain.etaMs !== null && drain.blocks > 0 && `, about ${duration(drain.etaMs)}`}
          </p>
        </div>
      )}
      {isUnderWay && obstacle !== null && <p class="failure">{obstacle}</p>}
      {expiresAtMs !== null && <p class="note">Ends {moment(expiresAtMs)}</p>}
    </>
  )
}

const questions = {
  drain: {
    action: 'Drain',
    text: 'It gets no new blocks, and all it holds is copied to other datanodes. Nothing becomes less safe meanwhile, and it can be resumed at any time.',
  },
  maintain: {
    action: 'Maintain',
    text: 'It may be switched off for a while: only blocks that have no other replica are copied first. When the time is over it is back in service by itself.',
  },
  resume: {
    action: 'Resume',
    text: 'It gets new blocks again; copies that are not needed any more are removed.',
  },
} as const satisfies Record<Verb, { action: string; text: string }>

function NodeQuestion({
  verb,
  node,
  onClose,
}: {
  readonly verb: Verb
  readonly node: NodeView
  readonly onClose: () => void
}) {
  const [hours, setHours] = useState('2')
  const { action, text } = questions[verb]
  const confirm = async (): Promise<void> => {
    const body = verb === 'maintain' ? { durationMs: Math.round(Number(hours) * 3_600_000) } : {}
    noteNode(await call<NodeView>(`/api/v1/nodes/${encodeURIComponent(node.uuid)}/${verb}`, body))
  }
  return (
    <Confirmation
      title={`${action} ${node.name}?`}
      action={action}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>{text}</p>
      {verb === 'maintain' && (
        <label>
          Hours
          <input
            type="number"
            min="0.1"
            step="any"
            required
            value={hours}
            onInput={(event) => setHours(event.currentTarget.value)}
          />
        </label>
      )}
    </Confirmation>
  )
}
