import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { DfsError } from '../../protocol/errors.ts'
import { type DfsClient, DfsFsError } from '../index.ts'

/** What a bearer token lets its holder do. */
export interface TokenGrant {
  /** Acts as this user; the namenode checks permissions beside the token. */
  readonly user: string
  /** Absolute paths; each covers what is below it. */
  readonly paths: readonly string[]
  /** `write` includes `read`. */
  readonly right: 'read' | 'write'
  /** Milliseconds since the epoch; `null` for never. */
  readonly expiresAtMs: number | null
}

/** A token as it is stored: without its secret. */
export interface Token extends TokenGrant {
  readonly id: string
  readonly createdAtMs: number
  /** SHA-256 of the whole text of the token, hex. It is random enough that a slow hash would add nothing. */
  readonly sha256: string
}

/** The verbs that tokens are kept with. */
export type TokenFileSystem = Pick<
  DfsClient,
  'stat' | 'opendir' | 'mkdir' | 'chmod' | 'readFile' | 'writeFile' | 'rename' | 'rm'
>

/** One file for each token, so that two operators never overwrite each other's; every gateway of the cluster sees them. */
const directory = '/.trefoil/gateway/tokens'
const textPattern = /^dfs_([0-9a-f]{16})_[A-Za-z0-9_-]{43}$/
const nothing = Buffer.alloc(32)

/** The tokens of a cluster, in a directory of the superuser's that nobody else may enter. */
export class TokenStore {
  readonly #fs: TokenFileSystem

  constructor(fs: TokenFileSystem) {
    this.#fs = fs
  }

  /** Makes a token. Its text is told here and never again. */
  async create(grant: TokenGrant): Promise<{ readonly token: Token; readonly text: string }> {
    const id = randomBytes(8).toString('hex')
    const text = `dfs_${id}_${randomBytes(32).toString('base64url')}`
    const sha256 = hashOf(text).toString('hex')
    const token: Token = { id, ...grant, createdAtMs: Date.now(), sha256 }
    await this.#fs.mkdir(directory, { recursive: true, mode: 0o700 })
    await this.#fs.chmod(directory, 0o700)
    const options = { mode: 0o600, flags: 'wx' } as const
    await this.#fs.writeFile(`${directory}/${id}.new`, `${JSON.stringify(token)}\n`, options)
    await this.#fs.rename(`${directory}/${id}.new`, fileOf(id), { overwrite: false })
    return { token, text }
  }

  /** Ids of all tokens; @throws {@link DfsError} PERMISSION_DENIED when others could put tokens there */
  async ids(): Promise<string[]> {
    try {
      const { mode } = await this.#fs.stat(directory)
      if ((mode & 0o077) !== 0) {
        const text = `Others may enter "${directory}" (mode ${mode.toString(8)}): need mode 700`
        throw new DfsError('PERMISSION_DENIED', text, { path: directory })
      }
      const ids: string[] = []
      for await (const { name } of this.#fs.opendir(directory)) {
        const id = /^([0-9a-f]{16})\.json$/.exec(name)?.[1]
        if (id !== undefined) ids.push(id)
      }
      return ids
    } catch (error) {
      if (error instanceof DfsFsError && error.dfsCode === 'FILE_NOT_FOUND') return []
      throw error
    }
  }

  async read(id: string): Promise<Token> {
    return parseToken(await this.#fs.readFile(fileOf(id), 'utf8'), id)
  }

  /** @throws DfsFsError FILE_NOT_FOUND for a token that does not exist */
  async revoke(id: string): Promise<void> {
    await this.#fs.rm(fileOf(id))
  }
}

/** The id in a token's text, `undefined` for what is no token. */
export function idOf(text: string): string | undefined {
  return textPattern.exec(text)?.[1]
}

/** Whether `text` is the token; takes the same time whatever differs, and as long when there is no such token. */
export function isTextOf(text: string, token: Token | undefined): boolean {
  const expected = token === undefined ? nothing : Buffer.from(token.sha256, 'hex')
  return timingSafeEqual(hashOf(text), expected) && token !== undefined
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function fileOf(id: string): string {
  if (!/^[0-9a-f]{16}$/.test(id)) {
    throw new DfsError('INVALID_ARGUMENT', `"${id}" is no token's id: need 16 hex digits`)
  }
  return `${directory}/${id}.json`
}

function parseToken(text: string, id: string): Token {
  const value = JSON.parse(text) as Partial<Token>
  const { user, paths, right, expiresAtMs, createdAtMs, sha256 } = value
  const isSound =
    value.id === id &&
    typeof user === 'string' &&
    Array.isArray(paths) &&
    paths.every((path) => typeof path === 'string' && path.startsWith('/')) &&
    (right === 'read' || right === 'write') &&
    (expiresAtMs === null || typeof expiresAtMs === 'number') &&
    typeof createdAtMs === 'number' &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  if (!isSound) throw new DfsError('CORRUPTION', `The file of token ${id} is damaged: revoke it`)
  return { id, user, paths, right, expiresAtMs, createdAtMs, sha256 }
}
