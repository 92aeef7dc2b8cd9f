/** Rows of the store as JSON arrays, in the column order of format/schema.ts, and back. */
import { assert, defined } from '../../base/assert.ts'
import { millis } from '../../base/brand.ts'
import {
  blockId,
  clientName,
  datanodeUuid,
  generationStamp,
  inodeId,
  storageUuid,
} from '../../protocol/ids.ts'
import type { BlockState } from '../../protocol/states.ts'
import { parseAcl } from '../core/acl.ts'
import type { BlockRow, DatanodeRow, EntryReference, InodeRow } from '../core/changes.ts'
import type { CachedReply, LocatedBlockView, ReplicaLocation } from '../core/requests.ts'
import { ownBytes, type XAttrNamespace, type XAttrRow } from '../core/xattrs.ts'
import {
  blockStateNumbers,
  datanodeGoalNumbers,
  foldStatements,
  inodeKindNumbers,
} from '../format/schema.ts'
import type { EntryFate, FoldBatch } from './fold-batch.ts'

/** One value of a row. */
export type Cell = string | number | null

/** One row, in the order of its columns. */
export type Row = readonly Cell[]

const inodeKinds = new Map<Cell, InodeRow['kind']>([
  [inodeKindNumbers.file, 'file'],
  [inodeKindNumbers.directory, 'directory'],
  [inodeKindNumbers.symlink, 'symlink'],
  [inodeKindNumbers.fifo, 'fifo'],
  [inodeKindNumbers.socket, 'socket'],
  [inodeKindNumbers['character-device'], 'character-device'],
  [inodeKindNumbers['block-device'], 'block-device'],
])
const blockStates = new Map<Cell, BlockState>([
  [blockStateNumbers['under-construction'], 'under-construction'],
  [blockStateNumbers['under-recovery'], 'under-recovery'],
  [blockStateNumbers.committed, 'committed'],
  [blockStateNumbers.complete, 'complete'],
])

const datanodeGoals = new Map<Cell, DatanodeRow['goal']>([
  [datanodeGoalNumbers.decommissioned, 'decommissioned'],
  [datanodeGoalNumbers['in-maintenance'], 'in-maintenance'],
])

export function inodeCells(inode: InodeRow): Row {
  return [
    inode.id,
    inodeKindNumbers[inode.kind],
    inode.parent,
    inode.name,
    inode.owner,
    inode.group,
    inode.mode,
    inode.mtime,
    inode.atime,
    inode.nlink,
    inode.childCount,
    inode.replication,
    inode.blockSize,
    inode.length,
    inode.lease?.holder ?? null,
    inode.lease?.clientHost ?? null,
    inode.target ?? null,
    inode.ctime ?? null,
    inode.mtimeNanos ?? null,
    inode.atimeNanos ?? null,
    inode.device ?? null,
    entriesText(inode.otherEntries),
    inode.acl?.text ?? null,
    inode.xattrs === undefined ? null : xattrsText(inode.xattrs),
  ]
}

export function inodeFromCells(cells: Row): InodeRow {
  const integer = (column: number): number => numberCell(cells[column])
  const text = (column: number): string => textCell(cells[column])
  const holder = cells[14] ?? null
  const target = cells[16] ?? null
  const [ctime, mtimeNanos, atimeNanos, device, others, acl, xattrs] = cells.slice(17)
  return {
    id: inodeId(integer(0)),
    kind: defined(inodeKinds.get(integer(1)), 'kind of an inode'),
    parent: inodeId(integer(2)),
    name: text(3),
    owner: text(4),
    group: text(5),
    mode: integer(6),
    mtime: millis(integer(7)),
    atime: millis(integer(8)),
    nlink: integer(9),
    childCount: integer(10),
    replication: integer(11),
    blockSize: integer(12),
    length: integer(13),
    ...(holder !== null && {
      lease: { holder: clientName(textCell(holder)), clientHost: text(15) },
    }),
    ...(target !== null && { target: textCell(target) }),
    // Answers in the retry cache that an older version wrote end before these.
    ...(isPresent(ctime) && { ctime: millis(numberCell(ctime)) }),
    ...(isPresent(mtimeNanos) && { mtimeNanos: numberCell(mtimeNanos) }),
    ...(isPresent(atimeNanos) && { atimeNanos: numberCell(atimeNanos) }),
    ...(isPresent(device) && { device: numberCell(device) }),
    ...(isPresent(others) && { otherEntries: entriesFromText(textCell(others)) }),
    ...(isPresent(acl) && { acl: parseAcl(textCell(acl)) }),
    ...(isPresent(xattrs) && { xattrs: xattrsFromText(textCell(xattrs)) }),
  }
}

function isPresent(cell: Cell | undefined): cell is string | number {
  return cell !== null && cell !== undefined
}

/** `[[parent, name], …]`, or null when there is none. */
function entriesText(entries: readonly EntryReference[] | undefined): string | null {
  if (entries === undefined || entries.length === 0) return null
  return JSON.stringify(entries.map(({ parent, name }) => [parent, name]))
}

function entriesFromText(text: string): readonly EntryReference[] {
  const entries = JSON.parse(text) as readonly (readonly [number, string])[]
  return entries.map(([parent, name]) => ({ parent: inodeId(parent), name }))
}

/** JSON array of [namespace, name, value in base64]. */
function xattrsText(xattrs: readonly XAttrRow[]): string {
  const rows = xattrs.map(({ namespace, name, value }) => {
    const view = Buffer.from(value.buffer, value.byteOffset, value.length)
    return [namespace, name, view.toString('base64')]
  })
  return JSON.stringify(rows)
}

function xattrsFromText(text: string): readonly XAttrRow[] {
  const rows = JSON.parse(text) as readonly [XAttrNamespace, string, string][]
  return rows.map(([namespace, name, value]) => {
    return { namespace, name, value: ownBytes(Buffer.from(value, 'base64')) }
  })
}

export function blockCells(block: BlockRow): Row {
  return [
    block.inode,
    block.index,
    block.id,
    block.generationStamp,
    block.length,
    blockStateNumbers[block.state],
    block.digest === undefined ? null : BigInt.asIntN(64, block.digest).toString(),
    block.truncateLength ?? null,
    block.committedLength ?? null,
  ]
}

export function blockFromCells(cells: Row): BlockRow {
  const integer = (column: number): number => numberCell(cells[column])
  const digest = cells[6] ?? null
  const truncateLength = cells[7] ?? null
  const committedLength = cells[8] ?? null
  return {
    inode: inodeId(integer(0)),
    index: integer(1),
    id: blockId(integer(2)),
    generationStamp: generationStamp(integer(3)),
    length: integer(4),
    state: defined(blockStates.get(integer(5)), 'state of a block'),
    ...(digest !== null && { digest: BigInt.asUintN(64, BigInt(textCell(digest))) }),
    ...(truncateLength !== null && { truncateLength: numberCell(truncateLength) }),
    ...(committedLength !== null && { committedLength: numberCell(committedLength) }),
  }
}

export function datanodeCells(datanode: DatanodeRow): Row {
  return [
    datanode.uuid,
    datanode.name,
    datanodeGoalNumbers[datanode.goal],
    Number(datanode.isReached),
    datanode.requestedAt,
    datanode.expiresAt ?? null,
  ]
}

export function datanodeFromCells(cells: Row): DatanodeRow {
  const expiresAt = cells[5] ?? null
  return {
    uuid: datanodeUuid(textCell(cells[0])),
    name: textCell(cells[1]),
    goal: defined(datanodeGoals.get(numberCell(cells[2])), 'goal of a datanode'),
    isReached: cells[3] === 1,
    requestedAt: millis(numberCell(cells[4])),
    ...(expiresAt !== null && { expiresAt: millis(numberCell(expiresAt)) }),
  }
}

export function numberCell(cell: Cell | undefined): number {
  assert(typeof cell === 'number', 'the store holds a number here')
  return cell
}

export function textCell(cell: Cell | undefined): string {
  assert(typeof cell === 'string', 'the store holds a text here')
  return cell
}

/** A statement of a fold and its parameter, a JSON array of rows. */
export type FoldStep = readonly [statement: string, rows: string]

/**
 * Statements with up to `rowsMax` rows each, in the order in which they must run; keys ascend to suit the
 * B-trees. Cells are made as they are asked for: those of a whole batch would be many times its size.
 */
export function* foldSteps(batch: FoldBatch, rowsMax: number): Generator<FoldStep, undefined> {
  const entries = [...batch.entries.values()].sort((left, right) => left.parent - right.parent)
  const inodes = [...batch.inodes].sort(([left], [right]) => left - right)
  const blocks = [...batch.blocks].sort(([left], [right]) => left - right)
  function* steps<T>(
    statement: string,
    items: readonly T[],
    cellsOf: (item: T) => unknown,
  ): Generator<FoldStep, undefined> {
    for (let from = 0; from < items.length; from += rowsMax) {
      yield [statement, JSON.stringify(items.slice(from, from + rowsMax).map(cellsOf))]
    }
  }
  const [entriesGone, entriesPut] = [entries.filter(isGone), entries.filter(isPut)]
  yield* steps(foldStatements.deleteEntries, entriesGone, ({ parent, name }) => [parent, name])
  yield* steps(foldStatements.deleteBlocks, keysOfAbsent(blocks), (key) => key)
  yield* steps(foldStatements.deleteInodes, keysOfAbsent(inodes), (key) => key)
  yield* steps(foldStatements.putEntries, entriesPut, ({ parent, name, inode }) => {
    return [parent, name, inode]
  })
  yield* steps(foldStatements.putBlocks, present(blocks), blockCells)
  yield* steps(foldStatements.putInodes, present(inodes), inodeCells)
  const datanodes = [...batch.datanodes]
  const resumed = datanodes.filter(([, row]) => row === undefined)
  const asked = datanodes.flatMap(([, row]) => (row === undefined ? [] : [row]))
  yield* steps(foldStatements.deleteDatanodes, resumed, ([uuid]) => uuid)
  yield* steps(foldStatements.putDatanodes, asked, datanodeCells)
  yield* steps(foldStatements.putRetries, batch.retries, ({ request, wallTime, reply }) => {
    return [request.clientId, request.callId, wallTime, replyText(reply)]
  })
}

const isGone = ({ inode }: EntryFate): boolean => inode === undefined
const isPut = ({ inode }: EntryFate): boolean => inode !== undefined

function present<V>(fates: readonly (readonly [number, V | undefined])[]): readonly V[] {
  const rows: V[] = []
  for (const [, row] of fates) if (row !== undefined) rows.push(row)
  return rows
}

function keysOfAbsent(fates: readonly (readonly [number, unknown])[]): readonly number[] {
  const keys: number[] = []
  for (const [key, row] of fates) if (row === undefined) keys.push(key)
  return keys
}

/** What an append answered about the last block: id, stamp, length, offset, and datanode and storage by turns. */
type BlockCells = readonly [number, number, number, number, ...string[]]

/**
 * What `retry.reply` holds: null, a boolean, or [name, length, inode cells] of a file status, with `false` or
 * [id, stamp, length, offset, datanode, storage, datanode, …] behind it when an append answered it.
 */
export function replyText(reply: CachedReply): string {
  switch (reply.kind) {
    case 'void':
      return 'null'
    case 'boolean':
      return String(reply.value)
    case 'file-status': {
      const { name, length, inode } = reply.status
      return JSON.stringify([name, length, inodeCells(inode)])
    }
    case 'appended': {
      const { name, length, inode } = reply.status
      return JSON.stringify([name, length, inodeCells(inode), appendedCells(reply.block)])
    }
  }
}

/** Reads what {@link replyText} wrote. */
export function replyFromText(text: string): CachedReply {
  const value = JSON.parse(text) as
    | null
    | boolean
    | readonly [string, number, Row, (false | BlockCells)?]
  if (value === null) return { kind: 'void' }
  if (typeof value === 'boolean') return { kind: 'boolean', value }
  const [name, length, cells, block] = value
  const inode = inodeFromCells(cells)
  const status = { name, length, inode }
  if (block === undefined) return { kind: 'file-status', inodeId: inode.id, status }
  return { kind: 'appended', status, ...(block !== false && { block: appendedFromCells(block) }) }
}

function appendedCells(view: LocatedBlockView | undefined): false | BlockCells {
  if (view === undefined) return false
  const { block, offset, locations } = view
  const places = locations.flatMap(({ datanode, storage }) => [datanode, storage])
  return [block.id, block.generationStamp, block.length, offset, ...places]
}

function appendedFromCells([id, stamp, length, offset, ...places]: BlockCells): LocatedBlockView {
  const locations: ReplicaLocation[] = []
  for (let index = 0; index < places.length; index += 2) {
    const [datanode = '', storage = ''] = places.slice(index, index + 2)
    locations.push({ datanode: datanodeUuid(datanode), storage: storageUuid(storage) })
  }
  const block = { id: blockId(id), generationStamp: generationStamp(stamp), length }
  return { block, offset, locations, isCorrupt: false }
}
