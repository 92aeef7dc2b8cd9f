import t from 'tap'
import {
  type FileSizes,
  judgeBlock,
  type KnownReplica,
  type ScanFinding,
  suspiciousBlocks,
} from '../../../datanode/core/directory-diff.ts'
import { blockId, generationStamp, storageUuid } from '../../../protocol/ids.ts'
import { replicaStates } from '../../../protocol/states.ts'

const here = storageUuid('DS-here')
const there = storageUuid('DS-there')
const stamp = generationStamp(1001)

function replica(changes: Partial<KnownReplica> = {}): KnownReplica {
  return { state: 'finalized', storage: here, generationStamp: stamp, length: 100, ...changes }
}

const whole: FileSizes = { dataBytes: 100, metaBytes: 140, metaBytesWanted: 140 }
const noData = { dataBytes: undefined, metaBytes: 140, metaBytesWanted: undefined }
const noMeta = { dataBytes: 100, metaBytes: undefined, metaBytesWanted: undefined }
const nothing = { dataBytes: undefined, metaBytes: undefined, metaBytesWanted: undefined }

t.test('judgeBlock() has an answer for every combination of replica and files', async (t) => {
  const rows: (readonly [string, KnownReplica | undefined, FileSizes, ScanFinding | undefined])[] =
    [
      ['as it should be', replica(), whole, undefined],
      ['both files missing', replica(), nothing, 'gone'],
      ['data missing', replica(), noData, 'gone'],
      ['meta missing', replica(), noMeta, 'gone'],
      ['data too short', replica(), { ...whole, dataBytes: 99 }, 'wrong-length'],
      ['data too long', replica(), { ...whole, dataBytes: 101 }, 'wrong-length'],
      ['meta of another length', replica(), { ...whole, metaBytes: 136 }, 'wrong-length'],
      ['meta without a head', replica(), { ...whole, metaBytesWanted: undefined }, 'wrong-length'],
      ['files without a replica', undefined, whole, 'unknown'],
      ['data alone', undefined, noMeta, 'incomplete'],
      ['meta alone', undefined, noData, 'incomplete'],
      ['a meta that does not fit', undefined, { ...whole, metaBytes: 136 }, 'incomplete'],
      ['nothing at all', undefined, nothing, undefined],
      ['files of a replica elsewhere', replica({ storage: there }), whole, 'duplicate'],
      ['a replica elsewhere', replica({ storage: there }), nothing, undefined],
    ]
  for (const [name, known, sizes, expected] of rows) {
    t.equal(judgeBlock(here, known, sizes), expected, name)
  }
  for (const state of replicaStates) {
    if (state === 'finalized') continue
    t.equal(judgeBlock(here, replica({ state }), nothing), undefined, `${state} lies elsewhere`)
  }
})

t.test('suspiciousBlocks() passes over what fits at first sight', async (t) => {
  const known = [1, 2, 3, 4, 5].map((id) => ({ ...replica(), blockId: blockId(id) }))
  const files = { hasData: true, stamps: [stamp] }
  const found = new Map([
    [blockId(1), files],
    [blockId(2), { ...files, hasData: false }],
    [blockId(3), { ...files, stamps: [generationStamp(1002)] }],
    [blockId(4), files],
    [blockId(6), files],
  ])
  const sizes = new Map([
    [blockId(1), 100],
    [blockId(3), 100],
    [blockId(4), 99],
    [blockId(6), 100],
  ])
  t.same(suspiciousBlocks(found, known, sizes), [2, 3, 4, 5, 6])
})
