import t from 'tap'
import { AssertionError, assert, defined, unreachable } from '../../base/assert.ts'
import { crc32, crc32c, createXxh64, xxh64 } from '../../base/checksum.ts'
import { silentLogger } from '../../base/log.ts'
import { Prng } from '../../base/prng.ts'
import { systemClock, systemPrng, systemRandomBytes, systemTimers } from '../../base/system.ts'

const digits = Buffer.from('123456789')

t.test('assert() stops only on what is not true', (t) => {
  assert(true, 'fine')
  t.throws(() => assert(false, 'broken'), new AssertionError('broken'))
  t.throws(() => assert(1, 'truthy is not true'), AssertionError)
  t.equal(defined(0, 'zero'), 0)
  t.throws(() => defined(undefined, 'it'), new AssertionError('it must be present'))
  t.throws(() => defined(null, 'it'), AssertionError)
  t.throws(() => unreachable('surprise' as never), /unreachable case: "surprise"/)
  t.end()
})

t.test('checksums agree with the published check values', (t) => {
  t.equal(crc32(digits), 0xcbf43926)
  t.equal(crc32c(digits), 0xe3069283)
  t.equal(crc32c(digits.subarray(4), crc32c(digits.subarray(0, 4))), 0xe3069283, 'continued')
  t.equal(xxh64(Buffer.alloc(0)), 0xef46db3751d8e999n)
  t.equal(xxh64(Buffer.from('abc')), 0x44bc2cf5ad770999n)
  const streaming = createXxh64()
  streaming.update(Buffer.from('a'))
  streaming.update(Buffer.from('bc'))
  t.equal(streaming.digest(), 0x44bc2cf5ad770999n)
  t.end()
})

t.test('Prng draws the same sequence from the same seed, and another from another', (t) => {
  const draw = (seed: number): number[] => {
    const prng = new Prng(seed)
    return Array.from({ length: 20 }, () => prng.below(1000))
  }
  t.same(draw(7), draw(7))
  t.notSame(draw(7), draw(8))
  t.notSame(draw(0), draw(1), 'a seed of zero works')
  t.end()
})

t.test('Prng is fair enough and stays in range', (t) => {
  const prng = new Prng(42)
  const counts = new Array<number>(7).fill(0)
  for (let draw = 0; draw < 70_000; draw += 1) {
    const face = prng.below(7)
    counts[face] = (counts[face] ?? 0) + 1
  }
  for (const count of counts) t.ok(count > 9500 && count < 10_500, `${count} of 70000 draws`)
  t.equal(prng.below(1), 0)
  t.throws(() => prng.below(0), AssertionError)
  t.throws(() => prng.below(1.5), AssertionError)
  t.equal(prng.chance(1, 1), true)
  t.equal(prng.chance(0, 5), false)
  t.same(prng.shuffle([1, 2, 3, 4, 5]).toSorted(), [1, 2, 3, 4, 5])
  t.ok(['a', 'b'].includes(prng.pick(['a', 'b'])))
  t.end()
})

t.test('the system gives time, timers and randomness', async (t) => {
  const before = systemClock.monotonic()
  t.ok(systemClock.wall() > 1_600_000_000_000)
  await new Promise<void>((resolve) => {
    const keepAlive = setInterval(() => undefined, 1000)
    systemTimers.after(1, () => {
      clearInterval(keepAlive)
      resolve()
    })
  })
  t.ok(systemClock.monotonic() >= before)
  const cancelled = systemTimers.every(1, () => t.fail('a cancelled timer fires'))
  cancelled.cancel()
  systemTimers.after(1, () => t.fail('a cancelled timer fires')).cancel()
  t.equal(systemRandomBytes(16).length, 16)
  t.not(systemPrng().next(), systemPrng().next())
})

t.test('silentLogger takes everything and says nothing', (t) => {
  silentLogger.child({ part: 'x' }).info('event', { a: 1 })
  silentLogger.debug('event')
  silentLogger.warn('event')
  silentLogger.error('event')
  t.end()
})
