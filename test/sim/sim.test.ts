import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repositoryRoot } from '../support/repository.ts'
import { drawConfig } from './config.ts'
import { simulate } from './simulate.ts'

const seedCount = 200
/** Seeds that found a bug once: the first number of each line. */
const notableSeeds = readFileSync(join(repositoryRoot, 'test/sim/seeds.txt'), 'utf8')
  .split('\n')
  .filter((line) => /^\d/.test(line))
  .map((line) => Number.parseInt(line, 10))
/** Of so many seeds one runs twice, to see that nothing but the seed decides. */
const repeatOneIn = 10

for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, () => {
    console.error(`# repeat with: npm run sim -- --seed ${runningSeed} --trace`)
  })
}
let runningSeed = 0

t.setTimeout(600_000)
t.test(
  `${seedCount} simulated clusters keep what they acknowledged, and heal`,
  { timeout: 600_000 },
  async (t) => {
    const firstSeeds = Array.from({ length: seedCount }, (_, index) => index + 1)
    for (const seed of [...notableSeeds, ...firstSeeds]) {
      runningSeed = seed
      const config = drawConfig(seed)
      const { violations, digest } = await simulate(config)
      t.same(violations, [], `npm run sim -- --seed ${seed} --trace`)
      if (seed % repeatOneIn !== 0) continue
      const again = await simulate(config)
      t.equal(again.digest, digest, `seed ${seed} gives the same run twice`)
    }
  },
)
