/** Views of files and their blocks as readers and writers get them. */
import type { BlockRow, InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import type { FileStatusView, LocatedBlocksView, LocatedBlockView } from './requests.ts'

/** What `stat` shows of an inode; `name` is empty when the caller knows the path. */
export function fileStatus(inode: InodeRow, name = ''): FileStatusView {
  return { name, inode, length: inode.length }
}

/** As {@link fileStatus}, with the blocks of a file. */
export function locatedStatus(context: Context, inode: InodeRow, name = ''): FileStatusView {
  if (inode.kind !== 'file') return fileStatus(inode, name)
  const located = locatedBlocks(context, inode, { offset: 0, length: Number.MAX_SAFE_INTEGER })
  return { name, inode, length: inode.length, located }
}

/**
 * Blocks of a file that overlap `[offset, offset + length)`. The last block is given once more on its
 * own; while it is not complete the file's length leaves it out.
 */
export function locatedBlocks(
  context: Context,
  file: InodeRow,
  range: { readonly offset: number; readonly length: number },
): LocatedBlocksView {
  const rows = context.rows.blocks(file.id)
  const end = range.offset + range.length
  const blocks: LocatedBlockView[] = []
  let offset = 0
  let lastOffset = 0
  for (const row of rows) {
    const blockEnd = offset + row.length
    // A block that is being written may be longer than known, so the one at the end always counts.
    const isOpenEnd = row.state !== 'complete' && blockEnd <= range.offset
    if (offset < end && (blockEnd > range.offset || isOpenEnd)) {
      blocks.push(located(context, row, offset))
    }
    lastOffset = offset
    offset = blockEnd
  }
  const last = rows.at(-1)
  const isLastBlockComplete = last?.state === 'complete'
  return {
    fileLength: last === undefined || isLastBlockComplete ? offset : lastOffset,
    blocks,
    isUnderConstruction: file.lease !== undefined,
    lastBlock: last && located(context, last, lastOffset),
    isLastBlockComplete,
  }
}

function located(context: Context, row: BlockRow, offset: number): LocatedBlockView {
  const { locations, isCorrupt } = context.blocks.locate(row, context.caller.host)
  return {
    block: { id: row.id, generationStamp: row.generationStamp, length: row.length },
    offset,
    locations,
    isCorrupt,
  }
}
