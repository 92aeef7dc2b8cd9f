/** The namespace's invariants (docs/INVARIANTS.md, N) as assertions over what is resident. */
import { assert } from '../../base/assert.ts'
import { orphanageInodeId, rootInodeId } from '../../protocol/ids.ts'
import type { BlockRow, InodeRow, NextIds } from './changes.ts'
import type { LeaseManager } from './lease-manager.ts'
import type { Residency } from './residency.ts'

interface State {
  readonly rows: Residency
  readonly leases: LeaseManager
  readonly nextIds: NextIds
}

/** Asserts each invariant; a row that is not resident is not judged. */
export function checkInvariants(state: State): void {
  for (const row of state.rows.inodes.rows()) checkInode(state, row)
  checkEntries(state)
  for (const { inode, blocks } of state.rows.blocksByInode.wholeLists()) {
    checkBlocks(state, inode, blocks)
  }
  checkLeases(state)
}

function checkInode({ rows, leases, nextIds }: State, row: InodeRow): void {
  assert(row.id < nextIds.inodeId, `N1: inode ${row.id} is below the next id`)
  const isSpecial = row.id === rootInodeId || row.id === orphanageInodeId
  const others = row.otherEntries ?? []
  if (row.kind === 'directory') {
    assert(others.length === 0 && row.nlink > 0, `N2: directory ${row.id} has one entry`)
  } else {
    assert(row.nlink === others.length + 1, `N2: inode ${row.id} counts its entries`)
  }
  for (const { parent, name } of isSpecial ? [] : [row, ...others]) {
    const entry = rows.entries.peek(parent, name)
    assert(entry === undefined || entry === row.id, `N2: the entry of inode ${row.id} refers to it`)
  }
  const parent = isSpecial ? undefined : rows.inodes.peek(row.parent)
  if (parent !== undefined) {
    assert(parent.row?.kind === 'directory', `N3: the parent of inode ${row.id} is a directory`)
  }
  if (row.kind !== 'file') {
    assert(row.lease === undefined, `N6: only files are leased, not inode ${row.id}`)
    return
  }
  assert(
    leases.holderOf(row.id) === row.lease?.holder,
    `N6: the lease manager knows the holder of inode ${row.id}`,
  )
}

function checkEntries({ rows }: State): void {
  for (const { parent, isComplete, entries } of rows.entries.all()) {
    const directory = rows.inodes.peek(parent)?.row
    let subdirectories: number | undefined = 0
    for (const [name, id] of entries) {
      const slot = rows.inodes.peek(id)
      if (slot === undefined) {
        subdirectories = undefined
        continue
      }
      if (slot.row?.kind === 'directory' && subdirectories !== undefined) subdirectories += 1
      assert(slot.row !== undefined, `N2: entry "${name}" of ${parent} refers to an inode`)
      const known = [slot.row, ...(slot.row.otherEntries ?? [])]
      const isThere = known.some((entry) => entry.parent === parent && entry.name === name)
      assert(isThere, `N2: inode ${id} is where entry "${name}" of ${parent} says`)
    }
    if (directory === undefined || !isComplete || isOrphaned(rows, directory)) continue
    assert(
      directory.childCount === entries.size,
      `N4: directory ${parent} counts ${directory.childCount} children and has ${entries.size}`,
    )
    if (subdirectories === undefined || directory.nlink === 1) continue
    assert(
      directory.nlink === subdirectories + 2,
      `N4: directory ${parent} has ${directory.nlink} links and ${subdirectories} directories in it`,
    )
  }
}

/** Counts in deleted trees are not kept while they are reaped. */
function isOrphaned(rows: Residency, row: InodeRow): boolean {
  let current: InodeRow | undefined = row
  while (current !== undefined && current.id !== rootInodeId) {
    if (current.id === orphanageInodeId) return true
    current = rows.inodes.peek(current.parent)?.row
  }
  return current === undefined
}

function checkBlocks({ rows, nextIds }: State, id: number, blocks: readonly BlockRow[]): void {
  const file = blocks[0] && rows.inodes.peek(blocks[0].inode)?.row
  let length = 0
  blocks.forEach((block, index) => {
    assert(block.index === index, `N5: blocks of inode ${id} are numbered without gaps`)
    assert(block.id < nextIds.blockId, `N1: block ${block.id} is below the next id`)
    assert(
      block.generationStamp < nextIds.generationStamp,
      `N1: stamp ${block.generationStamp} is below the next one`,
    )
    const fromEnd = blocks.length - 1 - index
    const mayBe = fromEnd === 0 || block.state === 'complete' || block.state === 'committed'
    assert(mayBe && (fromEnd <= 1 || block.state === 'complete'), `N7: state of block ${block.id}`)
    length += block.length
  })
  if (file === undefined || isOrphaned(rows, file)) return
  assert(file.length === length, `N5: inode ${id} has ${file.length} bytes, its blocks ${length}`)
  if (file.lease !== undefined) return
  const isClosed = blocks.every(({ state }) => state === 'complete')
  assert(isClosed, `N8: every block of the closed file ${id} is complete`)
}

function checkLeases({ rows, leases }: State): void {
  for (const { holder, files } of leases.all()) {
    assert(files.size > 0, `N6: holder ${holder} has files`)
    for (const id of files) {
      const slot = rows.inodes.peek(id)
      const isHeld = slot === undefined || slot.row?.lease?.holder === holder
      assert(isHeld, `N6: inode ${id} is leased to ${holder}`)
    }
  }
}
