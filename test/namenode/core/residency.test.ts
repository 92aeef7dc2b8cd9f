/**
 * The namespace against a simple model, while rows come and go: random operations mixed with folds,
 * evictions, restarts and loads that arrive late. Whatever is resident, the answers must be the model's.
 */
import fc from 'fast-check'
import t from 'tap'
import type { InodeRow } from '../../../namenode/core/changes.ts'
import { compareNames, SortedNames, utf8Length } from '../../../namenode/core/names.ts'
import type { BlockReference, Loaded, Request } from '../../../namenode/core/requests.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { clientName, type InodeId, rootInodeId, type TxId } from '../../../protocol/ids.ts'
import { NamespaceWorld, replayed } from '../../support/namespace-world.ts'

const client = clientName('c')

/** A file system as one would write it in an afternoon. */
type Node = { kind: 'file'; length: number } | { kind: 'directory'; children: Map<string, Node> }

class Model {
  readonly root: Node = { kind: 'directory', children: new Map() }

  find(path: string): Node | undefined | 'below-file' {
    let node: Node = this.root
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node.kind === 'file') return 'below-file'
      const child = node.children.get(name)
      if (child === undefined) return undefined
      node = child
    }
    return node
  }

  run(operation: Operation): unknown {
    const { path } = operation
    const found = this.find(path)
    const [parentPath, name] = split(path)
    const parent = this.find(parentPath)
    if (found === 'below-file') return 'NOT_A_DIRECTORY'
    switch (operation.kind) {
      case 'stat':
        return found === undefined ? undefined : found.kind === 'file' ? found.length : 'directory'
      case 'list': {
        if (found === undefined) return undefined
        if (found.kind === 'file') return ['']
        return [...found.children.keys()].sort(compareNames)
      }
      case 'mkdirs':
        if (found !== undefined) return found.kind === 'directory' ? true : 'FILE_EXISTS'
        this.#makeParents(`${path}/x`)
        return true
      case 'write':
        if (found?.kind === 'directory') return 'FILE_EXISTS'
        this.#makeParents(path).set(name, { kind: 'file', length: operation.length })
        return true
      case 'delete':
        if (found === undefined || parent === undefined || parent === 'below-file') return false
        if (parent.kind === 'file' || name === '') return false
        if (found.kind === 'directory' && found.children.size > 0 && !operation.recursive) {
          return 'DIRECTORY_NOT_EMPTY'
        }
        return parent.children.delete(name)
      case 'rename':
        return this.#rename(path, operation.target)
    }
  }

  #makeParents(path: string): Map<string, Node> {
    let node: Node = this.root
    for (const name of path.split('/').slice(1, -1)) {
      if (node.kind === 'file') throw new Error('checked before')
      let child = node.children.get(name)
      if (child === undefined) {
        child = { kind: 'directory', children: new Map() }
        node.children.set(name, child)
      }
      node = child
    }
    if (node.kind === 'file') throw new Error('checked before')
    return node.children
  }

  #rename(source: string, wanted: string): unknown {
    const child = this.find(source)
    const onto = this.find(wanted)
    if (onto === 'below-file') return 'NOT_A_DIRECTORY'
    const [from, name] = split(source)
    const isInto = onto?.kind === 'directory' && child !== undefined
    const target = isInto ? `${wanted === '/' ? '' : wanted}/${name}` : wanted
    const [to, newName] = split(target)
    const existing = this.find(target)
    const [fromNode, toNode] = [this.find(from), this.find(to)]
    if (child === undefined || child === 'below-file' || name === '') return false
    if (existing === child) return true
    if (existing !== undefined || `${target}/`.startsWith(`${source}/`)) return false
    if (toNode === undefined || toNode === 'below-file' || toNode.kind === 'file') return false
    if (fromNode === undefined || fromNode === 'below-file' || fromNode.kind === 'file')
      return false
    fromNode.children.delete(name)
    toNode.children.set(newName, child)
    return true
  }
}

function split(path: string): [string, string] {
  const at = path.lastIndexOf('/')
  return [path.slice(0, at) || '/', path.slice(at + 1)]
}

type Operation =
  | { kind: 'stat'; path: string }
  | { kind: 'list'; path: string; limit: number }
  | { kind: 'mkdirs'; path: string }
  | { kind: 'write'; path: string; length: number }
  | { kind: 'delete'; path: string; recursive: boolean }
  | { kind: 'rename'; path: string; target: string }

/** What happens beside requests. */
type Weather =
  | { kind: 'fold'; keep: number }
  | { kind: 'evict' }
  | { kind: 'tick' }
  | { kind: 'restart' }
  | { kind: 'begin-load'; path: string; name: string }
  | { kind: 'end-loads' }

/** A world whose store lags behind, whose memory is small, and whose loads may be slow. */
class Storm {
  readonly world: NamespaceWorld
  #folded = 0
  #slow: { loaded: Loaded; startedAt: number }[] = []

  constructor(residentInodes: number) {
    this.world = new NamespaceWorld({
      settings: { 'dfs.namenode.resident-inodes': residentInodes },
    })
  }

  run(operation: Operation): unknown {
    try {
      return this.#run(operation)
    } catch (error) {
      if (!isDfsError(error)) throw error
      return error.code
    }
  }

  change(weather: Weather): void {
    const { world } = this
    switch (weather.kind) {
      case 'fold':
        this.#folded = Math.max(this.#folded, world.journal.length - weather.keep)
        world.fold(this.#folded)
        break
      case 'evict': {
        const oldest = Math.min(this.#folded, ...this.#slow.map(({ startedAt }) => startedAt))
        for (let round = 0; round < 3; round += 1) world.namesystem.evict(oldest as TxId)
        break
      }
      case 'tick':
        world.tick()
        break
      case 'restart':
        this.#slow = []
        world.restart()
        break
      case 'begin-load':
        this.#begin(weather)
        break
      case 'end-loads':
        for (const { loaded } of this.#slow) world.namesystem.provide(loaded)
        this.#slow = []
        break
    }
  }

  /** Reads what the store holds now; it arrives later. */
  #begin({ path, name }: { path: string; name: string }): void {
    const { store } = this.world
    let id: InodeId | undefined = rootInodeId
    for (const part of path.split('/').filter((text) => text !== '')) {
      id = id === undefined ? undefined : store.entries.get(id)?.get(part)
    }
    if (id === undefined) return
    const child = store.entries.get(id)?.get(name)
    for (const loaded of [
      store.load({ kind: 'entry', parent: id, name }),
      store.load({ kind: 'children', parent: id, startAfter: '', limit: 1000 }),
      store.load({ kind: 'inode', id }),
      ...(child === undefined ? [] : [store.load({ kind: 'blocks-of-inode', inode: child })]),
    ]) {
      this.#slow.push({ loaded, startedAt: this.#folded })
    }
  }

  #run(operation: Operation): unknown {
    const { world } = this
    const { path } = operation
    switch (operation.kind) {
      case 'stat': {
        const status = world.run({ kind: 'getFileInfo', path })
        return status?.inode.kind === 'file' ? status.length : status?.inode.kind
      }
      case 'list':
        return listAll(world, path, operation.limit)
      case 'mkdirs':
        return world.run({ kind: 'mkdirs', path, mode: 0o755, createParent: true })
      case 'write':
        return writeFile(world, path, operation.length)
      case 'delete':
        return world.run({ kind: 'delete', path, recursive: operation.recursive })
      case 'rename':
        return world.run({ kind: 'rename', source: path, target: operation.target })
    }
  }
}

function listAll(world: NamespaceWorld, path: string, limit: number): string[] | undefined {
  const names: string[] = []
  for (;;) {
    const request = { kind: 'getListing', path, startAfter: names.at(-1) ?? '', limit } as const
    const page = world.run({ ...request, needLocation: false })
    if (page === undefined) return undefined
    names.push(...page.entries.map(({ name }) => name))
    if (page.remainingEntries === 0) return names
    if (page.entries.length === 0) throw new Error('an empty page with entries remaining')
  }
}

function writeFile(world: NamespaceWorld, path: string, length: number): true {
  const create: Request = {
    kind: 'create',
    path,
    mode: 0o644,
    clientName: client,
    overwrite: true,
    createIfMissing: true,
    createParent: true,
    replication: 1,
    blockSize: 1024 * 1024,
  }
  world.run(create)
  let previous: BlockReference | undefined
  for (let rest = length; rest > 0; rest -= 10) {
    const add = { kind: 'addBlock', path, clientName: client, previous, isLastTry: false } as const
    const { block } = world.run({ ...add, excluded: [], favored: [] })
    previous = { ...block, length: Math.min(10, rest) }
  }
  world.run({ kind: 'complete', path, clientName: client, last: previous, isLastTry: false })
  return true
}

// Few names, so that operations, loads and evictions meet on the same rows.
const nameArbitrary = fc.constantFrom('a', 'b', '\uffee', '😀')
const pathArbitrary = fc
  .array(nameArbitrary, { minLength: 0, maxLength: 3, size: 'max' })
  .map((parts) => `/${parts.join('/')}`)

const operationArbitrary: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant('stat' as const), path: pathArbitrary }),
  fc.record({
    kind: fc.constant('list' as const),
    path: pathArbitrary,
    limit: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constant('mkdirs' as const), path: pathArbitrary }),
  fc.record({
    kind: fc.constant('write' as const),
    path: pathArbitrary,
    length: fc.integer({ min: 0, max: 35 }),
  }),
  fc.record({
    kind: fc.constant('delete' as const),
    path: pathArbitrary,
    recursive: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('rename' as const), path: pathArbitrary, target: pathArbitrary }),
)

const weatherArbitrary: fc.Arbitrary<Weather> = fc.oneof(
  fc.record({ kind: fc.constant('fold' as const), keep: fc.integer({ min: 0, max: 5 }) }),
  fc.constant({ kind: 'evict' as const }),
  fc.constant({ kind: 'tick' as const }),
  fc.constant({ kind: 'restart' as const }),
  fc.record({
    kind: fc.constant('begin-load' as const),
    path: pathArbitrary,
    name: nameArbitrary,
  }),
  fc.constant({ kind: 'end-loads' as const }),
)

const eventArbitrary = fc.oneof(
  { weight: 3, arbitrary: operationArbitrary.map((operation) => ({ operation })) },
  { weight: 2, arbitrary: weatherArbitrary.map((weather) => ({ weather })) },
)

/** Every path of a namesystem with its row. */
function walk(world: NamespaceWorld, path = '/', found = new Map<string, InodeRow>()) {
  const status = world.run({ kind: 'getFileInfo', path })
  if (status === undefined) throw new Error(`${path} vanished`)
  found.set(path, status.inode)
  if (status.inode.kind !== 'directory') return found
  for (const name of listAll(world, path, 1000) ?? []) {
    walk(world, path === '/' ? `/${name}` : `${path}/${name}`, found)
  }
  return found
}

t.test('answers do not depend on what is resident, folded, restarted or loaded late', async (t) => {
  fc.assert(
    fc.property(fc.array(eventArbitrary, { maxLength: 150, size: 'max' }), (events) => {
      const model = new Model()
      const storm = new Storm(0)
      const calm = new NamespaceWorld()
      const sheltered = new Storm(200_000)
      for (const event of events) {
        if ('weather' in event) {
          storm.change(event.weather)
          continue
        }
        const expected = model.run(event.operation)
        const actual = storm.run(event.operation)
        const resident = sheltered.run(event.operation)
        if (JSON.stringify(actual) !== JSON.stringify(expected)) {
          throw new Error(`${JSON.stringify(event)}: ${JSON.stringify({ actual, expected })}`)
        }
        if (JSON.stringify(resident) !== JSON.stringify(expected)) {
          throw new Error(`${JSON.stringify(event)} with everything resident: ${String(resident)}`)
        }
        storm.world.namesystem.invariants()
      }
      calm.namesystem = replayed(calm.emptyNamesystem(), storm.world.journal)
      const live = walk(storm.world)
      if (JSON.stringify([...walk(calm)]) !== JSON.stringify([...live])) {
        throw new Error('replay differs from the live state')
      }
      storm.world.settle()
      storm.world.fold()
      const stored = [...storm.world.store.inodes.keys()].length
      const totals = storm.world.namesystem.status().totals
      if (stored !== live.size + 1 || totals.files + totals.directories !== live.size) {
        throw new Error(`${stored} inodes are stored, ${live.size} are reachable`)
      }
      if (totals.blocks !== storm.world.store.blocks.size) throw new Error('block totals differ')
    }),
    { numRuns: 400 },
  )
  t.pass('400 runs')
})

t.test('a large directory is listed page by page, folded and evicted or not', async (t) => {
  const count = 5000
  const path = (index: number): string => `/d/${(index * 7919) % count}`
  for (const isForgetful of [false, true]) {
    const world = new NamespaceWorld({ settings: { 'dfs.namenode.resident-inodes': 1000 } })
    const expected: string[] = []
    for (let index = 0; index < count; index += 1) {
      world.run({ kind: 'mkdirs', path: path(index), mode: 0o755, createParent: true })
      expected.push(String(index))
      if (isForgetful && index % 1000 === 999) world.forget()
    }
    expected.sort(compareNames)
    t.strictSame(listAll(world, '/d', 1000), expected)
    for (let index = 0; index < 1500; index += 1) {
      world.run({ kind: 'delete', path: `/d/${expected[index] ?? ''}`, recursive: false })
    }
    world.run({ kind: 'mkdirs', path: '/d/00', mode: 0o755, createParent: true })
    t.strictSame(listAll(world, '/d', 700), ['00', ...expected.slice(1500)])
    t.ok(!isForgetful || world.namesystem.status().residentInodes < 4000)
    const first = { kind: 'getListing', path: '/d', startAfter: '', limit: 1 } as const
    t.equal(world.run({ ...first, needLocation: false })?.remainingEntries, count - 1500)
    let after = ''
    let subdirectories = 0
    for (;;) {
      const page = world.run({ kind: 'summarizeDirectory', path: '/d', startAfter: after })
      subdirectories += page.subdirectories.length
      if (page.next === undefined) break
      after = page.next
    }
    t.equal(subdirectories, count - 1499)
    world.namesystem.invariants()
  }
})

t.test('evict() keeps memory near the limit and what is not folded yet', async (t) => {
  const world = new NamespaceWorld({ settings: { 'dfs.namenode.resident-inodes': 100 } })
  for (let index = 0; index < 1000; index += 1) {
    world.run({ kind: 'mkdirs', path: `/a/b${index}/c`, mode: 0o755, createParent: true })
  }
  world.evict()
  t.ok(world.namesystem.status().residentInodes >= 2000, 'nothing is folded')
  world.fold(500)
  world.evict()
  t.ok(world.namesystem.status().residentInodes >= 1000)
  t.ok(world.namesystem.status().residentInodes <= 1200)
  world.forget()
  t.ok(world.namesystem.status().residentInodes <= 100)
  t.equal(world.run({ kind: 'getFileInfo', path: '/a/b77/c' })?.inode.kind, 'directory')
})

t.test(
  'names: compareNames() orders as the UTF-8 bytes do, utf8Length() counts them',
  async (t) => {
    const wellFormed = fc.string({ unit: 'grapheme', maxLength: 6 })
    fc.assert(
      fc.property(wellFormed, wellFormed, (left, right) => {
        const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right))
        return (
          Math.sign(compareNames(left, right)) === bytes &&
          utf8Length(left) === Buffer.byteLength(left)
        )
      }),
    )
    t.ok(compareNames('\uffee', '😀') < 0)
    t.ok(compareNames('😀', '\uffee') > 0)
    t.ok(compareNames('😀', '😁') < 0)
    t.ok(compareNames('a', 'ab') < 0)
    t.equal(compareNames('a', 'a'), 0)
  },
)

t.test('names: SortedNames stays sorted while names come and go', async (t) => {
  const names = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 3000 })), {
    maxLength: 3000,
  })
  fc.assert(
    fc.property(names, fc.integer({ min: 0, max: 3000 }), (steps, from) => {
      const expected = new Set<string>(['5', '1'])
      const sorted = new SortedNames(expected)
      for (const [isAdded, value] of steps) {
        const name = String(value)
        if (isAdded) {
          expected.add(name)
          sorted.add(name)
        } else {
          expected.delete(name)
          sorted.delete(name)
        }
      }
      const after = [...expected].filter((name) => name > String(from)).sort()
      return (
        JSON.stringify([...sorted.after(String(from))]) === JSON.stringify(after) &&
        sorted.countAfter(String(from)) === after.length &&
        sorted.size === expected.size
      )
    }),
    { numRuns: 50 },
  )
  t.pass('50 runs')
})
