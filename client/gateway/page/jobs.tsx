import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { BalanceView, FlowView } from '../api/views.ts'
import { Action } from './action.tsx'
import { call, messageOf } from './api.ts'
import { noteBalance, useCluster } from './cluster.ts'
import { Confirmation } from './dialog.tsx'
import { counted, size } from './format.ts'
import { adminWords, Progress } from './nodes.tsx'

/** Area: what runs for long: balancing, and drains. */
export function Jobs(): JSX.Element {
  const { balance, nodes } = useCluster()
  const leaving = nodes.filter(({ adminState }) => adminState !== 'normal')
  return (
    <>
      <h1>Jobs</h1>
      {balance === undefined && <p>Asking the namenode…</p>}
      {balance === null && <p class="note">This namenode does not balance by itself.</p>}
      {balance !== undefined && balance !== null && <Balance balance={balance} />}
      <h2>Drains and maintenance</h2>
      {leaving.length === 0 && (
        <p class="note">
          None. <a href="#/nodes">Nodes</a> begins one.
        </p>
      )}
      <ul class="nodes">
        {leaving.map((node) => (
          <li key={node.uuid} class="card">
            <h3>{node.name}</h3>
            <p class="note">{adminWords[node.adminState]}</p>
            <Progress node={node} />
          </li>
        ))}
      </ul>
    </>
  )
}

type Question = 'start' | 'stop'

function Balance({ balance }: { readonly balance: BalanceView }) {
  const [question, setQuestion] = useState<Question>()
  const { isEnabled, thresholdPercent, bytesPerSecond, waitsFor } = balance
  const done = balance.movedBytes
  const whole = done + balance.movingBytes + balance.plannedBytes
  return (
    <section class="card" aria-label="Balancing">
      <h2>Balancing</h2>
      <p class="figure small">{stateOf(balance)}</p>
      <p class="note">
        {isEnabled ? 'Keeps' : 'Would keep'} every datanode within {thresholdPercent} % of the
        average, with at most {size(bytesPerSecond)}/s
        {isEnabled && waitsFor !== null && `; waits for ${waitsFor}`}
      </p>
      <dl class="counts">
        <Amount name="Being moved" blocks={balance.movingBlocks} bytes={balance.movingBytes} />
        <Amount
          name="Moved since the namenode started"
          blocks={balance.movedBlocks}
          bytes={balance.movedBytes}
        />
        <div>
          <dt>{isEnabled ? 'To be moved' : 'Would be moved'}</dt>
          <dd>{size(balance.plannedBytes)}</dd>
        </div>
      </dl>
      {isEnabled && whole > done && (
        <progress aria-label="Progress of balancing" max={whole} value={done} />
      )}
      <div class="buttons">
        {isEnabled ? (
          <Action path="/" onAct={() => setQuestion('stop')}>
            Stop balancing
          </Action>
        ) : (
          <Action path="/" onAct={() => setQuestion('start')}>
            Start balancing
          </Action>
        )}
      </div>
      <Flows flows={balance.flows} count={balance.flowCount} />
      {question === 'stop' && (
        <Confirmation
          title="Stop balancing?"
          action="Stop"
          onConfirm={() => change({ isEnabled: false })}
          onClose={() => setQuestion(undefined)}
        >
          <p>What is on its way arrives; nothing more is moved until balancing is started again.</p>
        </Confirmation>
      )}
      {question === 'start' && (
        <StartQuestion balance={balance} onClose={() => setQuestion(undefined)} />
      )}
    </section>
  )
}

async function change(wish: object): Promise<void> {
  noteBalance(await call<BalanceView>('/api/v1/jobs/balance', wish))
}

function stateOf({ isEnabled, movingBlocks, plannedBytes, waitsFor }: BalanceView): string {
  if (!isEnabled) return 'Off'
  if (movingBlocks > 0) return 'Moving blocks'
  if (plannedBytes === 0) return 'Even'
  return waitsFor === null ? 'About to move blocks' : 'Waiting'
}

function Amount({
  name,
  blocks,
  bytes,
}: {
  readonly name: string
  readonly blocks: number
  readonly bytes: number
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {counted(blocks, 'block')}, {size(bytes)}
      </dd>
    </div>
  )
}

function Flows({ flows, count }: { readonly flows: readonly FlowView[]; readonly count: number }) {
  if (flows.length === 0) return null
  return (
    <>
      <h3>Plan</h3>
      <div class="scroll" role="region" aria-label="Plan" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col" class="number">
                Size
              </th>
            </tr>
          </thead>
          <tbody>
            {flows.map(({ source, target, bytes }) => (
              <tr key={`${source} ${target}`}>
                <th scope="row">{source}</th>
                <td>{target}</td>
                <td class="number">{size(bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {count > flows.length && (
        <p class="note">
          The largest {flows.length} of {count.toLocaleString('en')}.
        </p>
      )}
    </>
  )
}

const mebibyte = 2 ** 20

function StartQuestion({
  balance,
  onClose,
}: {
  readonly balance: BalanceView
  readonly onClose: () => void
}) {
  const [threshold, setThreshold] = useState(String(balance.thresholdPercent))
  const [speed, setSpeed] = useState(String(Math.round(balance.bytesPerSecond / mebibyte)))
  const [plan, setPlan] = useState('')
  const preview = async (): Promise<void> => {
    try {
      const query = `?thresholdPercent=${encodeURIComponent(threshold)}`
      const { plannedBytes, flowCount } = await call<BalanceView>(`/api/v1/jobs/balance${query}`)
      setPlan(
        flowCount === 0
          ? 'Nothing: every datanode is within that.'
          : `${size(plannedBytes)} between ${counted(flowCount, 'pair')} of datanodes.`,
      )
    } catch (error) {
      setPlan(messageOf(error))
    }
  }
  return (
    <Confirmation
      title="Start balancing?"
      action="Start"
      onConfirm={() =>
        change({
          isEnabled: true,
          thresholdPercent: Number(threshold),
          bytesPerSecond: Math.max(1, Math.round(Number(speed) * mebibyte)),
        })
      }
      onClose={onClose}
    >
      <p>Replicas move from full datanodes to empty ones; each counts until its copy is there.</p>
      <NumberField
        label="Threshold in %"
        min={1}
        max={100}
        value={threshold}
        onInput={setThreshold}
      />
      <NumberField label="MiB per second" min={1} value={speed} onInput={setSpeed} />
      <button type="button" onClick={() => void preview()}>
        What would move?
      </button>
      <p role="status" class="note">
        {plan}
      </p>
    </Confirmation>
  )
}

function NumberField({
  label,
  min,
  max,
  value,
  onInput,
}: {
  readonly label: string
  readonly min: number
  readonly max?: number
  readonly value: string
  readonly onInput: (value: string) => void
}) {
  return (
    <label>
      {label}
      <input
        {...{ type: 'number', step: '1', required: true, min, max, value }}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </label>
  )
}
