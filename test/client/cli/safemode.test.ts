import t from 'tap'
import type { NodeStatus, SafeModeReport } from '../../../client/index.ts'
import { type CommandResult, runCommand } from '../../support/command-line.ts'
import { FakeFileSystem } from '../../support/fake-file-system.ts'

const known: SafeModeReport = {
  ...{ state: 'OFF', totalBlocks: 100, safeBlocks: 100, neededBlocks: 99, isLoading: false },
  ...{ endsInMs: undefined, graceMs: undefined, unreported: [], isLowOnSpace: false },
}

function clusterOf(report: Partial<SafeModeReport>, states: readonly boolean[] = [false]) {
  const fs = new FakeFileSystem()
  const asked: string[] = []
  const answers = [...states]
  fs.fakeOperator.answers = { getSafeMode: () => ({ ...known, ...report }) }
  fs.safeMode = (action = 'get') => {
    asked.push(action)
    return Promise.resolve((answers.length > 1 ? answers.shift() : answers[0]) ?? false)
  }
  const dfs = (...args: string[]): Promise<CommandResult> => runCommand(fs, args)
  return { fs, asked, dfs }
}

t.test('safemode get says whether, why, and what is waited for', async (t) => {
  t.equal((await clusterOf({}).dfs('safemode', 'get')).out, 'Safe mode is OFF\n')
  const starting = clusterOf(
    {
      ...{ state: 'PENDING_THRESHOLD', safeBlocks: 60, endsInMs: 42_000, graceMs: 30_000 },
      unreported: ['worker-2:9866'],
    },
    [true],
  )
  const { out } = await starting.dfs('safemode', 'get')
  t.match(out, /^Safe mode is ON\nIt ends by itself when 99 blocks are reported, or in 42\.0 s\.\n/)
  t.match(out, /40 blocks of 100 not reported by any datanode so far/)
  t.match(out, /still to report all of their blocks: worker-2:9866/)
  t.match(JSON.parse((await starting.dfs('safemode', 'get', '--json')).out), {
    ...{ isSafeMode: true, state: 'PENDING_THRESHOLD', safeBlocks: 60 },
  })
  const report = await starting.dfs('report')
  t.match(report.out, /^Safe mode is ON\nIt ends by itself when 99/)
  const manual = await clusterOf({ state: 'MANUAL' }, [true]).dfs('safemode', 'get')
  t.match(manual.out, /turned on by an operator: `dfs safemode leave` ends it/)
})

t.test('safemode enter, leave, forceExit and wait', async (t) => {
  const { dfs, asked } = clusterOf({}, [true, false, false, true, true, false])
  t.equal((await dfs('safemode', 'enter')).out, 'Safe mode is ON\n')
  t.equal((await dfs('safemode', 'leave')).out, 'Safe mode is OFF\n')
  t.equal((await dfs('safemode', 'forceExit')).out, 'Safe mode is OFF\n')
  t.equal((await dfs('safemode', 'wait')).out, 'Safe mode is OFF\n')
  t.same(asked, ['enter', 'leave', 'force-exit', 'get', 'get', 'get'])
  t.equal((await dfs('safemode', 'get', 'now')).code, 2)
  t.match((await dfs('safemode')).err, /Say get, enter, leave/)
})

t.test('a namenode without the operator protocol has safe mode all the same', async (t) => {
  const { fs, dfs } = clusterOf({}, [true])
  fs.fakeOperator.answers = {}
  t.equal((await dfs('safemode', 'get')).out, 'Safe mode is ON\n')
  t.match((await dfs('report')).out, /^Safe mode is ON\nConfigured Capacity/)
})

t.test('report says what is out of the ordinary', async (t) => {
  const { fs, dfs } = clusterOf({})
  const node: Omit<NodeStatus, 'name' | 'adminState' | 'isUnsteady'> = {
    ...{ uuid: 'u', liveness: 'LIVE' as const, capacity: 1, used: 0, remaining: 1, replicas: 9 },
    ...{ blocksLeft: [], failedStorages: 0, unreportedStorages: 0 },
    ...{ ipAddress: undefined, rack: undefined, silentMs: undefined, requestedAtMs: undefined },
    ...{ expiresAtMs: undefined, left: undefined, obstacle: undefined },
  }
  fs.fakeOperator.answers.listDatanodes = () => ({
    datanodes: [
      { ...node, name: 'w1:1', adminState: 'DECOMMISSION_INPROGRESS', isUnsteady: false },
      { ...node, name: 'w2:1', adminState: 'NORMAL', isUnsteady: true },
    ],
  })
  fs.fakeOperator.answers.getRepairGuard = () => ({
    ...{ isPaused: true, pausedAtMs: 1, remaining: 2 },
    lost: [
      { uuid: 'a', name: 'w3:1', lostAtMs: 1 },
      { uuid: 'b', name: 'w4:1', lostAtMs: 1 },
    ],
  })
  const { out } = await dfs('report')
  t.match(out, /Repair waits since .*: 2 of 4 datanodes vanished together\n {2}lost: w3:1, w4:1/)
  t.match(out, / {2}w1:1: live, draining; counting its blocks/)
  t.match(out, /Datanodes that come and go: w2:1/)
  t.match(JSON.parse((await dfs('report', '--json')).out), {
    ...{ repairGuard: { isPaused: true }, nodes: [{ name: 'w1:1' }, {}] },
    safeMode: { state: 'OFF' },
  })
})
