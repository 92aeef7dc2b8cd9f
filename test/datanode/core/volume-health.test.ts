import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { SpaceLedger } from '../../../datanode/core/space-ledger.ts'
import {
  diskOperations,
  type HealthVerdict,
  mayGoOn,
  VolumeHealth,
  volumeHealthLimits,
} from '../../../datanode/core/volume-health.ts'

t.test('VolumeHealth judges every kind of error at every operation', async (t) => {
  const expected: Record<string, readonly [read: HealthVerdict, others: HealthVerdict]> = {
    ENOSPC: ['full', 'full'],
    EDQUOT: ['full', 'full'],
    EIO: ['check', 'failed'],
    EROFS: ['failed', 'failed'],
    ENODEV: ['failed', 'failed'],
    ENXIO: ['failed', 'failed'],
    ENOTCONN: ['failed', 'failed'],
    ESTALE: ['failed', 'failed'],
    EUCLEAN: ['failed', 'failed'],
    ENOENT: ['check', 'check'],
    ENOTDIR: ['check', 'check'],
    EACCES: ['check', 'check'],
    EPERM: ['check', 'check'],
    EMFILE: ['nothing', 'nothing'],
    EINVAL: ['nothing', 'nothing'],
  }
  for (const [errno, [read, others]] of Object.entries(expected)) {
    for (const operation of diskOperations) {
      const verdict = new VolumeHealth().judge(millis(0), operation, errno)
      t.equal(verdict, operation === 'read' ? read : others, `${errno} at ${operation}`)
    }
  }
})

t.test('single bad sectors cost replicas, several within the window the volume', async (t) => {
  const { readErrorWindowMs } = volumeHealthLimits
  const health = new VolumeHealth()
  const judge = (now: number): HealthVerdict => health.judge(millis(now), 'read', 'EIO')
  t.equal(judge(0), 'check')
  t.equal(judge(1000), 'check')
  t.equal(judge(readErrorWindowMs), 'check', 'the first one is forgotten at the end of its window')
  t.equal(judge(readErrorWindowMs + 999), 'failed', 'the third within the window')
})

t.test('mayGoOn() wants one working directory and no more failures than tolerated', async (t) => {
  for (const [configured, failed, tolerated, expected] of [
    [2, 0, 0, true],
    [2, 1, 0, false],
    [3, 1, 1, true],
    [3, 2, 1, false],
    [3, 2, -1, true],
    [3, 3, -1, false],
    [1, 1, 5, false],
  ] as const) {
    t.equal(mayGoOn(configured, failed, tolerated), expected, `${failed} of ${configured}`)
  }
})

t.test('SpaceLedger keeps room for replicas that are being written', async (t) => {
  const space = new SpaceLedger(100)
  t.equal(space.remainingBytes, 0, 'nothing is known yet')
  space.measured(1000, 600)
  t.equal(space.capacityBytes, 900)
  t.equal(space.remainingBytes, 500)
  const one = space.promise(300)
  t.equal(space.remainingBytes, 200)
  one.spend(100)
  t.equal(space.remainingBytes, 200, 'what is written was promised')
  one.spend(250)
  t.equal(space.remainingBytes, 150, 'and 50 bytes were not')
  one.end()
  one.end()
  t.equal(space.promisedBytes, 0)
  t.equal(space.remainingBytes, 150)
  const other = space.promise(150)
  t.equal(space.remainingBytes, 0)
  space.exhausted()
  t.equal(space.remainingBytes, 0, 'never below nothing')
  other.end()
  space.measured(1000, 1000)
  t.equal(space.remainingBytes, 900)
})
