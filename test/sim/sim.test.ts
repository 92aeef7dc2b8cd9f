import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repositoryRoot } from '../support/repository.ts'
import { drawConfig, type SimConfig } from './config.ts'
import { minimize } from './minimize.ts'
import { overridesBetween, withOverrides } from './overrides.ts'
import { huntSeeds } from './run-seeds.ts'

const seedCount = 1000
/** On a machine that is busy with other things as many as fit into this, but not fewer than that. */
const limitMs = 200_000
const seedsMin = 250
/** Of so many seeds one runs twice, to see that nothing but the seed decides. */
const repeatOneIn = 20
/** Seeds that found a bug once: the first number of each line. */
const notableSeeds = readFileSync(join(repositoryRoot, 'test/sim/seeds.txt'), 'utf8')
  .split('\n')
  .filter((line) => /^\d/.test(line))
  .map((line) => Number.parseInt(line, 10))

t.setTimeout(280_000)
t.test(
  `${seedCount} simulated clusters keep what they acknowledged, and heal`,
  { timeout: 280_000 },
  async (t) => {
    const firstSeeds = Array.from({ length: seedCount }, (_, index) => index + 1)
    const seeds = new Set([...notableSeeds, ...firstSeeds])
    const summary = await huntSeeds({ seeds, repeatOneIn, limitMs })
    for (const { seed, violations } of summary.failures) {
      t.same(violations, [], `npm run sim -- --seed ${seed} --trace`)
    }
    t.comment(`${summary.seeds} seeds, ${summary.repeated} of them twice`)
    t.ok(summary.seeds >= seedsMin, 'enough seeds ran')
    t.ok(summary.repeated >= seedsMin / repeatOneIn / 2, 'some of them twice')
  },
)

t.test('--set replaces one value, and says which ones there are', async (t) => {
  const config = drawConfig(1)
  const changes = ['clients=7', 'network.lossOneIn=9', 'settings.dfs.heartbeat.interval=11']
  const changed = withOverrides(config, changes)
  t.equal(changed.clients, 7)
  t.equal(changed.network.lossOneIn, 9)
  t.same(overridesBetween(config, changed), changes)
  for (const wrong of ['clients', 'clients=some', 'nothing=1', 'clients.x=1', 'encodes=1']) {
    t.throws(() => withOverrides(config, [wrong]), { message: new RegExp(`--set ${wrong}: give`) })
  }
})

t.test('--minimize keeps what a failure needs and drops the rest', async (t) => {
  const start = { ...drawConfig(1), clients: 3, operationsPerClient: 9, faultEveryMs: 100 }
  const faults = { ...start.faults, rot: 5, misdirect: 5 }
  const trace = Array.from({ length: 40 }, () => 'fault')
  // Needs two clients and rot; once one client is gone it shows at another seed only.
  const run = (config: SimConfig): Promise<{ violations: string[]; trace: string[] }> => {
    const { seed, clients, faultEveryMs } = config
    const isFailing = faultEveryMs > 0 && config.faults.rot > 0 && clients >= 2
    const fails = isFailing && (clients === 3 || seed % 4 === 3)
    return Promise.resolve({ violations: fails ? [`${seed} ms: [content] lost`] : [], trace })
  }
  const smallest = await minimize({ ...start, faults }, () => undefined, run)
  t.match(smallest, { config: { seed: 3, clients: 2, operationsPerClient: 1, faultsMax: 1 } })
  t.equal(smallest?.config.faults.rot, 5)
  t.equal(smallest?.config.faults.misdirect, 0)
  const healthy = await minimize({ ...start, clients: 1 }, () => undefined, run)
  t.equal(healthy, undefined, 'nothing to make smaller')
})
