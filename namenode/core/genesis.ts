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

/** Who owns the root, and since when. */
export interface GenesisOptions {
  readonly user: string
  readonly group: string
  readonly wall: Millis
}

/** Rows to write when a namespace is formatted; the root belongs to whoever runs the namenode. */
export function genesisRows({ user, group, wall }: GenesisOptions): readonly InodeRow[] {
  const directory = {
    kind: 'directory',
    name: '',
    owner: user,
    group,
    mtime: wall,
    atime: millis(0),
    nlink: 2,
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
export function genesisChanges(options: GenesisOptions): readonly NamespaceChange[] {
  return genesisRows(options).map((inode) => ({
    kind: 'inode.put',
    created: true,
    inode,
  }))
}
