import t from 'tap'
import { JoinedRuns } from '../../base/joined-runs.ts'

/** Runs that end when the test says so. */
function controlled() {
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = []
  const runs = new JoinedRuns(
    () =>
      new Promise<void>((resolve, reject) => {
        ends.push({ resolve, reject })
      }),
  )
  const end = async (index: number, error?: Error): Promise<void> => {
    if (error === undefined) ends[index]?.resolve()
    else ends[index]?.reject(error)
    await new Promise(setImmediate)
  }
  return { runs, ends, end }
}

t.test('run() begins at once, and joins the next run while one is under way', async (t) => {
  const { runs, ends, end } = controlled()
  const done: string[] = []
  const ask = (name: string): void => {
    runs.run().then(
      () => done.push(name),
      () => done.push(`${name} failed`),
    )
  }
  ask('first')
  ask('second')
  ask('third')
  t.equal(ends.length, 1)
  await end(0)
  t.same(done, ['first'])
  t.equal(ends.length, 2, 'one run for both that waited')
  ask('fourth')
  await end(1)
  t.same(done, ['first', 'second', 'third'])
  t.equal(ends.length, 3, 'the second run had begun when the fourth asked')
  await end(2)
  t.equal(done.at(-1), 'fourth')
})

t.test('a run that fails fails its callers only', async (t) => {
  const { runs, ends, end } = controlled()
  const first = runs.run()
  const second = runs.run()
  const failed = t.rejects(first, { message: 'broken' })
  await end(0, new Error('broken'))
  await failed
  t.equal(ends.length, 2)
  await end(1)
  await second
})

t.test('settled() waits for the runs that were asked for, however they end', async (t) => {
  const { runs, end } = controlled()
  await runs.settled()
  const first = runs.run()
  const second = runs.run()
  const failed = Promise.all([t.rejects(first), t.rejects(second)])
  let isSettled = false
  const settled = runs.settled().then(() => {
    isSettled = true
  })
  await end(0, new Error('broken'))
  t.notOk(isSettled)
  await end(1, new Error('broken again'))
  await settled
  await failed
})
