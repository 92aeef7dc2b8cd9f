import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { NodeView, OverviewView, RepairWorkView } from '../api/views.ts'
import { Action } from './action.tsx'
import { call } from './api.ts'
import { useCluster, useTicks } from './cluster.ts'
import { Confirmation } from './dialog.tsx'
import { counted, duration, moment, size } from './format.ts'
import { Card, Counts } from './overview.tsx'

/** Area: which blocks wait for repair, why it waits, and who is leaving or has left. */
export function Repair(): JSX.Element {
  const { overview, nodes, work, clockOffsetMs } = useCluster()
  useTicks(2_000)
  const [isAsking, setAsking] = useState(false)
  const leaving = nodes.filter(({ adminState }) => adminState !== 'normal')
  return (
    <>
      <h1>Repair</h1>
      {overview === undefined ? (
        <p>Asking the namenode…</p>
      ) : (
        <Facts overview={overview} onAsk={() => setAsking(true)} />
      )}
      {work !== undefined && work !== null && (
        <Work work={work} nowMs={Date.now() + clockOffsetMs} />
      )}
      <Scrubbing nodes={nodes} />
      <h2>Out of service, or on the way</h2>
      {leaving.length === 0 && <p class="note">All datanodes are in service.</p>}
      <ul>
        {leaving.map(({ uuid, name, adminState, drain }) => (
          <li key={uuid}>
            <a href="#/nodes">{name}</a>: {adminState.replace('-', ' ')}
            {drain !== null && `, ${counted(drain.blocks, 'block')} left of ${drain.blocksAtStart}`}
          </li>
        ))}
      </ul>
      {isAsking && (
        <Confirmation
          title="Repair without them?"
          action="Go on"
          onConfirm={async () => {
            await call('/api/v1/repair/resume', {})
          }}
          onClose={() => setAsking(false)}
        >
          <p>
            What the lost datanodes held is copied from the others. Do this when they stay away.
          </p>
        </Confirmation>
      )}
    </>
  )
}

function Facts({
  overview: { blocks, repair, isSafeMode },
  onAsk,
}: {
  readonly overview: OverviewView
  readonly onAsk: () => void
}) {
  return (
    <>
      {isSafeMode && <p class="failure">Nothing is repaired: safe mode is on.</p>}
      {repair.isPaused && (
        <section class="health danger" aria-label="Repair waits">
          <strong>Repair waits</strong>
          <p class="sentence">
            {counted(repair.lost.length, 'datanode')} vanished together
            {repair.pausedAtMs !== null && ` at ${moment(repair.pausedAtMs)}`}:{' '}
            {repair.lost.map(({ name }) => name).join(', ')}. It goes on by itself when enough of
            them return.
          </p>
          <Action path="/" onAct={onAsk}>
            Go on without them
          </Action>
        </section>
      )}
      <div class="cards">
        <Card title="Blocks by danger">
          <Counts
            counts={[
              ['Missing', blocks.missing, 'danger'],
              ['One replica left', blocks.lastReplica ?? 0, 'danger'],
              ['Too few replicas', blocks.lowRedundancy, 'warning'],
              ['Corrupt replicas', blocks.corrupt, 'warning'],
              ['To be deleted', blocks.pendingDeletion, 'plain'],
            ]}
          />
        </Card>
      </div>
    </>
  )
}

const queueWords: Readonly<Record<string, string>> = {
  'last-replica': 'One replica left',
  'missing-three': 'Three or more missing',
  'missing-two': 'Two missing',
  'missing-one': 'One missing',
  leaving: 'On leaving datanodes',
  'badly-distributed': 'On one rack',
  lost: 'No good replica',
}

/** Which blocks wait, and which replicas are on their way. */
function Work({
  work: { queues, copies, copiesUnderWay },
  nowMs,
}: {
  readonly work: RepairWorkView
  readonly nowMs: number
}) {
  return (
    <>
      <div class="cards">
        <Card title="Waiting, most endangered first">
          <Counts
            counts={queues.map(({ danger, blocks }) => {
              const isDanger = danger === 'last-replica' || danger === 'lost'
              return [
                queueWords[danger] ?? danger,
                blocks,
                isDanger ? 'danger' : 'warning',
              ] as const
            })}
          />
        </Card>
      </div>
      <h2>Being copied now</h2>
      {copies.length === 0 && <p class="note">Nothing is being copied.</p>}
      {copies.length > 0 && (
        <div class="scroll" role="region" aria-label="Copies under way" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Block</th>
                <th scope="col">From</th>
                <th scope="col">To</th>
                <th scope="col" class="number">
                  Size
                </th>
                <th scope="col">Since</th>
              </tr>
            </thead>
            <tbody>
              {copies.map(({ blockId, source, target, bytes, sinceMs, isSent }) => (
                <tr key={`${blockId} ${target}`}>
                  <th scope="row">{blockId}</th>
                  <td>{source}</td>
                  <td>{target}</td>
                  <td class="number">{size(bytes)}</td>
                  <td>{isSent ? duration(nowMs - sinceMs) : 'ordered'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {copiesUnderWay > copies.length && (
        <p class="note">And {(copiesUnderWay - copies.length).toLocaleString('en')} more.</p>
      )}
    </>
  )
}

/** How far the scrubbers are: every byte is read again within two weeks unless configured otherwise. */
function Scrubbing({ nodes }: { readonly nodes: readonly NodeView[] }) {
  const told = nodes.filter(({ unverifiedHours }) => unverifiedHours !== null)
  const hours = Math.max(0, ...told.map(({ unverifiedHours }) => unverifiedHours ?? 0))
  return (
    <>
      <h2>Scrubbing</h2>
      <p class="note">
        {told.length === 0
          ? 'No datanode says how far it is.'
          : `${counted(told.length, 'datanode')} of ${nodes.length} tell: every byte was verified within ${duration((hours + 1) * 3_600_000)}.`}
      </p>
    </>
  )
}
