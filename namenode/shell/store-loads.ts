/** Rows that memory does not hold, looked up in batches: one statement for all misses of one kind. */
import { defined } from '../../base/assert.ts'
import type { Loaded, Miss } from '../core/requests.ts'
import { queries } from '../format/schema.ts'
import type { Connection } from './sqlite-connection.ts'
import { blockFromCells, inodeFromCells, type Row } from './store-rows.ts'

type Answers = (Loaded | undefined)[]

/** Answers to `misses`, in their order; rows that do not exist are reported as absent. */
export async function loadMisses(
  reader: Connection,
  misses: readonly Miss[],
): Promise<readonly Loaded[]> {
  const loaded: Answers = new Array<undefined>(misses.length)
  await Promise.all([
    loadInodes(reader, misses, loaded),
    loadEntries(reader, misses, loaded),
    loadBlocksOfInodes(reader, misses, loaded),
    loadBlocks(reader, misses, loaded),
    loadChildren(reader, misses, loaded),
  ])
  return loaded.map((answer) => defined(answer, 'answer to a miss'))
}

/** Positions and misses of one kind. */
function ofKind<K extends Miss['kind']>(
  misses: readonly Miss[],
  kind: K,
): readonly (readonly [number, Extract<Miss, { kind: K }>])[] {
  return misses.flatMap((miss, index): [number, Extract<Miss, { kind: K }>][] =>
    miss.kind === kind ? [[index, miss as Extract<Miss, { kind: K }>]] : [],
  )
}

/** Rows of a look-up by the index of their key. */
async function rowsByKey(
  reader: Connection,
  query: string,
  keys: readonly unknown[],
): Promise<ReadonlyMap<number, readonly Row[]>> {
  const byKey = new Map<number, Row[]>()
  for (const [key, row] of await reader.rows<readonly [number, Row]>(query, JSON.stringify(keys))) {
    const known = byKey.get(key)
    if (known === undefined) byKey.set(key, [row])
    else known.push(row)
  }
  return byKey
}

async function loadInodes(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'inode')
  if (misses.length === 0) return
  const ids = misses.map(([, { id }]) => id)
  const rows = await rowsByKey(reader, queries.inodes, ids)
  for (const [key, [index, { id }]] of misses.entries()) {
    const cells = rows.get(key)?.[0]
    const inode = cells === undefined ? undefined : inodeFromCells(cells)
    answers[index] = { kind: 'inode', id, inode }
  }
}

async function loadEntries(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'entry')
  if (misses.length === 0) return
  const keys = misses.map(([, { parent, name }]) => [parent, name])
  const rows = await rowsByKey(reader, queries.entries, keys)
  for (const [key, [index, { parent, name }]] of misses.entries()) {
    const cells = rows.get(key)?.[0]
    const inode = cells === undefined ? undefined : inodeFromCells(cells)
    answers[index] = { kind: 'entry', parent, name, inode }
  }
}

async function loadBlocksOfInodes(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'blocks-of-inode')
  if (misses.length === 0) return
  const inodes = misses.map(([, { inode }]) => inode)
  const rows = await rowsByKey(reader, queries.blocksOfInodes, inodes)
  for (const [key, [index, { inode }]] of misses.entries()) {
    const blocks = (rows.get(key) ?? []).map((cells) => blockFromCells(cells))
    blocks.sort((left, right) => left.index - right.index)
    answers[index] = { kind: 'blocks-of-inode', inode, blocks }
  }
}

async function loadBlocks(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'block')
  if (misses.length === 0) return
  const ids = misses.map(([, { id }]) => id)
  const rows = await rowsByKey(reader, queries.blocks, ids)
  for (const [key, [index, { id }]] of misses.entries()) {
    const cells = rows.get(key)?.[0]
    const block = cells === undefined ? undefined : blockFromCells(cells)
    answers[index] = { kind: 'block', id, block }
  }
}

async function loadChildren(reader: Connection, all: readonly Miss[], answers: Answers) {
  for (const [index, { parent, startAfter, limit }] of ofKind(all, 'children')) {
    const query = [parent, startAfter, limit + 1] as const
    const rows = await reader.rows<readonly [string, Row]>(queries.children, ...query)
    const children = rows
      .slice(0, limit)
      .map(([name, cells]) => ({ name, inode: inodeFromCells(cells) }))
    const isEnd = rows.length <= limit
    answers[index] = { kind: 'children', parent, startAfter, children, isEnd }
  }
}
