import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { OverviewView } from '../api/views.ts'
import { Action } from './action.tsx'
import { call } from './api.ts'
import { useCluster } from './cluster.ts'
import { Confirmation } from './dialog.tsx'
import { counted, moment } from './format.ts'
import { Card, Counts } from './overview.tsx'

/** Area: which blocks wait for repair, why it waits, and who is leaving or has left. */
export function Repair(): JSX.Element {
  const { overview, nodes } = useCluster()
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
