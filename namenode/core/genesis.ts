/** The rows of an empty namespace: the root, and the orphanage that no path leads to. */
import { type Millis, millis } from '../../base/brand.ts'
import {
  firstBlockId,
  firstGenerationStamp,
  type InodeId,
  orphanageInodeId,
  rootInodeId,
} from '../../protocol/ids.ts'
import type { InodeRow, NamespaceChange, NextIds } from './changes.ts'

/** Ids that a new namespace hands out first. */
export const firstIds: NextIds = {
  inodeId: (rootInodeId + 1) as InodeId,
  blockId: firstBlockId,
  generationStamp: firstGenerationStamp,
}

/** Rows to write when a namespace is formatted; the root belongs to whoever runs the namenode. */
export function genesisRows(wall: Millis, owner: string, group: string): readonly InodeRow[] {
  const directory = {
    kind: 'directory',
    name: '',
    owner,
    group,
    mtime: wall,
    atime: millis(0),
    nlink: 1,
    childCount: 0,
    replication: 0,
    blockSize: 0,
    length: 0,
  } as const
  return [
    { ...directory, id: rootInodeId, parent: rootInodeId, mode: 0o755 },
    { ...directory, id: orphanageInodeId, parent: orphanageInodeId, mode: 0o700 },
  ]
}

/** {@link genesisRows} as the first transaction of a journal. */
export function genesisChanges(
  wall: Millis,
  owner: string,
  group: string,
): readonly NamespaceChange[] {
  return genesisRows(wall, owner, group).map((inode) => ({
    kind: 'inode.put',
    created: true,
    inode,
  }))
}
