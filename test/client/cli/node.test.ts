import t from 'tap'
import type { NodeStatus } from '../../../client/index.ts'
import { DfsError } from '../../../protocol/errors.ts'
import { type CommandResult, runCommand } from '../../support/command-line.ts'
import { FakeFileSystem } from '../../support/fake-file-system.ts'

const gibibyte = 1024 ** 3

function node(fields: Partial<NodeStatus> = {}): NodeStatus {
  return {
    ...{ uuid: 'u-1', name: 'worker-1:9866', ipAddress: '10.0.0.1', rack: '/a' },
    ...{ liveness: 'LIVE', adminState: 'NORMAL', silentMs: 400 },
    ...{ capacity: 10 * gibibyte, used: 5 * gibibyte, remaining: 5 * gibibyte, replicas: 700 },
    ...{ failedStorages: 0, unreportedStorages: 0, isUnsteady: false, blocksLeft: [] },
    ...fields,
  }
}

const left = {
  blocks: 12,
  bytes: 3 * gibibyte,
  openBlocks: 1,
  blocksAtStart: 90,
  bytesPerSecond: 0,
}

/** A cluster whose namenode knows `nodes` and remembers what it is asked. */
function clusterOf(nodes: readonly NodeStatus[]) {
  const fs = new FakeFileSystem()
  const asked: unknown[] = []
  fs.fakeOperator.answers = {
    listDatanodes: ({ node: only }) => ({
      datanodes: nodes.filter(
        ({ uuid, name }) => only === undefined || [uuid, name].includes(only),
      ),
    }),
    setDatanodeGoal: (request) => {
      asked.push(request)
      const found = nodes.find(({ name }) => name === request.node)
      if (found === undefined) {
        throw new DfsError('INVALID_ARGUMENT', `No datanode is called "${request.node}"`)
      }
      const adminState =
        request.goal === 'NORMAL'
          ? 'NORMAL'
          : request.goal === 'DECOMMISSIONED'
            ? 'DECOMMISSION_INPROGRESS'
            : 'ENTERING_MAINTENANCE'
      return { datanode: { ...found, adminState } }
    },
    getRepairGuard: () => ({
      isPaused: false,
      lost: [],
      remaining: nodes.length,
      pausedAtMs: undefined,
    }),
  }
  const dfs = (...args: string[]): Promise<CommandResult> => runCommand(fs, ['node', ...args])
  return { fs, asked, dfs }
}

t.test('node list is a table of all datanodes, or of those named', async (t) => {
  const { dfs } = clusterOf([
    node(),
    node({ uuid: 'u-2', name: 'worker-2:9866', adminState: 'DECOMMISSION_INPROGRESS', left }),
    node({ uuid: 'u-3', name: 'worker-3:9866', liveness: 'DEAD', adminState: 'IN_MAINTENANCE' }),
  ])
  const { code, out } = await dfs('list')
  t.equal(code, 0)
  const lines = out.trimEnd().split('\n')
  t.match(lines[0], /^NODE +STATE +CAPACITY +USED +REPLICAS$/)
  t.match(lines[1], /^worker-1:9866 +live +10 GB +50\.0% +700$/)
  t.match(lines[2], /live, draining .* 12 blocks left \(3 GB\) of 90, 1 being written, not moving$/)
  t.match(lines[3], /dead, in maintenance/)
  t.equal((await dfs('list', 'u-2')).out.trimEnd().split('\n').length, 2)
  t.match(JSON.parse((await dfs('list', '--json')).out), [{ name: 'worker-1:9866' }, {}, {}])
})

t.test('node show says what is left and why', async (t) => {
  const { dfs } = clusterOf([
    node({
      ...{ adminState: 'ENTERING_MAINTENANCE', requestedAtMs: 0, expiresAtMs: 60_000 },
      left: { ...left, bytesPerSecond: 1024, etaMs: 90_000 },
      blocksLeft: [{ blockId: 7, reason: 'no datanode can take a copy', path: '/data/x' }],
    }),
  ])
  const { out } = await dfs('show', 'u-1')
  t.match(out, /State: live, entering maintenance until 1970-01-01/)
  t.match(out, /Progress: 12 blocks left .* 1 KB\/s, about 1 min 30 s/)
  t.match(out, / {2}block 7 of \/data\/x: no datanode can take a copy\n {2}and 11 blocks more/)
})

t.test('node drain, maintain and resume ask for one datanode after the other', async (t) => {
  const { dfs, asked } = clusterOf([node(), node({ uuid: 'u-2', name: 'worker-2:9866' })])
  const drained = await dfs('drain', 'worker-1:9866', 'nobody', 'worker-2:9866')
  t.equal(drained.code, 1, 'one of them failed')
  t.equal(drained.out, 'worker-1:9866: live, draining\nworker-2:9866: live, draining\n')
  t.match(drained.err, /nobody: No datanode is called "nobody"/)
  t.match((await dfs('maintain', 'worker-1:9866', '--for', '2h')).out, /entering maintenance/)
  t.equal((await dfs('resume', 'worker-1:9866')).out, 'worker-1:9866: live\n')
  t.match(asked, [
    { node: 'worker-1:9866', goal: 'DECOMMISSIONED' },
    { node: 'nobody' },
    { node: 'worker-2:9866' },
    { goal: 'IN_MAINTENANCE', durationMs: 7_200_000 },
    { goal: 'NORMAL' },
  ])
})

t.test('node drain --wait returns when it is done', async (t) => {
  const { fs, dfs } = clusterOf([node()])
  fs.fakeOperator.answers.listDatanodes = () => ({
    datanodes: [node({ adminState: 'DECOMMISSIONED' })],
  })
  const { code, out } = await dfs('drain', 'worker-1:9866', '--wait')
  t.equal(code, 0)
  t.equal(out, 'worker-1:9866: live, draining\nworker-1:9866: live, drained\n')
})

t.test('node repair says why repair waits, and goes on with --now', async (t) => {
  const { fs, dfs } = clusterOf([node()])
  t.equal((await dfs('repair')).out, 'Repair is not held back\n')
  const guard = {
    ...{ isPaused: true, pausedAtMs: Date.now() - 5000, remaining: 3 },
    lost: [
      { uuid: 'u-2', name: 'worker-2:9866', lostAtMs: 1 },
      { uuid: 'u-3', name: 'w3:1', lostAtMs: 1 },
    ],
  }
  fs.fakeOperator.answers.getRepairGuard = () => guard
  fs.fakeOperator.answers.resumeRepair = () => guard
  const { out } = await dfs('repair')
  t.match(out, /Repair waits since .* \(5\.\d s\): 2 of 5 datanodes vanished together/)
  t.match(out, /lost: worker-2:9866, w3:1/)
  t.match(out, /dfs node repair --now/)
  t.match((await dfs('repair', '--now')).out, /goes on without 2 datanodes: worker-2:9866, w3:1/)
  t.match(JSON.parse((await dfs('repair', '--json')).out), { isPaused: true })
})

t.test('node refuses what it cannot mean', async (t) => {
  const { dfs, asked } = clusterOf([node()])
  for (const [args, message] of [
    [[], /Say list, show, drain/],
    [['dran', 'x'], /"dran" is none of/],
    [['drain'], /Name the datanodes to drain/],
    [['drain', 'x', '--for', '2h'], /--for goes with maintain only/],
    [['maintain', 'x', '--for', 'soon'], /--for takes a time like/],
    [['repair', 'x'], /name none/],
  ] as const) {
    const { code, err } = await dfs(...args)
    t.equal(code, 2)
    t.match(err, message)
  }
  t.same(asked, [])
})
