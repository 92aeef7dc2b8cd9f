/**
 * Checks of a namespace database. What a start waits for costs the same at any size: the header, every page
 * of `meta`, and the pages on both edges of each B-tree, which the next rows go to. Reading every page is
 * for the background, see {@link DatabaseCheck}.
 */
import { open } from 'node:fs/promises'
import { orphanageInodeId, rootInodeId } from '../../protocol/ids.ts'
import type { StorePosition } from './namespace-store.ts'
import { Connection, damagedNamespace, isDamage } from './sqlite-connection.ts'

const magic = 'SQLite format 3\0'
/** More findings of one damage tell nothing new. */
const findingsMax = 10

/**
 * Refuses a file that SQLite would take for an empty database, or that is none.
 * @throws {@link DfsError} CORRUPTION
 */
export async function checkFileHeader(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(magic.length), 0, magic.length, 0)
    if (bytesRead === 0) throw damagedNamespace(file, 'it is empty')
    const found = buffer.toString('latin1', 0, bytesRead)
    if (found !== magic) throw damagedNamespace(file, 'it does not begin as a SQLite database does')
  } finally {
    await handle.close()
  }
}

/** First and last key of each B-tree. */
const edges = `SELECT
  (SELECT min(id) FROM inode) AS firstInode, (SELECT max(id) FROM inode) AS lastInode,
  (SELECT max(id) FROM block INDEXED BY block_by_id) AS lastBlock,
  (SELECT min(id) FROM block INDEXED BY block_by_id) AS firstBlock,
  (SELECT parent FROM entry ORDER BY parent, name LIMIT 1) AS firstParent,
  (SELECT parent FROM entry ORDER BY parent DESC, name DESC LIMIT 1) AS lastParent,
  (SELECT inode FROM block ORDER BY inode, idx LIMIT 1) AS firstFile,
  (SELECT inode FROM block ORDER BY inode DESC, idx DESC LIMIT 1) AS lastFile,
  (SELECT count(*) FROM (SELECT id FROM inode WHERE lease_holder IS NOT NULL LIMIT 1)) AS open,
  (SELECT client_id FROM retry ORDER BY client_id, call_id LIMIT 1) AS firstClient,
  (SELECT client_id FROM retry ORDER BY client_id DESC, call_id DESC LIMIT 1) AS lastClient,
  (SELECT min(wall_time) FROM retry) AS firstRetry, (SELECT max(wall_time) FROM retry) AS lastRetry,
  (SELECT count(*) FROM inode WHERE id = ${rootInodeId}) AS roots`

interface Edges {
  readonly firstInode: number | null
  readonly roots: number
}

/**
 * Looks at `meta`, the root directory and the edges of every B-tree.
 * @throws {@link DfsError} CORRUPTION
 */
export async function checkEdges(
  connection: Connection,
  file: string,
  { appliedTxid }: StorePosition,
): Promise<void> {
  const findings = await connection.all<{ quick_check: string }>('PRAGMA quick_check(meta)')
  const finding = findings.find(({ quick_check }) => quick_check !== 'ok')
  if (finding !== undefined) throw damagedNamespace(file, finding.quick_check)
  const [row] = await connection.all<Edges>(edges)
  if (row === undefined || appliedTxid === 0) return
  if (row.roots !== 1) throw damagedNamespace(file, 'its root directory is missing')
  if ((row.firstInode ?? 0) < orphanageInodeId) {
    throw damagedNamespace(file, `it holds inode ${String(row.firstInode)}, which no file can have`)
  }
}

/** Reads every page of a database, on a connection and a thread of its own. */
export class DatabaseCheck {
  readonly #file: string
  #connection: Connection | undefined
  #isCancelled = false

  constructor(file: string) {
    this.#file = file
  }

  /**
   * @returns what is wrong, at most a few findings; nothing when the check was cancelled
   * @throws {@link DfsError} IO_ERROR when the file cannot be opened
   */
  async run(): Promise<readonly string[]> {
    const connection = await Connection.open(this.#file)
    this.#connection = connection
    try {
      if (this.#isCancelled) return []
      const rows = await connection.all<{ quick_check: string }>(
        `PRAGMA quick_check(${findingsMax})`,
      )
      return rows.map(({ quick_check }) => quick_check).filter((line) => line !== 'ok')
    } catch (error) {
      if (this.#isCancelled) return []
      if (!isDamage(error)) throw error
      return [error instanceof Error ? error.message : String(error)]
    } finally {
      this.#connection = undefined
      await connection.close()
    }
  }

  /** Makes {@link run} return soon. */
  cancel(): void {
    this.#isCancelled = true
    this.#connection?.interrupt()
  }
}
