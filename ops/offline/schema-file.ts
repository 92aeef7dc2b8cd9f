/** Reads a namespace database from a dead disk: as much as SQLite can still find, and what it cannot. */
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { inodeKindNumbers } from '../../namenode/format/schema.ts'
import { Connection } from '../../namenode/shell/sqlite-connection.ts'
import { DfsError } from '../../protocol/errors.ts'
import { orphanageInodeId, rootInodeId } from '../../protocol/ids.ts'

const tables = {
  entry: 'parent, name',
  inode: 'id',
  block: 'inode, idx',
  retry: 'client_id, call_id',
} as const
type Table = keyof typeof tables
const pageRows = 1000
const findingsMax = 50

/** Rows of one table that can be read, from its front and, when damage ends that, from its back. */
export interface TableReport {
  readonly table: Table
  readonly fromFront: number
  readonly fromBack: number
  /** What SQLite says where reading ended; absent when the whole table was read. */
  readonly damage: string | undefined
}

export interface SchemaReport {
  readonly file: string
  readonly schemaVersion: number | undefined
  /** Table `meta` as it is. */
  readonly meta: Readonly<Record<string, string | number>>
  readonly tables: readonly TableReport[]
  /** What SQLite's check says; empty when it finds nothing. */
  readonly findings: readonly string[]
}

/** One line of a listing. */
export interface TreeItem {
  readonly path: string
  readonly id: number
  readonly kind: keyof typeof inodeKindNumbers | 'damaged'
  readonly size: number
  readonly owner: string
  readonly mtime: number
  readonly isOpen: boolean
  /** Why nothing more is known of it, or of what is in it. */
  readonly damage?: string
}

export interface BlockItem {
  readonly index: number
  readonly id: number
  readonly generationStamp: number
  readonly length: number
  readonly state: string
  readonly digest: string | undefined
}

const kinds = new Map<number, TreeItem['kind']>(
  Object.entries(inodeKindNumbers).map(([kind, number]) => [number, kind as TreeItem['kind']]),
)
const blockStates = ['', 'under-construction', 'under-recovery', 'committed', 'complete']

interface InodeColumns {
  readonly name: string
  readonly id: number | null
  readonly inode: number
  readonly kind: number
  readonly length: number
  readonly owner: string
  readonly mtime: number
  readonly lease_holder: string | null
}

/** A database that is only read: in place when it has no log, else a copy of both. */
export class SchemaFile {
  readonly file: string
  readonly #connection: Connection
  readonly #copy: string | undefined

  private constructor(file: string, connection: Connection, copy: string | undefined) {
    this.file = file
    this.#connection = connection
    this.#copy = copy
  }

  /**
   * @param path the database or the namenode's directory
   * @throws {@link DfsError} IO_ERROR, CORRUPTION when not even the file's header can be read
   */
  static async open(path: string): Promise<SchemaFile> {
    const isDirectory = (await stat(path)).isDirectory()
    const file = isDirectory ? join(path, 'namespace.sqlite') : path
    const log = await stat(`${file}-wal`).catch(() => undefined)
    if (log === undefined || log.size === 0) {
      return new SchemaFile(file, await Connection.openImmutable(file), undefined)
    }
    // SQLite would take the log over into the database, which must stay as it is.
    const copy = await mkdtemp(join(tmpdir(), 'trefoil-offline-'))
    const copied = join(copy, basename(file))
    await copyFile(file, copied)
    await copyFile(`${file}-wal`, `${copied}-wal`)
    return new SchemaFile(file, await Connection.open(copied), copy)
  }

  async close(): Promise<void> {
    await this.#connection.close()
    if (this.#copy !== undefined) await rm(this.#copy, { recursive: true })
  }

  /** @param isThorough also compares every index with its table, which takes several times as long */
  async report(isThorough: boolean): Promise<SchemaReport> {
    const version = await this.#try<{ user_version: number }>('PRAGMA user_version')
    const rows = await this.#try<{ key: string; value: string | number }>('SELECT * FROM meta')
    const reports: TableReport[] = []
    for (const table of ['entry', 'inode', 'block', 'retry'] as const) {
      reports.push(await this.#tableReport(table))
    }
    const pragma = isThorough ? 'integrity_check' : 'quick_check'
    const check = await this.#try<Record<string, string>>(`PRAGMA ${pragma}(${findingsMax})`)
    const findings = check.rows.flatMap((row) => Object.values(row)).filter((text) => text !== 'ok')
    if (check.damage !== undefined) findings.push(check.damage)
    if (rows.damage !== undefined) findings.push(`meta: ${rows.damage}`)
    return {
      file: this.file,
      schemaVersion: version.rows[0]?.user_version,
      meta: Object.fromEntries(rows.rows.map(({ key, value }) => [key, value])),
      tables: reports,
      findings,
    }
  }

  /** Everything below a path, parents first; a directory that cannot be read ends with why. */
  async *tree(path: string): AsyncGenerator<TreeItem, undefined> {
    const root = await this.#resolve(path)
    yield root
    if (root.kind === 'directory') yield* this.#below(root)
  }

  /** The blocks of a file, as far as they can be read. */
  async blocks(path: string): Promise<{ items: readonly BlockItem[]; damage: string | undefined }> {
    const { id } = await this.#resolve(path)
    const found = await this.#try<Record<string, number> & { digest: string | null }>(
      `SELECT idx, id, generation_stamp, length, state,
         CASE WHEN digest IS NULL THEN NULL ELSE printf('%016x', digest) END AS digest
       FROM block WHERE inode = ? ORDER BY idx`,
      id,
    )
    const items = found.rows.map((row) => ({
      index: row['idx'] ?? 0,
      id: row['id'] ?? 0,
      generationStamp: row['generation_stamp'] ?? 0,
      length: row['length'] ?? 0,
      state: blockStates[row['state'] ?? 0] ?? '',
      digest: row.digest ?? undefined,
    }))
    return { items, damage: found.damage }
  }

  async *#below(directory: TreeItem): AsyncGenerator<TreeItem, undefined> {
    const prefix = directory.path === '/' ? '/' : `${directory.path}/`
    let after = ''
    for (;;) {
      const { rows, damage } = await this.#try<InodeColumns>(
        `SELECT e.name, e.inode, i.id, i.kind, i.length, i.owner, i.mtime, i.lease_holder
         FROM entry e LEFT JOIN inode i ON i.id = e.inode
         WHERE e.parent = ? AND e.name > ? ORDER BY e.name LIMIT ${pageRows}`,
        directory.id,
        after,
      )
      if (damage !== undefined) {
        yield* this.#salvaged(directory, prefix, after, damage)
        return
      }
      for (const row of rows) {
        const item = itemOf(prefix + row.name, row)
        yield item
        if (item.kind === 'directory') yield* this.#below(item)
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < pageRows) return
      after = last.name
    }
  }

  /** The rest of a directory one by one, from behind `after` until nothing can be read. */
  async *#salvaged(
    directory: TreeItem,
    prefix: string,
    after: string,
    damage: string,
  ): AsyncGenerator<TreeItem, undefined> {
    let last = after
    for (;;) {
      const entry = await this.#try<{ name: string; inode: number }>(
        'SELECT name, inode FROM entry WHERE parent = ? AND name > ? ORDER BY name LIMIT 1',
        directory.id,
        last,
      )
      const [found] = entry.rows
      if (found === undefined) break
      last = found.name
      const row = await this.#try<InodeColumns>('SELECT * FROM inode WHERE id = ?', found.inode)
      const [inode] = row.rows
      const item = itemOf(
        prefix + found.name,
        inode === undefined
          ? { ...nothing, name: found.name, inode: found.inode }
          : { ...inode, inode: found.inode },
      )
      yield item
      if (item.kind === 'directory') yield* this.#below(item)
    }
    yield {
      ...itemOf(`${prefix}…`, { ...nothing, name: '…', inode: 0 }),
      damage: `entries behind "${last}" in ${directory.path} cannot be read: ${damage}`,
    }
  }

  async #resolve(path: string): Promise<TreeItem> {
    let current = rootInodeId as number
    for (const name of path.split('/').filter((part) => part !== '')) {
      const { rows, damage } = await this.#try<{ inode: number }>(
        'SELECT inode FROM entry WHERE parent = ? AND name = ?',
        current,
        name,
      )
      const [found] = rows
      if (damage !== undefined) throw new DfsError('CORRUPTION', `Cannot find "${path}": ${damage}`)
      if (found === undefined) throw new DfsError('FILE_NOT_FOUND', `"${path}" does not exist`)
      current = found.inode
    }
    const { rows } = await this.#try<InodeColumns>('SELECT * FROM inode WHERE id = ?', current)
    const absolute = `/${path
      .split('/')
      .filter((part) => part !== '')
      .join('/')}`
    return itemOf(absolute, { ...(rows[0] ?? nothing), inode: current })
  }

  /** Reads a table from the front and, when damage ends that, from the back. */
  async #tableReport(table: Table): Promise<TableReport> {
    const whole = await this.#try<{ count: number }>(
      // The condition keeps SQLite from counting the rows of a smaller index.
      `SELECT count(*) AS count FROM ${table} NOT INDEXED${table === 'inode' ? ` WHERE id <> ${orphanageInodeId}` : ''}`,
    )
    const [counted] = whole.rows
    if (counted !== undefined) {
      return { table, fromFront: counted.count, fromBack: 0, damage: undefined }
    }
    const fromFront = await this.#readable(table, 'ASC')
    const fromBack = await this.#readable(table, 'DESC')
    return { table, fromFront, fromBack, damage: whole.damage }
  }

  /** Rows before the first damage in one direction. */
  async #readable(table: Table, direction: 'ASC' | 'DESC'): Promise<number> {
    const order = tables[table]
      .split(', ')
      .map((column) => `${column} ${direction}`)
      .join(', ')
    let count = 0
    let step = 2 ** 20
    while (step >= 1) {
      const { rows } = await this.#try<{ count: number }>(
        `SELECT count(*) AS count FROM (SELECT 1 FROM ${table} NOT INDEXED ORDER BY ${order} LIMIT ${count + step})`,
      )
      const [found] = rows
      if (found === undefined) step = Math.floor(step / 2)
      else if (found.count < count + step) return found.count
      else count = found.count
    }
    return count
  }

  async #try<T>(sql: string, ...parameters: readonly (string | number)[]): Promise<Attempt<T>> {
    try {
      return { rows: await this.#connection.all<T>(sql, ...parameters), damage: undefined }
    } catch (error) {
      return { rows: [], damage: error instanceof Error ? error.message : String(error) }
    }
  }
}

/** Rows, or what SQLite says instead. */
interface Attempt<T> {
  readonly rows: readonly T[]
  readonly damage: string | undefined
}

const nothing: InodeColumns = {
  ...{ name: '', id: null, inode: 0, kind: 0, length: 0, owner: '', mtime: 0 },
  lease_holder: null,
}

function itemOf(path: string, row: InodeColumns): TreeItem {
  const kind = row.id === null ? 'damaged' : (kinds.get(row.kind) ?? 'damaged')
  return {
    ...{ path, kind, id: row.inode, size: row.length, owner: row.owner, mtime: row.mtime },
    isOpen: row.lease_holder !== null,
    ...(kind === 'damaged' && { damage: `inode ${row.inode} cannot be read` }),
  }
}
