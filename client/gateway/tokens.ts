import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { DfsError } from '../../protocol/errors.ts'
import { PrivateDirectory, type SecretFileSystem } from './private-directory.ts'

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

const directory = '/.trefoil/gateway/tokens'
const textPattern = /^dfs_([0-9a-f]{16})_[A-Za-z0-9_-]{43}$/
const nothing = Buffer.alloc(32)

/** The tokens of a cluster, where every gateway sees them and two operators never overwrite each other's. */
export class TokenStore {
  readonly #files: PrivateDirectory

  constructor(fs: SecretFileSystem) {
    this.#files = new PrivateDirectory(fs, directory)
  }

  /** Makes a token. Its text is told here and never again. */
  async create(grant: TokenGrant): Promise<{ readonly token: Token; readonly text: string }> {
    const id = randomBytes(8).toString('hex')
    const text = `dfs_${id}_${randomBytes(32).toString('base64url')}`
    const sha256 = hashOf(text).toString('hex')
    const token: Token = { id, ...grant, createdAtMs: Date.now(), sha256 }
    await this.#files.add(id, token)
    return { token, text }
  }

  /** Ids of all tokens; @throws {@link DfsError} PERMISSION_DENIED when others could put tokens there */
  ids(): Promise<string[]> {
    return this.#files.ids()
  }

  async read(id: string): Promise<Token> {
    return parseToken(await this.#files.read(id), id)
  }

  /** @throws DfsFsError FILE_NOT_FOUND for a token that does not exist */
  async revoke(id: string): Promise<void> {
    await this.#files.remove(id)
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

function parseToken(found: unknown, id: string): Token {
  const value = (typeof found === 'object' ? (found ?? {}) : {}) as Partial<Token>
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
