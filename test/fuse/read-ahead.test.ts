/** Reading ahead against an array of bytes, whatever is asked for and in whatever order the answers come. */
import fc from 'fast-check'
import t from 'tap'
import { ReadAhead } from '../../fuse/read-ahead.ts'
import { SpoolMemory } from '../../fuse/spool.ts'

const mebibyte = 1024 * 1024
const page = 4096

/** A file whose every page has its number in it, and what was asked of it. */
function file(size: number): {
  readonly content: Buffer
  readonly asked: { readonly start: number; readonly length: number }[]
  readonly readAt: (buffer: Buffer, position: number) => Promise<number>
} {
  const content = Buffer.alloc(size)
  for (let at = 0; at + 4 <= size; at += page) content.writeUInt32LE(at / page, at)
  const asked: { start: number; length: number }[] = []
  return {
    content,
    asked,
    readAt(buffer, position) {
      asked.push({ start: position, length: buffer.length })
      return Promise.resolve(content.copy(buffer, 0, position))
    },
  }
}

t.test('every byte is right, wherever somebody reads', async (t) => {
  const size = 9 * mebibyte + 77
  const step = fc.oneof(
    fc.record({ kind: fc.constant('on' as const), count: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ kind: fc.constant('jump' as const), count: fc.nat(size + page) }),
  )
  const { content, readAt } = file(size)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.nat(12), async (steps, room) => {
      const memory = new SpoolMemory(room * mebibyte)
      const ahead = new ReadAhead(readAt, size, memory)
      let at = 0
      for (const { kind, count } of steps) {
        if (kind === 'jump') at = count
        for (let index = 0; index < (kind === 'on' ? count : 1); index += 1) {
          const length = 128 * 1024 * (1 + (index % 3))
          const found = Buffer.concat(await ahead.read(at, length))
          if (!found.equals(content.subarray(at, at + length))) throw new Error(`wrong at ${at}`)
          at += length
        }
      }
      ahead.drop()
      if (memory.bytes !== 0) throw new Error(`${memory.bytes} bytes were not given back`)
    }),
    { numRuns: 100 },
  )
  t.pass()
})

t.test('who reads in order causes few and long reads, each byte once', async (t) => {
  const size = 64 * mebibyte
  const { asked, readAt } = file(size)
  const ahead = new ReadAhead(readAt, size, new SpoolMemory(size))
  for (let at = 0; at < size; at += 128 * 1024) await ahead.read(at, 128 * 1024)
  t.ok(asked.length < 24, `${asked.length} reads`)
  const total = asked.reduce((sum, { length }) => sum + length, 0)
  t.equal(total, size)
})

t.test('requests that overtake each other are in order; jumps ask for nothing more', async (t) => {
  const size = 64 * mebibyte
  const ordered = file(size)
  const ahead = new ReadAhead(ordered.readAt, size, new SpoolMemory(size))
  for (let at = 0; at < 16 * mebibyte; at += 2 * mebibyte) {
    await Promise.all([ahead.read(at + mebibyte, mebibyte), ahead.read(at, mebibyte)])
  }
  t.ok(ordered.asked.length < 12, `${ordered.asked.length} reads`)
  const random = file(size)
  const jumping = new ReadAhead(random.readAt, size, new SpoolMemory(size))
  for (const at of [50, 3, 40, 11, 30, 22]) await jumping.read(at * mebibyte, page)
  t.strictSame(
    random.asked.map(({ length }) => length),
    Array.from({ length: 6 }, () => page),
  )
})

t.test('a read that fails fails who wanted it; a file that was cut ends there', async (t) => {
  const { readAt } = file(8 * mebibyte)
  let isBroken = false
  const ahead = new ReadAhead(
    (buffer, position) => (isBroken ? Promise.reject(new Error('gone')) : readAt(buffer, position)),
    8 * mebibyte,
    new SpoolMemory(64 * mebibyte),
  )
  await ahead.read(0, mebibyte)
  isBroken = true
  await t.rejects(ahead.read(6 * mebibyte, mebibyte), { message: 'gone' })
  await t.rejects(ahead.read(7 * mebibyte, mebibyte), { message: 'gone' })
  isBroken = false
  const [found] = await ahead.read(7 * mebibyte, mebibyte)
  t.equal(found?.length, mebibyte, 'and nobody once it works again')

  const { readAt: cut } = file(3 * mebibyte)
  const shorter = new ReadAhead(cut, 8 * mebibyte, new SpoolMemory(64 * mebibyte))
  let total = 0
  for (let at = 0; at < 8 * mebibyte; at += mebibyte) {
    const pieces = await shorter.read(at, mebibyte)
    const count = pieces.reduce((sum, { length }) => sum + length, 0)
    total += count
    if (count < mebibyte) break
  }
  t.equal(total, 3 * mebibyte)
})
