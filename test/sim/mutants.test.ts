import t from 'tap'
import { huntMutant } from './mutant-hunt.ts'
import { mutants } from './mutant-list.ts'

/** The quickest of every part of the product; `npm run sim:mutants` looks for all of them. */
const quick = [
  'journal: drop a segment that is not folded',
  'receiver: treat an hsync as an hflush',
  'writer: do not send unacknowledged packets again',
]
/** Where a bug shows moves with the code. */
const seedsMax = 100

t.setTimeout(120_000)
for (const name of quick) {
  t.test(`the simulator notices "${name}"`, async (t) => {
    const mutant = mutants.find((other) => other.name === name)
    if (mutant === undefined) throw new Error(`no mutant "${name}"`)
    const options = { seedsMax, usesRecorded: true, overrides: [], folderName: 'mutant-test' }
    const { outcome } = await huntMutant(mutant, options)
    t.equal(outcome, 'caught')
  })
}

t.test('a mutant whose place is gone is not taken for caught', async (t) => {
  const [first] = mutants
  if (first === undefined) throw new Error('no mutants')
  const { outcome } = await huntMutant(
    { ...first, search: 'nowhere in the source' },
    { seedsMax: 1, usesRecorded: true, overrides: [], folderName: 'mutant-test' },
  )
  t.equal(outcome, 'does not apply')
})
