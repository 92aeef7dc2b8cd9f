import t from 'tap'
import { millis } from '../../base/brand.ts'
import type { Clock } from '../../base/clock.ts'
import { namenodeHealth, namenodeReadiness } from '../../namenode/shell/health.ts'
import type { Namenode } from '../../namenode/shell/namenode.ts'
import { answerHealth, Watchdog } from '../../transport/health.ts'
import { ManualTime } from '../support/manual-time.ts'

t.test('answerHealth() names every check, and every reason against', async (t) => {
  const fine = { name: 'fine', reason: () => undefined }
  t.same(answerHealth([fine]), {
    status: 200,
    body: { status: 'ok', checks: { fine: 'ok' }, reasons: [] },
  })
  t.same(answerHealth([fine, { name: 'broken', reason: () => 'It broke' }]), {
    status: 503,
    body: { status: 'failed', checks: { fine: 'ok', broken: 'failed' }, reasons: ['It broke'] },
  })
})

/** A clock that jumps ahead of the timers, as it does while the event loop stands still. */
class JumpingClock implements Clock {
  readonly #time: ManualTime
  stoodStillMs = 0

  constructor(time: ManualTime) {
    this.#time = time
  }

  monotonic(): ReturnType<Clock['monotonic']> {
    return millis(this.#time.monotonic() + this.stoodStillMs)
  }

  wall(): ReturnType<Clock['wall']> {
    return this.#time.wall()
  }
}

t.test('Watchdog: an event loop that stood still for long fails for a minute', async (t) => {
  const time = new ManualTime()
  const clock = new JumpingClock(time)
  const watchdog = new Watchdog(clock, time)
  const { reason } = watchdog.eventLoop()
  await time.advance(5000)
  t.equal(reason(), undefined)
  clock.stoodStillMs = 9500
  await time.advance(1000)
  t.equal(reason(), undefined, 'a pause of seconds is no reason for a restart')
  clock.stoodStillMs += 12_000
  await time.advance(1000)
  t.equal(reason(), 'The event loop stood still for 12000 ms, 0 s ago')
  await time.advance(30_000)
  t.match(reason(), /12000 ms, 30 s ago/, 'shorter pauses do not hide it')
  await time.advance(31_000)
  t.equal(reason(), undefined)
  watchdog.stop()
  clock.stoodStillMs += 50_000
  await time.advance(5000)
  t.equal(reason(), undefined, 'stopped')
})

t.test('a journal that takes no transaction for half a minute is not healthy', async (t) => {
  const time = new ManualTime()
  const journal = { waitingCount: 0, durableTxid: 7 }
  const blocks = { safeMode: 'off' }
  const parts = { journal, blocks, blockLoading: { isDone: true }, isLowOnSpace: false }
  const namenode = parts as unknown as Namenode
  const health = namenodeHealth(namenode, new Watchdog(time, time))
  await time.advance(60_000)
  t.equal(answerHealth(health).status, 200, 'nothing to write')
  journal.waitingCount = 2
  for (let seconds = 0; seconds < 60; seconds += 1) {
    journal.durableTxid += 1
    await time.advance(1000)
  }
  t.equal(answerHealth(health).status, 200, 'slow, but moving')
  await time.advance(29_000)
  t.equal(answerHealth(health).status, 200)
  await time.advance(2000)
  t.match(answerHealth(health), {
    status: 503,
    body: {
      checks: { journal: 'failed', 'event-loop': 'ok' },
      reasons: [/^2 transactions have waited for the journal's disk for 3\d s$/],
    },
  })
  t.match(answerHealth(namenodeReadiness(namenode, health)), {
    ...{ status: 503, body: { checks: { journal: 'failed', 'safe-mode': 'ok' } } },
  })
  journal.durableTxid += 1
  t.equal(answerHealth(health).status, 200, 'as soon as it moves')
})

t.test(
  'a namenode is ready once blocks are loaded, it is out of safe mode and has space',
  async (t) => {
    const parts = {
      journal: { waitingCount: 0, durableTxid: 7 },
      blocks: {
        safeMode: 'pending-threshold',
        stats: () => ({ safeBlocks: 3, safeModeNeededBlocks: 5 }),
      },
      ...{ blockLoading: { isDone: false, loadedCount: 12 }, isLowOnSpace: true, freeBytes: 5 },
    }
    const readiness = namenodeReadiness(parts as unknown as Namenode, [])
    t.same(answerHealth(readiness).body.reasons, [
      'Rows of blocks are still being loaded: 12 so far',
      'Safe mode: 3 blocks were reported, 5 are needed',
      "Changes are refused: 5 bytes are free on the namenode's disk",
    ])
    parts.blockLoading.isDone = true
    parts.isLowOnSpace = false
    parts.blocks.safeMode = 'manual'
    t.same(answerHealth(readiness).body.reasons, ['Safe mode was entered by an operator'])
    parts.blocks.safeMode = 'off'
    t.equal(answerHealth(readiness).status, 200)
  },
)
