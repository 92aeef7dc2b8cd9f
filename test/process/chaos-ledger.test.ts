/** What a chaos run counts as lost or corrupt, going by the ledgers: docs/CHAOS.md has the table. */
import t from 'tap'
import { expectedBytes } from './chaos/content.ts'
import { type LedgerLine, promisesOf } from './chaos/ledger.ts'
import { judge, mayLackItsEnd } from './chaos/verdict.ts'

type Bare<T> = T extends unknown ? Omit<T, 'atMs' | 'path'> : never

const seeds = { first: 11, second: 500_000 }
const closed: Bare<LedgerLine>[] = [
  { kind: 'begin', seed: seeds.first, lengthMax: 100 },
  { kind: 'closed', length: 100 },
]
const appending = {
  kind: 'appending',
  start: 100,
  seed: seeds.second,
  lengthMax: 150,
} as const

/** What is wrong with a file of this content after these lines; undefined when it is legal. */
function verdict(
  lines: readonly Bare<LedgerLine>[],
  content: Buffer | undefined,
  isFlushHeld = true,
): string | undefined {
  const path = '/f'
  const [promise] = promisesOf(lines.map((line) => ({ ...line, path, atMs: 1 })))
  if (promise === undefined) throw new Error('no file was begun')
  return judge({ ...promise, isFlushHeld }, content === undefined ? [] : [{ path, content }])?.kind
}

function first(length: number): Buffer {
  return expectedBytes(seeds.first, 0, length)
}

/** `start` bytes of the first part and those of the second up to `end`. */
function joined(start: number, end: number): Buffer {
  return Buffer.concat([first(start), expectedBytes(seeds.second, start, end)])
}

t.test('a file that was begun may be absent, or any beginning of what was written', async (t) => {
  const begun = closed.slice(0, 1)
  t.equal(verdict(begun, undefined), undefined)
  t.equal(verdict(begun, first(0)), undefined)
  t.equal(verdict(begun, first(100)), undefined)
  t.equal(verdict(begun, first(101)), 'corrupt')
  t.equal(verdict(begun, joined(50, 80)), 'corrupt')
})

t.test('only a file with flushed bytes that met a danger may lack its end', async (t) => {
  const lacking = (lines: readonly Bare<LedgerLine>[], isFlushHeld: boolean): boolean => {
    const [promise] = promisesOf(lines.map((line) => ({ ...line, path: '/f', atMs: 1 })))
    if (promise === undefined) throw new Error('no file was begun')
    return mayLackItsEnd({ ...promise, isFlushHeld })
  }
  const synced: Bare<LedgerLine>[] = [...closed.slice(0, 1), { kind: 'synced', length: 40 }]
  const flushed: Bare<LedgerLine>[] = [...synced, { kind: 'flushed', length: 60 }]
  t.equal(lacking(flushed, false), true)
  t.equal(lacking(flushed, true), false, 'power was not lost since')
  t.equal(lacking(synced, false), false, 'everything was synced')
  t.equal(lacking([...flushed, { kind: 'closed', length: 60 }], false), false)
  t.equal(lacking(closed.slice(0, 1), false), false, 'nothing was acknowledged')
})

t.test('flushed bytes may be lost in a danger, synced ones never', async (t) => {
  const flushed: Bare<LedgerLine>[] = [
    ...closed.slice(0, 1),
    { kind: 'synced', length: 40 },
    { kind: 'flushed', length: 60 },
  ]
  t.equal(verdict(flushed, first(60)), undefined)
  t.equal(verdict(flushed, first(59)), 'lost')
  t.equal(verdict(flushed, first(40), false), undefined)
  t.equal(verdict(flushed, first(39), false), 'lost')
  t.equal(verdict(flushed, undefined, false), 'lost')
})

t.test('an append keeps what was closed and adds only its own bytes', async (t) => {
  const lines = [...closed, appending]
  t.equal(verdict(lines, first(100)), undefined)
  t.equal(verdict(lines, joined(100, 120)), undefined)
  t.equal(verdict(lines, first(99)), 'lost')
  t.equal(verdict(lines, first(120)), 'corrupt')
  t.equal(verdict(lines, joined(100, 151)), 'corrupt')
  const synced: Bare<LedgerLine>[] = [...lines, { kind: 'synced', length: 120 }]
  t.equal(verdict(synced, joined(100, 119)), 'lost')
  t.equal(verdict([...synced, { kind: 'closed', length: 150 }], joined(100, 149)), 'lost')
})

t.test('a truncate leaves one of two lengths, then one', async (t) => {
  const lines: Bare<LedgerLine>[] = [...closed, { kind: 'truncating', from: 100, length: 30 }]
  t.equal(verdict(lines, first(100)), undefined)
  t.equal(verdict(lines, first(30)), undefined)
  t.equal(verdict(lines, first(64)), 'corrupt')
  t.equal(verdict(lines, first(29)), 'lost')
  const done: Bare<LedgerLine>[] = [...lines, { kind: 'truncated', length: 30 }]
  t.equal(verdict(done, first(30)), undefined)
  t.equal(verdict(done, first(100)), 'corrupt')
  const appended: Bare<LedgerLine>[] = [...done, { ...appending, start: 30, lengthMax: 90 }]
  t.equal(verdict(appended, joined(30, 90)), undefined)
  t.equal(verdict(appended, first(90)), 'corrupt', 'what was cut off has not come back')
})

t.test(
  'a recovered file has the length it was closed with, which must have been legal',
  async (t) => {
    const synced: Bare<LedgerLine>[] = [...closed, appending, { kind: 'synced', length: 120 }]
    const at = (length: number): Bare<LedgerLine>[] => [...synced, { kind: 'recovered', length }]
    t.equal(verdict(at(130), joined(100, 130)), undefined)
    t.equal(verdict(at(130), joined(100, 129)), 'lost')
    t.equal(verdict(at(130), joined(100, 131)), 'corrupt')
    t.equal(verdict(at(110), joined(100, 110)), 'lost')
    t.equal(verdict([...at(130), { kind: 'synced', length: 140 }], joined(100, 130)), 'lost')
  },
)

t.test('a deleted file does not come back', async (t) => {
  const deleting: Bare<LedgerLine>[] = [...closed, { kind: 'deleting' }]
  t.equal(verdict(deleting, undefined), undefined)
  t.equal(verdict(deleting, first(100)), undefined)
  t.equal(verdict([...deleting, { kind: 'deleted' }], first(100)), 'corrupt')
})
