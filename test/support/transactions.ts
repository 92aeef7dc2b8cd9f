import { millis } from '../../base/brand.ts'
import { parseAcl } from '../../namenode/core/acl.ts'
import type {
  BlockRow,
  DatanodeRow,
  InodeRow,
  NamespaceChange,
  Transaction,
} from '../../namenode/core/changes.ts'
import type { CachedReply } from '../../namenode/core/requests.ts'
import {
  blockId,
  clientName,
  datanodeUuid,
  generationStamp,
  inodeId,
  rootInodeId,
  storageUuid,
  txId,
} from '../../protocol/ids.ts'

/** A file in the root, with whatever `fields` say otherwise. */
export function inodeRow(fields: Partial<InodeRow> & { readonly id: InodeRow['id'] }): InodeRow {
  return {
    kind: 'file',
    parent: rootInodeId,
    name: `file-${fields.id}`,
    owner: 'alice',
    group: 'staff',
    mode: 0o644,
    mtime: millis(1_700_000_000_123),
    atime: millis(1_700_000_000_123),
    nlink: 1,
    childCount: 0,
    replication: 3,
    blockSize: 128 * 1024 * 1024,
    length: 0,
    ...fields,
  }
}

export function blockRow(fields: Partial<BlockRow> & { readonly id: BlockRow['id'] }): BlockRow {
  return {
    inode: inodeId(16386),
    index: 0,
    generationStamp: generationStamp(1001),
    length: 1234,
    state: 'complete',
    ...fields,
  }
}

export function datanodeRow(
  fields: Partial<DatanodeRow> & { readonly uuid: DatanodeRow['uuid'] },
): DatanodeRow {
  return {
    name: `${fields.uuid}:9866`,
    goal: 'decommissioned',
    isReached: false,
    requestedAt: millis(1_700_000_000_456),
    ...fields,
  }
}

export function transaction(
  txid: number,
  changes: readonly NamespaceChange[],
  fields: Partial<Transaction> = {},
): Transaction {
  return {
    txid: txId(txid),
    epoch: 1,
    wallTime: millis(1_700_000_000_000 + txid),
    changes,
    ...fields,
  }
}

/** Creates the file `name` with inode id `id` in the root. */
export function creation(txid: number, id: number, name: string): Transaction {
  const inode = inodeRow({ id: inodeId(id), name })
  return transaction(txid, [
    { kind: 'inode.put', created: true, inode },
    { kind: 'entry.put', parent: rootInodeId, name, inode: inode.id },
    { kind: 'ids.allocated', nextInodeId: inodeId(id + 1) },
  ])
}

/** An append and a truncate of the first block, and what an append answers. */
function reopening(inode: InodeRow): readonly Transaction[] {
  const id = blockId(1073741825)
  const stamp = generationStamp(1003)
  const status = { name: '', inode, length: inode.length }
  const block = {
    block: { id, generationStamp: stamp, length: 1234 },
    offset: 2 ** 40,
    locations: [
      { datanode: datanodeUuid('dn-1'), storage: storageUuid('DS-1') },
      { datanode: datanodeUuid('dn-2'), storage: storageUuid('DS-2') },
    ],
    isCorrupt: false,
  }
  const answer = (callId: number, reply: CachedReply): Pick<Transaction, 'answered'> => ({
    answered: { request: { clientId: 'ff', callId }, reply },
  })
  const appended = blockRow({ id, state: 'under-construction', committedLength: 1234 })
  const cut = blockRow({ id, state: 'under-recovery', truncateLength: 0 })
  return [
    transaction(
      8,
      [{ kind: 'block.put', created: false, block: appended }],
      answer(2, { kind: 'appended', status, block }),
    ),
    transaction(9, [{ kind: 'block.put', created: false, block: cut }]),
    transaction(10, [], answer(3, { kind: 'appended', status })),
  ]
}

/** A directory with access and default ACLs and attributes, one of them without a value. */
function attributed(directory: InodeRow): InodeRow {
  const named = 'user:größe:rw-,group::r-x,group:staff:---'
  return {
    ...directory,
    acl: parseAcl(`${named},default:user::rwx,default:group::r-x,default:other::--x`),
    xattrs: [
      { namespace: 'user', name: 'größe 🦊', value: Uint8Array.of(0, 255, 10, 34) },
      { namespace: 'trusted', name: 'empty', value: new Uint8Array(0) },
    ],
  }
}

/** One transaction for every kind of change and of answer, with awkward values. */
export function everyKindOfTransaction(): readonly Transaction[] {
  const directory = inodeRow({
    ...{ id: rootInodeId, kind: 'directory', name: '', mode: 0o1777, childCount: 2 },
    ...{ replication: 0, blockSize: 0, atime: millis(0), owner: 'root', group: 'supergroup' },
  })
  const open = inodeRow({
    ...{ id: inodeId(16386), name: 'größer 🦊', length: Number.MAX_SAFE_INTEGER },
    lease: { holder: clientName('DFSClient_NONMAPREDUCE_-1975012413_1'), clientHost: '10.0.0.7' },
  })
  const link = inodeRow({
    ...{ id: inodeId(16387), kind: 'symlink', target: '/elsewhere', replication: 0, blockSize: 0 },
  })
  const digest = 0xffff_ffff_ffff_fff1n
  return [
    transaction(1, [{ kind: 'inode.put', created: true, inode: directory }]),
    transaction(
      2,
      [
        { kind: 'inode.put', created: true, inode: open },
        { kind: 'entry.put', parent: rootInodeId, name: open.name, inode: open.id },
        { kind: 'ids.allocated', nextInodeId: inodeId(16387) },
      ],
      {
        answered: {
          request: { clientId: '00112233445566778899aabbccddeeff', callId: 2 ** 31 - 1 },
          reply: {
            kind: 'file-status',
            inodeId: open.id,
            status: { name: '', inode: open, length: open.length },
          },
        },
      },
    ),
    transaction(3, [
      {
        kind: 'block.put',
        created: true,
        block: blockRow({ id: blockId(1073741825), state: 'under-construction', length: 0 }),
      },
      {
        kind: 'ids.allocated',
        nextBlockId: blockId(1073741826),
        nextGenerationStamp: generationStamp(1002),
      },
    ]),
    transaction(4, [
      {
        kind: 'block.put',
        created: false,
        block: blockRow({ id: blockId(1073741825), state: 'committed', digest }),
      },
      {
        kind: 'block.put',
        created: true,
        block: blockRow({ id: blockId(1073741826), index: 1, state: 'under-recovery' }),
      },
    ]),
    transaction(5, [{ kind: 'inode.put', created: true, inode: link }], {
      answered: {
        request: { clientId: 'ff', callId: 0 },
        reply: { kind: 'boolean', value: false },
      },
    }),
    transaction(
      6,
      [
        { kind: 'entry.delete', parent: rootInodeId, name: open.name },
        { kind: 'block.delete', id: blockId(1073741826), inode: open.id, index: 1 },
        { kind: 'inode.delete', id: open.id, inodeKind: 'file' },
      ],
      { answered: { request: { clientId: 'ff', callId: 1 }, reply: { kind: 'void' } } },
    ),
    transaction(7, []),
    ...reopening(open),
    transaction(11, [
      {
        kind: 'datanode.put',
        datanode: datanodeRow({
          ...{ uuid: datanodeUuid('dn-1'), goal: 'in-maintenance', isReached: true },
          expiresAt: millis(1_700_000_360_000),
        }),
      },
      { kind: 'datanode.put', datanode: datanodeRow({ uuid: datanodeUuid('dn-2') }) },
    ]),
    transaction(12, [{ kind: 'datanode.delete', uuid: datanodeUuid('dn-2') }]),
    ...mountedFiles(),
    transaction(18, [{ kind: 'inode.put', created: false, inode: attributed(directory) }]),
  ]
}

/** What only the mount makes: special files, other names of a file, bits and times beyond HDFS's. */
function mountedFiles(): readonly Transaction[] {
  const special = { replication: 0, blockSize: 0 } as const
  const rows = [
    inodeRow({ id: inodeId(16390), kind: 'fifo', ...special }),
    inodeRow({ id: inodeId(16391), kind: 'socket', ...special }),
    inodeRow({ id: inodeId(16392), kind: 'character-device', device: 0x103, ...special }),
    inodeRow({ id: inodeId(16393), kind: 'block-device', device: 2 ** 32 - 1, ...special }),
    inodeRow({
      ...{ id: inodeId(16394), mode: 0o7755, ctime: millis(1_700_000_000_124) },
      ...{ mtimeNanos: 999_999, atimeNanos: 1, nlink: 3 },
      otherEntries: [
        { parent: rootInodeId, name: 'größer: 🦊' },
        { parent: inodeId(16395), name: 'b' },
      ],
    }),
  ]
  return rows.map((inode, index) => {
    return transaction(13 + index, [{ kind: 'inode.put', created: true, inode }])
  })
}
