/** The local copy of an open file against an array of bytes, in memory and on disk. */
import fc from 'fast-check'
import t from 'tap'
import { Spool, SpoolMemory } from '../../fuse/spool.ts'

const position = fc.integer({ min: 0, max: 20_000 })
const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), at: position, count: fc.nat(5000) }),
  fc.record({ kind: fc.constant('truncate' as const), at: position, count: fc.constant(0) }),
  fc.record({ kind: fc.constant('clear' as const), at: position, count: fc.nat(9000) }),
)

t.test('a spool holds what was written, wherever it is', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.nat(40_000), async (steps, room) => {
      const memory = new SpoolMemory(room)
      const spool = new Spool(memory)
      let model = Buffer.alloc(0)
      const resize = (size: number): void => {
        const next = Buffer.alloc(size)
        model.copy(next)
        model = next
      }
      for (const [index, { kind, at, count }] of steps.entries()) {
        if (kind === 'write') {
          if (at + count > model.length) resize(at + count)
          model.fill(index + 1, at, at + count)
          await spool.write(Buffer.alloc(count, index + 1), at)
        } else if (kind === 'truncate') {
          resize(at)
          await spool.truncate(at)
        } else if (at < model.length) {
          const end = Math.min(at + count, model.length)
          model.fill(0, at, end)
          await spool.clear(at, end, model.length)
        }
        if (memory.bytes > room) throw new Error(`${memory.bytes} bytes of ${room}`)
      }
      const pieces: Buffer[] = []
      for await (const piece of spool.pieces(0, model.length)) pieces.push(piece)
      t.ok(Buffer.concat(pieces).equals(model))
      await spool.close()
      t.equal(memory.bytes, 0)
    }),
    { numRuns: 200 },
  )
})

t.test('a long file does not take memory', async (t) => {
  const memory = new SpoolMemory(10_000_000)
  const spool = new Spool(memory)
  await spool.write(Buffer.alloc(1000, 1), 0)
  t.ok(memory.bytes >= 1000)
  await spool.write(Buffer.alloc(1000, 2), 1_500_000)
  t.equal(memory.bytes, 0)
  const buffer = Buffer.alloc(2000)
  t.equal(await spool.read(buffer, 0), 2000)
  t.equal(buffer.indexOf(0), 1000)
  t.equal(await spool.read(buffer, 1_500_500), 500)
  await spool.close()
})
