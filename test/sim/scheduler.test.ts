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
