import t from 'tap'
import { Lifetime, Scheduler } from './scheduler.ts'

t.test(
  'a timer that is due while its process stands still can be cancelled when it goes on',
  async (t) => {
    const scheduler = new Scheduler()
    const life = new Lifetime()
    const happened: string[] = []
    const timers = scheduler.timersOf(life)
    const cancelled = timers.after(5, () => happened.push('cancelled'))
    timers.after(6, () => happened.push('kept'))
    life.frozenUntil = 20
    scheduler.after(15, () => {
      cancelled.cancel()
    })
    scheduler.run(() => false, 19)
    t.same(happened, [])
    scheduler.run(() => false, 30)
    t.same(happened, ['kept'])
  },
)

t.test(
  'what reaches a process that stands still happens in the order in which it came',
  async (t) => {
    const scheduler = new Scheduler()
    const life = new Lifetime()
    const happened: string[] = []
    const reaches = (at: number, what: string): void => {
      scheduler.after(at, () => {
        scheduler.within(life, () => happened.push(what))
      })
    }
    life.frozenUntil = 20
    for (const [at, what] of [
      [10, 'first'],
      [20, 'third'],
      [15, 'second'],
      [40, 'last'],
    ] as const) {
      reaches(at, what)
    }
    scheduler.after(12, () => {
      life.frozenUntil = 30
    })
    scheduler.run(() => false, 29)
    t.same(happened, [])
    scheduler.run(() => false, 30)
    t.same(happened, ['first', 'second', 'third'])
    scheduler.run(() => false, 50)
    t.same(happened, ['first', 'second', 'third', 'last'])
  },
)

t.test('a machine whose clock runs fast has early timers, by its own clock in time', async (t) => {
  const scheduler = new Scheduler()
  const skew = { wallMs: 0, monotonicMs: 0, ratePpm: 10_000 }
  const clock = scheduler.clockOf(skew)
  const fast = scheduler.timersOf(new Lifetime(), skew)
  const slow = scheduler.timersOf(new Lifetime(), { ratePpm: -10_000 })
  const fired: [string, number, number][] = []
  const note = (name: string) => () => fired.push([name, scheduler.now, clock.monotonic()])
  fast.after(10_100, note('fast'))
  slow.after(9_900, note('slow'))
  scheduler.timersOf(new Lifetime()).after(10_000, note('true'))
  scheduler.run(() => false, 20_000)
  t.same(fired, [
    ['fast', 10_000, 10_100],
    ['slow', 10_000, 10_100],
    ['true', 10_000, 10_100],
  ])
})
