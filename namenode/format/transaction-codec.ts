/**
 * Payload of a journal record: one transaction as a protobuf message (docs/formats/journal.md has the
 * tables in `.proto` form). Position and fencing epoch live in the record header and are passed in.
 *
 * 1. 64-bit values are exact; a value beyond 2^53-1 is refused when it is written, not rounded.
 * 2. Unlike on the wire, nothing may be skipped here: a change of an unknown kind is refused, because
 *    replaying a transaction without one of its changes would build another namespace. New kinds come
 *    with a new layout version of the segment.
 * 3. Zeros and absent values take no bytes.
 */
import { assert, unreachable } from '../../base/assert.ts'
import { millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  blockId,
  clientName,
  datanodeUuid,
  generationStamp,
  inodeId,
  storageUuid,
  type TxId,
} from '../../protocol/ids.ts'
import {
  bool,
  bytes,
  decodeMessage,
  type EncodableOf,
  encodeMessage,
  enumeration,
  i32,
  i64,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u32,
  u64,
  u64big,
  withDefault,
} from '../../protocol/message.ts'
import type { BlockState } from '../../protocol/states.ts'
import { parseAcl } from '../core/acl.ts'
import type {
  BlockRow,
  DatanodeRow,
  InodeRow,
  NamespaceChange,
  RequestId,
  Transaction,
} from '../core/changes.ts'
import type { AppendedView, CachedReply, FileStatusView } from '../core/requests.ts'
import { ownBytes, type XAttrNamespace, type XAttrRow } from '../core/xattrs.ts'

/** What a payload decodes to. */
export type { Transaction }

const inodeKind = enumeration({
  file: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  'character-device': 6,
  'block-device': 7,
} satisfies Record<InodeRow['kind'], number>)
const blockState = enumeration({
  'under-construction': 1,
  'under-recovery': 2,
  committed: 3,
  complete: 4,
} satisfies Record<BlockState, number>)

const journalLease = message('JournalLease', {
  holder: required(1, str),
  clientHost: required(2, str),
})

const journalEntry = message('JournalEntry', {
  parent: required(1, u64),
  name: required(2, str),
})

const xattrNamespace = enumeration({
  user: 1,
  trusted: 2,
  security: 3,
  system: 4,
  raw: 5,
} satisfies Record<XAttrNamespace, number>)

const journalXAttr = message('JournalXAttr', {
  namespace: required(1, xattrNamespace),
  name: required(2, str),
  value: required(3, bytes),
})

const journalXAttrs = message('JournalXAttrs', { xattrs: repeated(1, journalXAttr) })

const journalInode = message('JournalInode', {
  id: required(1, u64),
  kind: required(2, inodeKind),
  parent: required(3, u64),
  name: required(4, str),
  owner: required(5, str),
  group: required(6, str),
  mode: required(7, u32),
  mtime: required(8, i64),
  atime: withDefault(9, i64, 0),
  nlink: withDefault(10, u32, 0),
  childCount: withDefault(11, u32, 0),
  replication: withDefault(12, u32, 0),
  blockSize: withDefault(13, u64, 0),
  length: withDefault(14, u64, 0),
  lease: optional(15, journalLease),
  target: optional(16, str),
  ctime: optional(17, i64),
  mtimeNanos: optional(18, u32),
  atimeNanos: optional(19, u32),
  device: optional(20, u32),
  otherEntries: repeated(21, journalEntry),
  acl: optional(22, str),
  xattrs: optional(23, journalXAttrs),
})

const journalBlock = message('JournalBlock', {
  id: required(1, u64),
  inode: required(2, u64),
  index: withDefault(3, u32, 0),
  generationStamp: required(4, u64),
  length: withDefault(5, u64, 0),
  state: required(6, blockState),
  digest: optional(7, u64big),
  truncateLength: optional(8, u64),
  committedLength: optional(9, u64),
})

const datanodeGoal = enumeration({
  decommissioned: 1,
  'in-maintenance': 2,
} satisfies Record<DatanodeRow['goal'], number>)

const journalDatanode = message('JournalDatanode', {
  uuid: required(1, str),
  name: required(2, str),
  goal: required(3, datanodeGoal),
  isReached: withDefault(4, bool, false),
  requestedAt: required(5, i64),
  expiresAt: optional(6, i64),
})

const inodePut = message('JournalInodePut', {
  created: required(1, bool),
  inode: required(2, journalInode),
})
const inodeDelete = message('JournalInodeDelete', {
  id: required(1, u64),
  inodeKind: required(2, inodeKind),
})
const entryPut = message('JournalEntryPut', {
  parent: required(1, u64),
  name: required(2, str),
  inode: required(3, u64),
})
const entryDelete = message('JournalEntryDelete', {
  parent: required(1, u64),
  name: required(2, str),
})
const blockPut = message('JournalBlockPut', {
  created: required(1, bool),
  block: required(2, journalBlock),
})
const blockDelete = message('JournalBlockDelete', {
  id: required(1, u64),
  inode: required(2, u64),
  index: withDefault(3, u32, 0),
})
const datanodePut = message('JournalDatanodePut', { datanode: required(1, journalDatanode) })
const datanodeDelete = message('JournalDatanodeDelete', { uuid: required(1, str) })
const idsAllocated = message('JournalIdsAllocated', {
  nextInodeId: optional(1, u64),
  nextBlockId: optional(2, u64),
  nextGenerationStamp: optional(3, u64),
})

/** Exactly one field is set. */
const journalChange = message('JournalChange', {
  inodePut: optional(1, inodePut),
  inodeDelete: optional(2, inodeDelete),
  entryPut: optional(3, entryPut),
  entryDelete: optional(4, entryDelete),
  blockPut: optional(5, blockPut),
  blockDelete: optional(6, blockDelete),
  idsAllocated: optional(7, idsAllocated),
  datanodePut: optional(8, datanodePut),
  datanodeDelete: optional(9, datanodeDelete),
})

const journalFileStatus = message('JournalFileStatus', {
  name: required(1, str),
  inode: required(2, journalInode),
  length: withDefault(3, u64, 0),
})

const journalLocation = message('JournalLocation', {
  datanode: required(1, str),
  storage: required(2, str),
})

/** Answer of an append; the block fields are absent together. */
const journalAppended = message('JournalAppended', {
  status: required(1, journalFileStatus),
  blockId: optional(2, u64),
  generationStamp: optional(3, u64),
  length: optional(4, u64),
  offset: optional(5, u64),
  locations: repeated(6, journalLocation),
})

/** Exactly one field is set; `nothing` is the answer of a void method. */
const journalReply = message('JournalReply', {
  nothing: optional(1, bool),
  boolean: optional(2, bool),
  fileStatus: optional(3, journalFileStatus),
  appended: optional(4, journalAppended),
})

const journalAnswered = message('JournalAnswered', {
  clientId: required(1, bytes),
  callId: required(2, i32),
  reply: required(3, journalReply),
})

const journalTransaction = message('JournalTransaction', {
  wallTime: required(1, i64),
  changes: repeated(2, journalChange),
  answered: optional(3, journalAnswered),
})

type WireInode = EncodableOf<typeof journalInode>
type WireChange = EncodableOf<typeof journalChange>

/** Encodes everything of `transaction` but its txid and epoch. */
export function encodeTransaction(transaction: Transaction): Uint8Array {
  const { wallTime, changes, answered } = transaction
  return encodeMessage(journalTransaction, {
    wallTime,
    changes: changes.map(encodeChange),
    answered: answered === undefined ? undefined : encodeAnswered(answered.request, answered.reply),
  })
}

/**
 * Decodes a payload written by {@link encodeTransaction}.
 * @throws {@link DfsError} BAD_FRAME when the payload does not decode or holds an unknown change.
 */
export function decodeTransaction(txid: TxId, epoch: number, payload: Uint8Array): Transaction {
  const { wallTime, changes, answered } = decodeMessage(journalTransaction, payload)
  const transaction = {
    txid,
    epoch,
    wallTime: millis(wallTime),
    changes: changes.map(decodeChange),
  }
  if (answered === undefined) return transaction
  return {
    ...transaction,
    answered: {
      request: { clientId: hexOf(answered.clientId), callId: answered.callId },
      reply: decodeReply(answered.reply),
    },
  }
}

function encodeChange(change: NamespaceChange): WireChange {
  switch (change.kind) {
    case 'inode.put':
      return { inodePut: { created: change.created, inode: encodeInode(change.inode) } }
    case 'inode.delete':
      return { inodeDelete: change }
    case 'entry.put':
      return { entryPut: change }
    case 'entry.delete':
      return { entryDelete: change }
    case 'block.put':
      return { blockPut: { created: change.created, block: encodeBlock(change.block) } }
    case 'block.delete':
      return { blockDelete: { ...change, index: unlessZero(change.index) } }
    case 'datanode.put':
      return { datanodePut: change }
    case 'datanode.delete':
      return { datanodeDelete: change }
    case 'ids.allocated':
      return { idsAllocated: change }
    default:
      return unreachable(change)
  }
}

function decodeChange(change: MessageOf<typeof journalChange>): NamespaceChange {
  if (change.inodePut !== undefined) {
    const { created, inode } = change.inodePut
    return { kind: 'inode.put', created, inode: decodeInode(inode) }
  }
  if (change.entryPut !== undefined) {
    const { parent, name, inode } = change.entryPut
    return { kind: 'entry.put', parent: inodeId(parent), name, inode: inodeId(inode) }
  }
  if (change.blockPut !== undefined) {
    const { created, block } = change.blockPut
    return { kind: 'block.put', created, block: decodeBlock(block) }
  }
  if (change.datanodePut !== undefined) {
    return { kind: 'datanode.put', datanode: decodeDatanode(change.datanodePut.datanode) }
  }
  if (change.idsAllocated !== undefined) {
    const { nextInodeId, nextBlockId, nextGenerationStamp } = change.idsAllocated
    return {
      kind: 'ids.allocated',
      ...(nextInodeId !== undefined && { nextInodeId: inodeId(nextInodeId) }),
      ...(nextBlockId !== undefined && { nextBlockId: blockId(nextBlockId) }),
      ...(nextGenerationStamp !== undefined && {
        nextGenerationStamp: generationStamp(nextGenerationStamp),
      }),
    }
  }
  return decodeDeletion(change)
}

function decodeDeletion(change: MessageOf<typeof journalChange>): NamespaceChange {
  if (change.inodeDelete !== undefined) {
    const { id, inodeKind: deletedKind } = change.inodeDelete
    return { kind: 'inode.delete', id: inodeId(id), inodeKind: deletedKind }
  }
  if (change.entryDelete !== undefined) {
    const { parent, name } = change.entryDelete
    return { kind: 'entry.delete', parent: inodeId(parent), name }
  }
  if (change.blockDelete !== undefined) {
    const { id, inode, index } = change.blockDelete
    return { kind: 'block.delete', id: blockId(id), inode: inodeId(inode), index }
  }
  if (change.datanodeDelete !== undefined) {
    return { kind: 'datanode.delete', uuid: datanodeUuid(change.datanodeDelete.uuid) }
  }
  throw new DfsError('BAD_FRAME', 'Transaction holds a change of a kind this program does not know')
}

function encodeInode(inode: InodeRow): WireInode {
  // One literal without spreads: those cost more than the rest of the journal together.
  return {
    id: inode.id,
    kind: inode.kind,
    parent: inode.parent,
    name: inode.name,
    owner: inode.owner,
    group: inode.group,
    mode: inode.mode,
    mtime: inode.mtime,
    lease: inode.lease,
    target: inode.target,
    ctime: inode.ctime,
    mtimeNanos: inode.mtimeNanos,
    atimeNanos: inode.atimeNanos,
    device: inode.device,
    otherEntries: inode.otherEntries,
    acl: inode.acl?.text,
    xattrs: inode.xattrs === undefined ? undefined : { xattrs: inode.xattrs },
    atime: unlessZero(inode.atime),
    nlink: unlessZero(inode.nlink),
    childCount: unlessZero(inode.childCount),
    replication: unlessZero(inode.replication),
    blockSize: unlessZero(inode.blockSize),
    length: unlessZero(inode.length),
  }
}

function decodeInode(wire: MessageOf<typeof journalInode>): InodeRow {
  const {
    lease,
    target,
    ctime,
    mtimeNanos,
    atimeNanos,
    device,
    otherEntries,
    acl,
    xattrs,
    ...rest
  } = wire
  return {
    ...rest,
    id: inodeId(wire.id),
    parent: inodeId(wire.parent),
    mtime: millis(wire.mtime),
    atime: millis(wire.atime),
    ...(lease !== undefined && {
      lease: { holder: clientName(lease.holder), clientHost: lease.clientHost },
    }),
    ...(target !== undefined && { target }),
    ...(ctime !== undefined && { ctime: millis(ctime) }),
    ...(mtimeNanos !== undefined && { mtimeNanos }),
    ...(atimeNanos !== undefined && { atimeNanos }),
    ...(device !== undefined && { device }),
    ...(otherEntries.length > 0 && {
      otherEntries: otherEntries.map(({ parent, name }) => ({ parent: inodeId(parent), name })),
    }),
    ...(acl !== undefined && { acl: parseAcl(acl) }),
    ...(xattrs !== undefined && { xattrs: xattrs.xattrs.map(decodeXAttr) }),
  }
}

function decodeXAttr({ namespace, name, value }: MessageOf<typeof journalXAttr>): XAttrRow {
  return { namespace, name, value: ownBytes(value) }
}

function encodeBlock(block: BlockRow): EncodableOf<typeof journalBlock> {
  return {
    id: block.id,
    inode: block.inode,
    state: block.state,
    digest: block.digest,
    truncateLength: block.truncateLength,
    committedLength: block.committedLength,
    generationStamp: block.generationStamp,
    index: unlessZero(block.index),
    length: unlessZero(block.length),
  }
}

function decodeBlock(wire: MessageOf<typeof journalBlock>): BlockRow {
  const { digest, truncateLength, committedLength, ...rest } = wire
  return {
    ...rest,
    id: blockId(wire.id),
    inode: inodeId(wire.inode),
    generationStamp: generationStamp(wire.generationStamp),
    ...(digest !== undefined && { digest }),
    ...(truncateLength !== undefined && { truncateLength }),
    ...(committedLength !== undefined && { committedLength }),
  }
}

function decodeDatanode(wire: MessageOf<typeof journalDatanode>): DatanodeRow {
  const { expiresAt, ...rest } = wire
  return {
    ...rest,
    uuid: datanodeUuid(wire.uuid),
    requestedAt: millis(wire.requestedAt),
    ...(expiresAt !== undefined && { expiresAt: millis(expiresAt) }),
  }
}

function encodeAnswered(
  request: RequestId,
  reply: CachedReply,
): EncodableOf<typeof journalAnswered> {
  return {
    clientId: Buffer.from(request.clientId, 'hex'),
    callId: request.callId,
    reply: encodeReply(reply),
  }
}

function encodeReply(reply: CachedReply): EncodableOf<typeof journalReply> {
  switch (reply.kind) {
    case 'void':
      return { nothing: true }
    case 'boolean':
      return { boolean: reply.value }
    case 'file-status':
      assert(reply.status.inode.id === reply.inodeId, 'an answer names the inode it shows')
      return { fileStatus: encodeStatus(reply.status) }
    case 'appended':
      return { appended: encodeAppended(reply) }
    default:
      return unreachable(reply)
  }
}

function encodeStatus(status: FileStatusView): EncodableOf<typeof journalFileStatus> {
  assert(status.located === undefined, 'an answer for the retry cache carries no locations')
  const { name, inode, length } = status
  return { name, inode: encodeInode(inode), length: unlessZero(length) }
}

function decodeStatus(wire: MessageOf<typeof journalFileStatus>): FileStatusView {
  return { name: wire.name, inode: decodeInode(wire.inode), length: wire.length }
}

function encodeAppended({ status, block }: AppendedView): EncodableOf<typeof journalAppended> {
  if (block === undefined) return { status: encodeStatus(status) }
  return {
    status: encodeStatus(status),
    blockId: block.block.id,
    generationStamp: block.block.generationStamp,
    length: block.block.length,
    offset: block.offset,
    locations: block.locations,
  }
}

function decodeAppended(wire: MessageOf<typeof journalAppended>): AppendedView {
  const status = decodeStatus(wire.status)
  if (wire.blockId === undefined || wire.generationStamp === undefined) return { status }
  const block = {
    id: blockId(wire.blockId),
    generationStamp: generationStamp(wire.generationStamp),
    length: wire.length ?? 0,
  }
  const locations = wire.locations.map(({ datanode, storage }) => ({
    datanode: datanodeUuid(datanode),
    storage: storageUuid(storage),
  }))
  return { status, block: { block, offset: wire.offset ?? 0, locations, isCorrupt: false } }
}

function decodeReply(wire: MessageOf<typeof journalReply>): CachedReply {
  if (wire.boolean !== undefined) return { kind: 'boolean', value: wire.boolean }
  if (wire.fileStatus !== undefined) {
    const status = decodeStatus(wire.fileStatus)
    return { kind: 'file-status', inodeId: status.inode.id, status }
  }
  if (wire.appended !== undefined) return { kind: 'appended', ...decodeAppended(wire.appended) }
  if (wire.nothing !== undefined) return { kind: 'void' }
  throw new DfsError(
    'BAD_FRAME',
    'Transaction holds an answer of a kind this program does not know',
  )
}

function unlessZero(value: number): number | undefined {
  return value === 0 ? undefined : value
}

function hexOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
}
