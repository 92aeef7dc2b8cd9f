/** Real daemons killed with -9 while clients write: whatever was acknowledged reads back the same. */
import t from 'tap'
import { startCluster } from '../support/cluster.ts'
import { runRounds } from './rounds.ts'

const rounds = Number(process.env['CHAOS_ROUNDS'] ?? 5)
const seed = Number(process.env['CHAOS_SEED'] ?? Date.now() % 2 ** 31)

t.test(
  `${rounds} rounds of kill -9 lose nothing that was acknowledged (CHAOS_SEED=${seed})`,
  async (t) => {
    t.setTimeout(rounds * 60_000)
    const cluster = await startCluster({ datanodes: 4 })
    t.teardown(() => cluster.stop())
    try {
      await runRounds(
        cluster,
        { rounds, seed, writers: 4 },
        ({ round, victim, acknowledged, refused }) => {
          t.ok(
            acknowledged > 0,
            `round ${round}: ${victim} killed, ${acknowledged} files acknowledged, ${refused} refused`,
          )
        },
      )
    } catch (error) {
      t.comment(cluster.logs())
      throw error
    }
  },
)
