/** Malformed and hostile bytes at every port of real daemons: nothing ends, leaks or stays behind. */
import fc from 'fast-check'
import t from 'tap'
import { clientDatanodeProtocol } from '../../protocol/messages/client-datanode.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import { datanodeProtocol } from '../../protocol/messages/datanode-namenode.ts'
import { interDatanodeProtocol } from '../../protocol/messages/inter-datanode.ts'
import { startCluster } from '../support/cluster.ts'
import { dataScript, playData } from '../support/fuzz-data.ts'
import { callablesOf, playRpc, rpcScript } from '../support/fuzz-rpc.ts'
import { FuzzWorld } from '../support/fuzz-world.ts'

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const runs = Number(process.env['FUZZ_RUNS'] ?? 4)
const connectionsPerRun = 50
const timeoutMs = 60_000 + runs * 30_000

t.setTimeout(timeoutMs + 10_000)

t.test(`bad input harms no daemon and no later client (FUZZ_SEED=${seed})`, async (t) => {
  t.setTimeout(timeoutMs)
  const cluster = await startCluster({
    datanodes: 3,
    settings: { 'dfs.namenode.audit.log': false, 'dfs.replication': 2 },
  })
  t.teardown(() => cluster.stop())
  const world = await FuzzWorld.create(cluster)
  t.teardown(() => world.close())
  const baseline = await world.baseline()

  /** Plays `runs` batches of conversations, each followed by a health check. */
  async function fuzz<S>(
    name: string,
    script: () => fc.Arbitrary<S>,
    play: (script: S) => Promise<void>,
  ): Promise<void> {
    const batch = fc.array(script(), {
      minLength: connectionsPerRun,
      maxLength: connectionsPerRun,
    })
    const property = fc.asyncProperty(batch, async (scripts) => {
      await Promise.all(scripts.map(play))
      await world.check(baseline, scripts.length)
    })
    const result = await fc.check(property, { seed, numRuns: runs, endOnFailure: true })
    if (!result.failed) {
      t.pass(`${name}: ${runs * connectionsPerRun} connections`)
      return
    }
    t.comment(cluster.logs())
    const reason = result.errorInstance
    throw new Error(
      `${name}, run ${result.numRuns} of FUZZ_SEED=${seed}: ${reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)}`,
    )
  }

  const namenodeCalls = await callablesOf(
    cluster.port,
    [clientNamenodeProtocol, datanodeProtocol],
    world.messages('namenode'),
  )
  await fuzz(
    'namenode RPC',
    () => rpcScript(namenodeCalls, ['fuzzer', 'other/host@REALM', cluster.user]),
    (script) => playRpc(cluster.port, script),
  )
  const datanodeCalls = await callablesOf(
    world.datanode.id.ipcPort,
    [clientDatanodeProtocol, interDatanodeProtocol],
    world.messages('datanode'),
  )
  // Whoever runs the datanode may shut it down: that is no bad input.
  const harmlessCalls = datanodeCalls.filter(({ name }) => name !== 'shutdownDatanode')
  await fuzz(
    'datanode RPC',
    () =>
      fc.oneof(
        rpcScript(datanodeCalls, ['fuzzer']),
        rpcScript(harmlessCalls, ['fuzzer', cluster.user]),
      ),
    (script) => playRpc(world.datanode.id.ipcPort, script),
  )
  await fuzz(
    'data transfer',
    () => dataScript(world.targets(), world.messages('datanode')),
    (script) => playData(world.datanode.id.xferPort, script),
  )
  await fuzz(
    'all ports at once',
    () =>
      fc.oneof(
        rpcScript(namenodeCalls, ['fuzzer', cluster.user]).map(
          (script) => () => playRpc(cluster.port, script),
        ),
        dataScript(world.targets(), world.messages('datanode')).map(
          (script) => () => playData(world.datanode.id.xferPort, script),
        ),
      ),
    (play) => play(),
  )
  await world.settled(baseline)
  t.comment(world.summary(baseline))
  const roles = ['namenode' as const, ...cluster.datanodeRoles]
  await Promise.all(roles.map((role) => cluster.kill(role)))
  for (const role of roles) cluster.start(role)
  await cluster.ready()
  await world.useCluster()
  t.pass('what was accepted reads back after a restart')
})
