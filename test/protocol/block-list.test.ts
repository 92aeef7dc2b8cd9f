import t from 'tap'
import {
  BlockListDecoder,
  decodeBlockList,
  encodeBlockList,
  type ListedReplica,
  listedDigest,
} from '../../protocol/block-list.ts'
import { isDfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { type ReplicaState, replicaStates } from '../../protocol/states.ts'

function replica(
  id: number,
  length: number,
  stamp: number,
  state: ReplicaState = 'finalized',
): ListedReplica {
  return { blockId: blockId(id), length, generationStamp: generationStamp(stamp), state }
}

function decode(count: number, pieces: readonly Uint8Array[]): ListedReplica[] {
  const found: ListedReplica[] = []
  decodeBlockList(count, pieces, (blockId, generationStamp, length, state) => {
    found.push({ blockId, generationStamp, length, state })
  })
  return found
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(pieces)
}

/** What a Hadoop 3.5.0 datanode sent for four finalized replicas. */
const recordedBytes = Buffer.from(
  '8480808008a08d06ea0700' +
    '8680808008d209ed0700' +
    '8880808008e807ef0700' +
    '8a80808008a08d06f00700',
  'hex',
)
const recordedReplicas = [
  replica(1073741826, 100_000, 1002),
  replica(1073741827, 1234, 1005),
  replica(1073741828, 1000, 1007),
  replica(1073741829, 100_000, 1008),
]

const extremes = [
  replica(0, 0, 0, 'finalized'),
  replica(1, 1, 1, 'rbw'),
  replica(63, 127, 127, 'rwr'),
  replica(64, 128, 128, 'rur'),
  replica(2 ** 31, 2 ** 32, 2 ** 31, 'temporary'),
  replica(2 ** 52 + 1, 2 ** 48 - 1, 2 ** 53 - 1, 'rbw'),
  replica(2 ** 53 - 1, 134_217_728, 1001, 'finalized'),
]

t.test('a list recorded from Hadoop decodes, and encodes to the same bytes', async (t) => {
  t.equal(recordedBytes.length, 42)
  t.same(decode(4, [recordedBytes]), recordedReplicas)
  const { count, pieces } = encodeBlockList(recordedReplicas)
  t.equal(count, 4)
  t.same(concat(pieces), recordedBytes)
})

t.test('every state and the smallest and largest numbers survive a round trip', async (t) => {
  t.equal(new Set(extremes.map(({ state }) => state)).size, replicaStates.length)
  const { count, pieces } = encodeBlockList(extremes)
  t.same(decode(count, pieces), extremes)
  t.same(encodeBlockList([]), { count: 0, pieces: [] })
  t.same(decode(0, []), [])
})

t.test('digests travel beside the list, one for each replica', async (t) => {
  const [first, second, third] = extremes
  if (first === undefined || second === undefined || third === undefined) throw new Error('three')
  const { count, pieces, digests } = encodeBlockList([
    first,
    { ...second, digest: 2n ** 64n - 1n },
    { ...third, digest: 5n },
  ])
  t.equal(decode(count, pieces).length, 3, 'the list itself is as ever')
  t.same(
    [0, 1, 2].map((index) => listedDigest(digests, count, index)),
    [undefined, 2n ** 64n - 1n, 5n],
  )
  t.equal(listedDigest(undefined, 3, 1), undefined)
  for (const wrong of [0, 16, 23, 25]) {
    t.throws(() => listedDigest(new Uint8Array(wrong), 3, 0), { code: 'BAD_FRAME' })
  }
})

t.test('a list may be cut anywhere', async (t) => {
  const { count, pieces } = encodeBlockList(extremes)
  const bytes = concat(pieces)
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    t.same(decode(count, [bytes.subarray(0, cut), bytes.subarray(cut)]), extremes, `cut at ${cut}`)
  }
  t.same(
    decode(
      count,
      [...bytes].map((byte) => Uint8Array.of(byte)),
    ),
    extremes,
    'bytewise',
  )
})

t.test('a long list is cut into pieces of at most 64 KiB', async (t) => {
  const many = Array.from({ length: 30_000 }, (_, index) =>
    replica(1073741825 + index, index * 4096, 1001 + index, index % 2 === 0 ? 'finalized' : 'rbw'),
  )
  const { count, pieces } = encodeBlockList(many)
  t.equal(count, many.length)
  t.ok(pieces.length > 1)
  t.ok(pieces.every(({ length }) => length > 0 && length <= 65_536))
  t.same(decode(count, pieces), many)
})

t.test('a damaged list is refused and says where', async (t) => {
  const refused = (run: () => void, pattern: RegExp, name: string): void => {
    t.throws(run, { code: 'BAD_FRAME', message: pattern }, name)
  }
  for (let end = 0; end < recordedBytes.length; end += 1) {
    refused(() => decode(4, [recordedBytes.subarray(0, end)]), /Block list/, `truncated at ${end}`)
  }
  refused(() => decode(3, [recordedBytes]), /more replicas than the 3 announced/, 'one too many')
  refused(() => decode(5, [recordedBytes]), /holds 4 replicas where 5/, 'one too few')
  refused(() => decode(1, [Uint8Array.of(1, 0, 0, 0)]), /negative/, 'negative id')
  refused(() => decode(1, [Uint8Array.of(2, 0, 0, 5)]), /unknown state 5/, 'unknown state')
  const tooLong = new Uint8Array(11).fill(0xff)
  refused(() => decode(1, [tooLong]), /more than 10 bytes/, 'endless number')
  const hugeStamp = Buffer.from([2, 0, ...new Array<number>(9).fill(0xff), 1, 0])
  refused(() => decode(1, [hugeStamp]), /stamp above 2\^53/, 'stamp of 64 bits')
})

t.test('flipping any bit gives as many replicas or a refusal, never a crash', async (t) => {
  for (let bit = 0; bit < recordedBytes.length * 8; bit += 1) {
    const bytes = Uint8Array.from(recordedBytes)
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    try {
      t.equal(decode(4, [bytes]).length, 4, `bit ${bit}`)
    } catch (error) {
      t.ok(isDfsError(error, 'BAD_FRAME'), `bit ${bit}`)
    }
  }
})

t.test('an incremental decoder hands out replicas as soon as their bytes are there', async (t) => {
  let seen = 0
  const decoder = new BlockListDecoder(4, () => {
    seen += 1
  })
  decoder.push(recordedBytes.subarray(0, 10))
  t.equal(seen, 0)
  decoder.push(recordedBytes.subarray(10, 11))
  t.equal(seen, 1)
  decoder.push(recordedBytes.subarray(11))
  decoder.end()
  t.equal(seen, 4)
})
