import type { ComponentChildren, JSX } from 'preact'
import type { OverviewView } from '../api/views.ts'
import { Charts } from './charts.tsx'
import { useCluster } from './cluster.ts'
import { counted, duration, moment, percent, size } from './format.ts'
import { repairPace } from './pace.ts'

const levelWords = { good: 'Healthy', warning: 'Needs a look', danger: 'In danger' } as const

/** Area: how the cluster is, at a glance. */
export function Overview(): JSX.Element {
  const { overview, history } = useCluster()
  return (
    <>
      <h1>Overview</h1>
      {overview === undefined ? <p>Asking the namenode…</p> : <Facts overview={overview} />}
      {history !== undefined && <Charts history={history} />}
    </>
  )
}

function Facts({ overview }: { readonly overview: OverviewView }) {
  const { health, space, nodes, blocks, repair } = overview
  const whole = space.used + space.remaining
  return (
    <>
      <section class={`health ${health.level}`} aria-label="Health">
        <strong>{levelWords[health.level]}</strong>
        <p class="sentence">{health.sentence}</p>
        {health.details.length > 0 && (
          <ul>
            {health.details.map((detail) => (
              <li key={detail}>{detail}</li>
            ))}
          </ul>
        )}
      </section>
      <div class="cards">
        <Card title="Capacity">
          <p class="figure">{percent(space.used, whole)}</p>
          <Meter label="Capacity used" part={space.used} whole={whole} />
          <p class="note">
            {size(space.used)} used, {size(space.remaining)} free of {size(space.capacity)}
          </p>
        </Card>
        <Card title="Datanodes">
          <p class="figure">{nodes.live}</p>
          <p class="note">live</p>
          <Counts
            counts={[
              ['Stale', nodes.stale, 'warning'],
              ['Dead', nodes.dead, 'danger'],
              ['Out of service', nodes.outOfService, 'plain'],
            ]}
          />
        </Card>
        <Card title="Blocks in danger">
          <p class="figure">{blocks.missing + (blocks.lastReplica ?? 0)}</p>
          <p class="note">missing, or with one replica left</p>
          <Counts
            counts={[
              ['Missing', blocks.missing, 'danger'],
              ['Too few replicas', blocks.lowRedundancy, 'warning'],
              ['Corrupt replicas', blocks.corrupt, 'warning'],
            ]}
          />
        </Card>
        <Card title="Repair">
          <p class="figure small">{repairWord(overview)}</p>
          <Counts
            counts={[
              ['Blocks to copy', blocks.lowRedundancy, 'plain'],
              ['To be deleted', blocks.pendingDeletion, 'plain'],
            ]}
          />
          <Pace blocks={blocks.lowRedundancy} />
          {repair.pausedAtMs !== null && (
            <p class="note">
              Since {moment(repair.pausedAtMs)}: {counted(repair.lost.length, 'datanode')} vanished
            </p>
          )}
        </Card>
      </div>
    </>
  )
}

/** How fast repair is, and until when at that. */
function Pace({ blocks }: { readonly blocks: number }) {
  const pace = repairPace(useCluster().history, blocks)
  if (pace === undefined) return null
  return (
    <p class="note">
      {counted(Math.round(pace.blocksPerMinute), 'block')} and {size(pace.bytesPerMinute)} a minute
      {pace.etaMs !== undefined && `, done in about ${duration(pace.etaMs)}`}
    </p>
  )
}

function repairWord({ repair, blocks, isSafeMode }: OverviewView): string {
  if (isSafeMode) return 'Safe mode'
  if (repair.isPaused) return 'Waiting'
  return blocks.lowRedundancy > 0 ? 'Working' : 'Nothing to do'
}

/** A titled box. */
export function Card({
  title,
  children,
}: {
  readonly title: string
  readonly children: ComponentChildren
}): JSX.Element {
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  )
}

type Count = readonly [name: string, count: number, level: 'plain' | 'warning' | 'danger']

/** Names and numbers; what is above zero has the colour of its level. */
export function Counts({ counts }: { readonly counts: readonly Count[] }): JSX.Element {
  return (
    <dl class="counts">
      {counts.map(([name, count, level]) => (
        <div key={name} class={count > 0 ? level : ''}>
          <dt>{name}</dt>
          <dd>{count.toLocaleString('en')}</dd>
        </div>
      ))}
    </dl>
  )
}

/** A bar that says how full something is. */
export function Meter({
  label,
  part,
  whole,
}: {
  readonly label: string
  readonly part: number
  readonly whole: number
}): JSX.Element {
  const share = whole === 0 ? 0 : part / whole
  const level = share >= 0.95 ? 'danger' : share >= 0.85 ? 'warning' : ''
  return (
    <div
      class={`meter ${level}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
    >
      <div style={{ width: `${(share * 100).toFixed(2)}%` }} />
    </div>
  )
}
