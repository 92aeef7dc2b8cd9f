/** splice on the namespace: which blocks a file has afterwards, what is given up, what is refused, replays and restarts. */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { BlockEdit, BlockReference, Request } from '../../../namenode/core/requests.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { clientName, generationStamp, inodeId } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import { NamespaceWorld, superuser, user } from '../../support/namespace-world.ts'

const mebibyte = 1024 * 1024
const writer = clientName('writer')

function create(world: NamespaceWorld, path: string): void {
  world.run({
    ...{ kind: 'create', path, mode: 0o644, clientName: writer, overwrite: false },
    ...{ createIfMissing: true, createParent: true, replication: 3, blockSize: mebibyte },
  })
}

/** A closed file with blocks of these lengths. */
function closedFile(
  world: NamespaceWorld,
  path: string,
  lengths: readonly number[],
): readonly BlockReference[] {
  create(world, path)
  const blocks: BlockReference[] = []
  const rest = { excluded: [], favored: [], isLastTry: false }
  for (const length of lengths) {
    const previous = blocks.at(-1)
    const { block } = world.run({ kind: 'addBlock', path, clientName: writer, previous, ...rest })
    blocks.push({ ...block, length })
  }
  world.run({ kind: 'complete', path, clientName: writer, last: blocks.at(-1), isLastTry: false })
  return blocks
}

function inodeOf(world: NamespaceWorld, path: string) {
  return world.run({ kind: 'getFileInfo', path })?.inode
}

/** Ids of the blocks of a file, in its order. */
function idsOf(world: NamespaceWorld, path: string): readonly number[] {
  const range = { offset: 0, length: Number.MAX_SAFE_INTEGER }
  return world
    .run({ kind: 'getBlockLocations', path, ...range })
    .blocks.map(({ block }) => block.id as number)
}

function splice(
  world: NamespaceWorld,
  edits: readonly BlockEdit[],
  fields: Partial<Request & { kind: 'splice' }> = {},
): Request & { kind: 'splice' } {
  const id = inodeOf(world, '/f')?.id ?? inodeId(1)
  return { kind: 'splice', path: '/f', inodeId: id, taken: '/g', edits, ...fields }
}

function code(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return isDfsError(error) ? error.code : String(error)
  }
  return 'none'
}

/** Runs with everything resident, and with nothing resident at each request. */
function eachWay(name: string, test: (t: Test, world: NamespaceWorld) => void): void {
  for (const isForgetful of [false, true]) {
    t.test(`${name} (${isForgetful ? 'nothing' : 'everything'} resident)`, async (t) => {
      const world = new NamespaceWorld({ isForgetful })
      test(t, world)
      world.namesystem.invariants()
      world.fold()
      world.restart()
      world.namesystem.invariants()
    })
  }
}

eachWay('splice() exchanges blocks in the middle; the source is gone', (t, world) => {
  const [first, second, third] = closedFile(world, '/f', [100, 200, 300])
  const [one, two] = closedFile(world, '/g', [150, 60])
  const before = inodeOf(world, '/f')
  world.pass(1000)
  const removed = second === undefined ? [] : [second]
  world.run(splice(world, [{ offset: 100, removed, takes: 2 }]))
  t.strictSame(idsOf(world, '/f'), [first?.id, one?.id, two?.id, third?.id])
  t.match(inodeOf(world, '/f'), { id: before?.id, length: 610, mtime: world.wall })
  t.equal(inodeOf(world, '/g'), undefined)
  t.strictSame(world.blocks.deleted, [second?.id])
  const row = [...world.blocks.rows.values()].find(({ id }) => id === two?.id)
  t.match(row, { state: 'complete', inode: before?.id, index: 2 })
})

eachWay('splice() without a source removes blocks', (t, world) => {
  const [first, second, third] = closedFile(world, '/f', [100, 200, 300])
  const removed = first && second ? [first, second] : []
  world.run(splice(world, [{ offset: 0, removed, takes: 0 }], { taken: undefined }))
  t.strictSame(idsOf(world, '/f'), [third?.id])
  t.equal(inodeOf(world, '/f')?.length, 300)
  t.strictSame(world.blocks.deleted, [first?.id, second?.id])
})

eachWay('splice() compares before it exchanges, and refuses what does not fit', (t, world) => {
  const [first, second] = closedFile(world, '/f', [100, 200])
  closedFile(world, '/g', [50])
  if (first === undefined || second === undefined) return
  const stale = { ...first, generationStamp: generationStamp(first.generationStamp + 7) }
  const good = { offset: 0, removed: [first], takes: 1 }
  const refusals: readonly [string, string, Request & { kind: 'splice' }][] = [
    ['another stamp', 'FILE_CHANGED', splice(world, [{ offset: 0, removed: [stale], takes: 1 }])],
    ['another place', 'FILE_CHANGED', splice(world, [{ ...good, offset: 100 }])],
    ['behind the end', 'FILE_CHANGED', splice(world, [{ offset: 301, removed: [], takes: 1 }])],
    [
      'more than there are',
      'FILE_CHANGED',
      splice(world, [{ offset: 100, removed: [second, first], takes: 1 }]),
    ],
    ['inside of a block', 'FILE_CHANGED', splice(world, [{ offset: 7, removed: [], takes: 1 }])],
    ['another file', 'FILE_CHANGED', splice(world, [good], { inodeId: inodeId(99_999) })],
    ['too few taken', 'INVALID_ARGUMENT', splice(world, [{ ...good, takes: 0 }])],
    ['too many taken', 'INVALID_ARGUMENT', splice(world, [{ ...good, takes: 2 }])],
    ['overlap', 'INVALID_ARGUMENT', splice(world, [good, { ...good, takes: 0 }])],
    ['itself', 'INVALID_ARGUMENT', splice(world, [good], { taken: '/f' })],
    ['no source', 'FILE_NOT_FOUND', splice(world, [good], { taken: '/none' })],
    ['no target', 'FILE_NOT_FOUND', splice(world, [good], { path: '/none' })],
    ['a directory', 'IS_A_DIRECTORY', splice(world, [good], { path: '/' })],
  ]
  for (const [why, expected, request] of refusals) {
    t.equal(
      code(() => world.run(request)),
      expected,
      why,
    )
  }
  t.strictSame(idsOf(world, '/f'), [first.id, second.id], 'nothing happened')
  t.equal(inodeOf(world, '/g')?.length, 50)
  t.strictSame(world.blocks.deleted, [])
})

eachWay('splice() leaves open files alone', (t, world) => {
  const [first] = closedFile(world, '/f', [mebibyte])
  closedFile(world, '/g', [50])
  const edit = { offset: 0, removed: first === undefined ? [] : [first], takes: 1 }
  const request = splice(world, [edit])
  world.run({ kind: 'append', path: '/g', clientName: writer, newBlock: true })
  t.equal(
    code(() => world.run(request)),
    'INVALID_ARGUMENT',
    'the source is being written',
  )
  world.run({ kind: 'complete', path: '/g', clientName: writer, isLastTry: false })
  world.run({ kind: 'append', path: '/f', clientName: writer, newBlock: true })
  t.equal(
    code(() => world.run(request)),
    'ALREADY_BEING_CREATED',
    'the target is being written',
  )
})

eachWay('splice() needs the rights of a write and of a removal', (t, world) => {
  const [first] = closedFile(world, '/f', [100])
  closedFile(world, '/g', [50])
  const request = splice(world, [
    { offset: 0, removed: first === undefined ? [] : [first], takes: 1 },
  ])
  const anna = user('anna')
  t.equal(
    code(() => world.run(request, anna)),
    'PERMISSION_DENIED',
    'the target is not hers',
  )
  world.run({ kind: 'setPermission', path: '/f', mode: 0o666 })
  t.equal(
    code(() => world.run(request, anna)),
    'PERMISSION_DENIED',
    'nor is the directory',
  )
  world.run({ kind: 'setPermission', path: '/', mode: 0o777 })
  t.equal(
    code(() => world.run(request, anna)),
    'none',
  )
})

t.test('a repeated splice() gets its first answer', async (t) => {
  const world = new NamespaceWorld()
  const [first] = closedFile(world, '/f', [100])
  closedFile(world, '/g', [50])
  const caller = { ...superuser, request: { clientId: 'c1', callId: 7 } }
  const edit = { offset: 0, removed: first === undefined ? [] : [first], takes: 1 }
  world.run(splice(world, [edit]), caller)
  t.strictSame(world.namesystem.cachedReply(caller.request), { kind: 'void' })
})

t.test('splice() keeps to the limit of blocks in a file', async (t) => {
  const world = new NamespaceWorld()
  closedFile(world, '/f', Array<number>(limits.blocksPerFileMax).fill(1))
  closedFile(world, '/g', [1])
  const request = splice(world, [{ offset: 3, removed: [], takes: 1 }])
  t.equal(
    code(() => world.run(request)),
    'LIMIT_EXCEEDED',
  )
})

/** Where edits begin, how many blocks each removes and takes; cut to what the file has. */
const plans = fc.array(
  fc.array(fc.tuple(fc.nat(4), fc.nat(3), fc.nat(3)), { minLength: 1, maxLength: 3 }),
  { minLength: 1, maxLength: 6 },
)

function editsOf(
  blocks: readonly BlockReference[],
  plan: readonly (readonly [number, number, number])[],
): readonly (BlockEdit & { readonly index: number })[] {
  let at = 0
  return plan.map(([gap, removes, takes]) => {
    const index = Math.min(at + gap, blocks.length)
    const removed = blocks.slice(index, index + removes)
    at = index + removed.length
    return { index, offset: sumOf(blocks.slice(0, index)), removed, takes }
  })
}

function sumOf(blocks: readonly BlockReference[]): number {
  return blocks.reduce((sum, { length }) => sum + length, 0)
}

t.test('any number of splices gives what the same edits of a list give', async () => {
  fc.assert(
    fc.property(plans, fc.boolean(), fc.boolean(), (sequence, isForgetful, folds) => {
      const world = new NamespaceWorld({ isForgetful })
      let model = closedFile(world, '/f', [10, 20, 30, 40, 50])
      const gone: number[] = []
      for (const plan of sequence) {
        const edits = editsOf(model, plan)
        const count = edits.reduce((sum, { takes }) => sum + takes, 0)
        const fresh = count === 0 ? [] : closedFile(world, '/g', Array<number>(count).fill(7))
        world.run(splice(world, edits, { taken: count === 0 ? undefined : '/g' }))
        const next = [...model]
        let used = fresh.length
        for (const { index, removed, takes } of edits.toReversed()) {
          const cut = next.splice(index, removed.length, ...fresh.slice(used - takes, used))
          gone.push(...cut.map(({ id }) => id))
          used -= takes
        }
        model = next
        if (folds) world.fold()
      }
      const ids = model.map(({ id }) => id as number)
      const check = (): boolean =>
        idsOf(world, '/f').join() === ids.join() && inodeOf(world, '/f')?.length === sumOf(model)
      world.namesystem.invariants()
      const isRight = check() && world.blocks.deleted.toSorted().join() === gone.toSorted().join()
      world.restart()
      world.namesystem.invariants()
      return isRight && check()
    }),
  )
})
