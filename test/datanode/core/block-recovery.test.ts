import t from 'tap'
import {
  chooseRecovery,
  type RecoveryAnswer,
  type RecoveryDecision,
} from '../../../datanode/core/block-recovery.ts'
import { generationStamp } from '../../../protocol/ids.ts'
import type { ReplicaState } from '../../../protocol/states.ts'

const blockStamp = generationStamp(1006)

function found(state: ReplicaState, length: number, stamp = 1006): RecoveryAnswer {
  return { kind: 'found', state, length, generationStamp: generationStamp(stamp) }
}

const absent: RecoveryAnswer = { kind: 'absent' }
const failed: RecoveryAnswer = { kind: 'failed', reason: 'dn3 cannot be reached' }

function choose(answers: readonly RecoveryAnswer[], truncateLength?: number): RecoveryDecision {
  return chooseRecovery({ generationStamp: blockStamp, answers, truncateLength })
}

function update(newLength: number, ...participants: number[]): RecoveryDecision {
  return { kind: 'update', newLength, participants }
}

interface Row {
  readonly name: string
  readonly answers: readonly RecoveryAnswer[]
  readonly decision: RecoveryDecision
}

const table: readonly Row[] = [
  {
    name: 'replicas being written: the shortest counts, all take part',
    answers: [found('rbw', 1000), found('rbw', 900), found('rbw', 1100)],
    decision: update(900, 0, 1, 2),
  },
  {
    name: 'a finalized replica decides, and one being written of the same length joins',
    answers: [found('rbw', 1000), found('finalized', 1000), found('rbw', 900)],
    decision: update(1000, 0, 1),
  },
  {
    name: 'a finalized replica that missed an append without a new stamp does not decide',
    answers: [found('finalized', 500), found('rbw', 900), found('rwr', 800), found('rbw', 950)],
    decision: update(900, 1, 3),
  },
  {
    name: 'nor when everything that was written since waits for recovery',
    answers: [found('finalized', 500), found('rwr', 900), found('rwr', 800)],
    decision: update(800, 1, 2),
  },
  {
    name: 'a finalized replica beside open ones of an append that carried nothing yet',
    answers: [found('finalized', 500), found('rbw', 500, 1007), found('rwr', 500)],
    decision: update(500, 0, 1),
  },
  {
    name: 'finalized replicas that differ: an earlier recovery has decided',
    answers: [
      found('finalized', 1000),
      found('finalized', 900, 1007),
      found('finalized', 900, 1007),
    ],
    decision: update(900, 1, 2),
  },
  {
    name: 'waiting replicas do not count beside one being written',
    answers: [found('rwr', 500), found('rbw', 1000), found('rwr', 1000)],
    decision: update(1000, 1),
  },
  {
    name: 'waiting replicas do not count beside a finalized one, even of the same length',
    answers: [found('rwr', 1000), found('finalized', 1000)],
    decision: update(1000, 1),
  },
  {
    name: 'only waiting replicas: the shortest counts',
    answers: [found('rwr', 500), found('rwr', 1000), absent],
    decision: update(500, 0, 1),
  },
  {
    name: 'an older stamp never takes part',
    answers: [found('finalized', 2000, 1005), found('rbw', 1000)],
    decision: update(1000, 1),
  },
  {
    name: 'a newer stamp (an unfinished pipeline recovery) takes part',
    answers: [found('rbw', 1000, 1007), found('rbw', 1200)],
    decision: update(1000, 0, 1),
  },
  {
    name: 'empty replicas do not count beside one with data',
    answers: [found('rbw', 0), found('rwr', 700)],
    decision: update(700, 1),
  },
  {
    name: 'locations that do not answer do not hold the others up',
    answers: [failed, found('rbw', 1000), absent],
    decision: update(1000, 1),
  },
  {
    name: 'all locations answered, none has it',
    answers: [absent, absent],
    decision: { kind: 'delete' },
  },
  {
    name: 'an older replica alone counts as none',
    answers: [found('finalized', 10, 1001), absent],
    decision: { kind: 'delete' },
  },
  {
    name: 'an empty replica of the pipeline proves that nothing was acknowledged',
    answers: [found('rbw', 0), failed],
    decision: { kind: 'delete' },
  },
]

t.test('chooseRecovery() picks participants and length by state, stamp and length', async (t) => {
  for (const { name, answers, decision } of table) t.same(choose(answers), decision, name)
})

t.test('chooseRecovery() gives up rather than guess', async (t) => {
  const aborts = (answers: readonly RecoveryAnswer[], pattern: RegExp, name: string): void => {
    const decision = choose(answers)
    t.equal(decision.kind, 'abort', name)
    t.match(decision.kind === 'abort' ? decision.reason : '', pattern, name)
  }
  aborts([failed, failed], /no location answered: dn3 cannot be reached/, 'nobody answered')
  aborts([absent, failed], /not every location answered/, 'one may still have data')
  aborts(
    [found('finalized', 1000), found('finalized', 1001), found('rbw', 1000)],
    /differ in length: 1000, 1001/,
    'finalized replicas disagree',
  )
  aborts([found('temporary', 10), absent], /none in a state to recover/, 'only a copy under way')
  aborts(
    [found('rbw', 10), { kind: 'superseded', reason: 'recovery 1009 runs' }],
    /recovery 1009 runs/,
    'a newer recovery runs',
  )
})

t.test('sim seed 310123: a truncate goes on where some replicas are cut already', async (t) => {
  const [whole, isCut] = [found('finalized', 900), found('finalized', 500, 1007)]
  t.same(choose([whole, isCut, whole], 500), update(500, 0, 1, 2))
})

t.test(
  'chooseRecovery() cuts to the wanted length of a truncate, never beyond the data',
  async (t) => {
    t.same(choose([found('finalized', 4732), found('finalized', 4732)], 1234), update(1234, 0, 1))
    t.match(choose([found('finalized', 100)], 101), { kind: 'abort', reason: /cut to 101 bytes/ })
    t.match(choose([absent], 5), { kind: 'abort', reason: /no replica to cut/ })
    t.same(
      choose(
        [found('finalized', 4732), found('finalized', 1234), found('finalized', 1234, 1007)],
        1234,
      ),
      update(1234, 0, 1, 2),
      'an earlier attempt got half-way',
    )
    t.same(choose([found('finalized', 1233), found('finalized', 4732)], 1234), update(1234, 1))
    t.same(choose([found('rwr', 4732), found('finalized', 1233)], 1234), update(1234, 0))
  },
)

t.test('a committed block is recovered by whatever has all its bytes', async (t) => {
  const [short, exact, long] = [found('rbw', 900), found('rwr', 1000), found('rwr', 1100)]
  t.same(choose([short, exact, long], 1000), update(1000, 1, 2))
  t.same(choose([short, found('finalized', 1000, 1007), absent], 1000), update(1000, 1))
  t.match(choose([short, failed], 1000), { kind: 'abort' }, 'nothing shorter is taken')
})

t.test('no choice loses acknowledged bytes, whatever the replicas answer', async (t) => {
  const acknowledged = 1000
  const answersOf: readonly RecoveryAnswer[] = [
    found('rbw', acknowledged),
    found('rbw', acknowledged + 512),
    found('rwr', acknowledged),
    found('rwr', acknowledged + 1),
    found('finalized', acknowledged + 512),
    failed,
    found('rbw', 100, 1005),
  ]
  for (const first of answersOf) {
    for (const second of answersOf) {
      for (const third of answersOf) {
        const decision = choose([first, second, third])
        if (decision.kind === 'update') t.ok(decision.newLength >= acknowledged)
        else if (decision.kind === 'delete') {
          t.notOk([first, second, third].some((answer) => answer.kind === 'failed'))
          t.notOk(
            [first, second, third].some(
              (answer) => answer.kind === 'found' && answer.generationStamp >= blockStamp,
            ),
          )
        }
      }
    }
  }
})
