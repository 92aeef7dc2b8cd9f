/**
 * The SQLite database behind the journal: home of the namespace and the block map.
 * docs/formats/namespace-schema.md explains every column.
 *
 * 1. All rows show the namespace exactly as of `meta.appliedTxid`: a fold writes the rows and that number
 *    in one SQLite transaction.
 * 2. `PRAGMA application_id` says whose file it is, `PRAGMA user_version` its layout version. Both are
 *    in the first page, so any program can read them whatever the tables look like.
 * 3. Names compare as UTF-8 bytes (SQLite's BINARY collation in a UTF-8 database).
 * 4. Ids, stamps and lengths are below 2^53. Only `block.digest` uses all 64 bits (as a signed integer);
 *    it never goes through a JSON number.
 *
 * Big batches go in and out as one JSON array per statement; a row per statement is ten times slower.
 */
import { DfsError } from '../../protocol/errors.ts'
import { checkLayout, type LayoutRange } from '../../protocol/layout.ts'
import { limits } from '../../protocol/limits.ts'
import type { BlockState } from '../../protocol/states.ts'
import type { DatanodeRow, InodeRow } from '../core/changes.ts'

/** `PRAGMA user_version` of a database that this program writes. */
export const schemaVersion = 3
/** Databases that it opens; an older one is migrated. */
export const schemaVersions: LayoutRange = { oldest: 1, newest: schemaVersion }
/** `PRAGMA application_id`: "TREF". */
export const applicationId = 0x54524546

/** What `inode.kind` holds. */
export const inodeKindNumbers = {
  file: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  'character-device': 6,
  'block-device': 7,
} as const satisfies Record<InodeRow['kind'], number>

/** What `block.state` holds. */
export const blockStateNumbers = {
  'under-construction': 1,
  'under-recovery': 2,
  committed: 3,
  complete: 4,
} as const satisfies Record<BlockState, number>

/** What `datanode.goal` holds. */
export const datanodeGoalNumbers = {
  decommissioned: 1,
  'in-maintenance': 2,
} as const satisfies Record<DatanodeRow['goal'], number>

/** Keys of the table `meta`. */
export const metaKeys = [
  'clusterId',
  'namespaceId',
  'blockPoolId',
  'cTime',
  'appliedTxid',
  'nextInodeId',
  'nextBlockId',
  'nextGenerationStamp',
  'files',
  'directories',
  'symlinks',
  'blocks',
] as const
/** Keys that only some databases have. `restores`: JSON, see {@link RestoreRecord}, oldest first. */
export const optionalMetaKeys = ['restores'] as const
export type MetaKey = (typeof metaKeys)[number] | (typeof optionalMetaKeys)[number]

/** That the namespace was restored: what it was then, and which block ids it left out. */
export interface RestoreRecord {
  /** Wall-clock milliseconds. */
  readonly time: number
  /** The last transaction of the restored state. */
  readonly txid: number
  /**
   * Ids from here, up to `blocksBelow` and without it, were never handed out by this namespace, but may have been
   * by what was there before: replicas of such blocks are kept, and belong to no file.
   */
  readonly blocksFrom: number
  readonly blocksBelow: number
}

/** New in version 2. */
const createDatanodeTable = `
CREATE TABLE datanode (
  uuid         TEXT PRIMARY KEY,
  name         TEXT    NOT NULL,
  goal         INTEGER NOT NULL,
  is_reached   INTEGER NOT NULL,
  requested_at INTEGER NOT NULL,
  expires_at   INTEGER
) WITHOUT ROWID;
`

/** Creates the tables of an empty database. */
export const createSchema = `
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${schemaVersion};

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;

CREATE TABLE entry (
  parent INTEGER NOT NULL,
  name   TEXT    NOT NULL,
  inode  INTEGER NOT NULL,
  PRIMARY KEY (parent, name)
) WITHOUT ROWID;

CREATE TABLE inode (
  id           INTEGER PRIMARY KEY,
  kind         INTEGER NOT NULL,
  parent       INTEGER NOT NULL,
  name         TEXT    NOT NULL,
  owner        TEXT    NOT NULL,
  "group"      TEXT    NOT NULL,
  mode         INTEGER NOT NULL,
  mtime        INTEGER NOT NULL,
  atime        INTEGER NOT NULL,
  nlink        INTEGER NOT NULL,
  child_count  INTEGER NOT NULL,
  replication  INTEGER NOT NULL,
  block_size   INTEGER NOT NULL,
  length       INTEGER NOT NULL,
  lease_holder TEXT,
  lease_host   TEXT,
  target       TEXT,
  ctime         INTEGER,
  mtime_nanos   INTEGER,
  atime_nanos   INTEGER,
  device        INTEGER,
  other_entries TEXT,
  acl          TEXT,
  xattrs       TEXT
);
CREATE INDEX inode_open ON inode (id) WHERE lease_holder IS NOT NULL;

CREATE TABLE block (
  inode            INTEGER NOT NULL,
  idx              INTEGER NOT NULL,
  id               INTEGER NOT NULL,
  generation_stamp INTEGER NOT NULL,
  length           INTEGER NOT NULL,
  state            INTEGER NOT NULL,
  digest           INTEGER,
  truncate_length  INTEGER,
  committed_length INTEGER,
  PRIMARY KEY (inode, idx)
) WITHOUT ROWID;
CREATE UNIQUE INDEX block_by_id ON block (id);

CREATE TABLE retry (
  client_id TEXT    NOT NULL,
  call_id   INTEGER NOT NULL,
  wall_time INTEGER NOT NULL,
  reply     TEXT    NOT NULL,
  PRIMARY KEY (client_id, call_id)
) WITHOUT ROWID;
CREATE INDEX retry_by_time ON retry (wall_time);
${createDatanodeTable}`

/**
 * Statements that bring the tables of an older version one version further, by the version they start
 * from. They run in one SQLite transaction together with the new `user_version`.
 */
export const schemaMigrations: Readonly<Record<number, string>> = {
  1: `
ALTER TABLE block ADD COLUMN truncate_length INTEGER;
ALTER TABLE block ADD COLUMN committed_length INTEGER;
${createDatanodeTable}`,
  2: `
ALTER TABLE inode ADD COLUMN ctime INTEGER;
ALTER TABLE inode ADD COLUMN mtime_nanos INTEGER;
ALTER TABLE inode ADD COLUMN atime_nanos INTEGER;
ALTER TABLE inode ADD COLUMN device INTEGER;
ALTER TABLE inode ADD COLUMN other_entries TEXT;
ALTER TABLE inode ADD COLUMN acl TEXT;
ALTER TABLE inode ADD COLUMN xattrs TEXT;`,
}

/** Answers older than this are dropped when a fold passes by, and ignored when read. */
export const retryEntryLifeMs = limits.retryCacheMs

/**
 * Statements of a fold, in the order they must run: what is gone first, then what is there, so that a
 * new row may take the key of a deleted one. Parameter 1 is a JSON array of rows.
 */
export const foldStatements = {
  deleteEntries: `DELETE FROM entry WHERE (parent, name) IN
    (SELECT value ->> 0, value ->> 1 FROM json_each(?1))`,
  deleteBlocks: `DELETE FROM block WHERE id IN (SELECT value FROM json_each(?1))`,
  deleteInodes: `DELETE FROM inode WHERE id IN (SELECT value FROM json_each(?1))`,
  putEntries: `INSERT OR REPLACE INTO entry (parent, name, inode)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)`,
  putBlocks: `INSERT OR REPLACE INTO block
    (inode, idx, id, generation_stamp, length, state, digest, truncate_length, committed_length)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
      CAST(value ->> 6 AS INTEGER), value ->> 7, value ->> 8 FROM json_each(?1)`,
  putInodes: `INSERT OR REPLACE INTO inode
    (id, kind, parent, name, owner, "group", mode, mtime, atime, nlink, child_count, replication,
     block_size, length, lease_holder, lease_host, target, ctime, mtime_nanos, atime_nanos, device,
     other_entries, acl, xattrs)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
      value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13,
      value ->> 14, value ->> 15, value ->> 16, value ->> 17, value ->> 18, value ->> 19,
      value ->> 20, value ->> 21, value ->> 22, value ->> 23 FROM json_each(?1)`,
  putRetries: `INSERT OR REPLACE INTO retry (client_id, call_id, wall_time, reply)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)`,
  deleteDatanodes: `DELETE FROM datanode WHERE uuid IN (SELECT value FROM json_each(?1))`,
  putDatanodes: `INSERT OR REPLACE INTO datanode
    (uuid, name, goal, is_reached, requested_at, expires_at)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
      FROM json_each(?1)`,
  /** Parameter 1: wall-clock milliseconds; older answers go, parameter 2 of them at most, oldest first. */
  expireRetries: `DELETE FROM retry WHERE (client_id, call_id) IN
    (SELECT client_id, call_id FROM retry WHERE wall_time < ?1 ORDER BY wall_time LIMIT ?2)`,
  putMeta: `INSERT OR REPLACE INTO meta (key, value)
    SELECT key, value FROM json_each(?1)`,
} as const

const inodeColumns = `i.id, i.kind, i.parent, i.name, i.owner, i."group", i.mode, i.mtime, i.atime,
  i.nlink, i.child_count, i.replication, i.block_size, i.length, i.lease_holder, i.lease_host, i.target,
  i.ctime, i.mtime_nanos, i.atime_nanos, i.device, i.other_entries, i.acl, i.xattrs`
const inodeArray = `json_array(${inodeColumns})`
const blockArray = `json_array(b.inode, b.idx, b.id, b.generation_stamp, b.length, b.state,
  CAST(b.digest AS TEXT), b.truncate_length, b.committed_length)`

/**
 * Queries of the store. Each answers one row with one column `rows`, a JSON array; rows of a look-up by
 * keys begin with the index of their key in the parameter.
 */
export const queries = {
  /** ?1: JSON array of ids. */
  inodes: `SELECT json_group_array(json_array(k.key, ${inodeArray})) AS rows
    FROM json_each(?1) k CROSS JOIN inode i ON i.id = k.value`,
  /** ?1: JSON array of [parent, name]. */
  entries: `SELECT json_group_array(json_array(k.key, ${inodeArray})) AS rows
    FROM json_each(?1) k
    CROSS JOIN entry e ON e.parent = k.value ->> 0 AND e.name = k.value ->> 1
    CROSS JOIN inode i ON i.id = e.inode`,
  /** ?1: JSON array of inode ids; blocks come in the order of the file. */
  blocksOfInodes: `SELECT json_group_array(json_array(k.key, ${blockArray})) AS rows
    FROM json_each(?1) k CROSS JOIN block b ON b.inode = k.value`,
  /** ?1: JSON array of block ids. */
  blocks: `SELECT json_group_array(json_array(k.key, ${blockArray})) AS rows
    FROM json_each(?1) k CROSS JOIN block b ON b.id = k.value`,
  /** ?1: parent, ?2: name to start after, ?3: limit. Rows are [name, inode], in byte order. */
  children: `SELECT json_group_array(json_array(name, json(inode_row))) AS rows FROM
    (SELECT e.name AS name, ${inodeArray} AS inode_row FROM entry e
     CROSS JOIN inode i ON i.id = e.inode
     WHERE e.parent = ?1 AND e.name > ?2 ORDER BY e.name LIMIT ?3)`,
  /** ?1: inode, ?2: idx to start after, ?3: limit. Rows are [replication of the file, block]. */
  blockPage: `SELECT json_group_array(json_array(replication, json(block_row))) AS rows FROM
    (SELECT i.replication AS replication, ${blockArray} AS block_row FROM block b
     CROSS JOIN inode i ON i.id = b.inode
     WHERE (b.inode, b.idx) > (?1, ?2) ORDER BY b.inode, b.idx LIMIT ?3)`,
  openFiles: `SELECT json_group_array(${inodeArray}) AS rows
    FROM inode i WHERE i.lease_holder IS NOT NULL`,
  datanodes: `SELECT json_group_array(
      json_array(uuid, name, goal, is_reached, requested_at, expires_at)) AS rows FROM datanode`,
  /** ?1: client, ?2: call, ?3: wall-clock milliseconds; an older answer is left out. Rows are replies. */
  reply: `SELECT json_group_array(reply) AS rows
    FROM retry WHERE client_id = ?1 AND call_id = ?2 AND wall_time >= ?3`,
  meta: `SELECT json_group_array(json_array(key, value)) AS rows FROM meta`,
} as const

/**
 * Refuses a database that is not ours or has a layout that this program does not read.
 * @throws {@link DfsError} UNSUPPORTED_LAYOUT, saying which version is needed.
 */
export function checkSchemaVersion(file: string, foundApplicationId: number, found: number): void {
  if (foundApplicationId !== applicationId) {
    throw new DfsError(
      'UNSUPPORTED_LAYOUT',
      `"${file}" is not a Trefoil namespace: its application id is ${foundApplicationId}, ` +
        `expected ${applicationId}`,
    )
  }
  checkLayout('Namespace', file, found, schemaVersions)
}
