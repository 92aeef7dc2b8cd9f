/**
 * Grants: what a gateway gives a client along to the datanode that it redirects to. A grant says that the gateway has
 * let this user do this operation with this path, until soon; it is worth nothing for anything else.
 *
 *     grant_KEYID_BODY_MAC
 *
 *     KEYID   16 hex digits: which key of the cluster's signed it
 *     BODY    base64url of {"user","until"}; `until` in milliseconds since the epoch
 *     MAC     base64url of HMAC-SHA256 over KEYID, BODY, operation and path, one a line
 *
 * The keys are files of the superuser's in the cluster, as tokens are. A gateway makes a new one a day and removes those
 * that nothing valid can have been signed with any more.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { PrivateDirectory } from '../private-directory.ts'

/** Where the keys are. */
export const grantKeyDirectory = '/.trefoil/gateway/grant-keys'

/** Who may do what, as a grant says it. */
export interface Granted {
  readonly user: string
  /** Name of the operation, in capitals. */
  readonly operation: string
  readonly path: string
}

/** What became of a grant that a client brought. */
export type Verdict =
  | { readonly kind: 'valid'; readonly user: string }
  | { readonly kind: 'expired' }
  | { readonly kind: 'forged' }

interface Key {
  readonly id: string
  readonly secret: Buffer
  readonly createdAtMs: number
}

const dayMs = 86_400_000
/** A key signs for a day, and counts for another. */
const signingMs = dayMs
const keptMs = 2 * dayMs
/** Looks for keys that are not known are that far apart: made-up grants must not keep the namenode busy. */
const lookPeriodMs = 1_000
/** A look that others began may have missed the key; the next one has not. */
const looksMax = 2
const textPattern = /^grant_([0-9a-f]{16})_([A-Za-z0-9_-]{1,400})_([A-Za-z0-9_-]{43})$/

/** Signs and verifies grants with the keys of a cluster. */
export class Grants {
  readonly #files: Pick<PrivateDirectory, 'ids' | 'read' | 'add' | 'remove'>
  readonly #now: () => number
  #keys = new Map<string, Key>()
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #making: Promise<Key> | undefined
  #looking: Promise<void> | undefined

  constructor(
    files: Pick<PrivateDirectory, 'ids' | 'read' | 'add' | 'remove'>,
    now: () => number = Date.now,
  ) {
    this.#files = files
    this.#now = now
  }

  /** Whether a text is meant as a grant. */
  static isOne(text: string | undefined): text is string {
    return text?.startsWith('grant_') === true
  }

  /** The text of a grant that counts until `untilMs`. Fails when this process may not keep keys. */
  async sign({ user, operation, path }: Granted, untilMs: number): Promise<string> {
    const key = await this.#current()
    const body = Buffer.from(JSON.stringify({ user, until: untilMs })).toString('base64url')
    return `grant_${key.id}_${body}_${macOf(key, body, operation, path).toString('base64url')}`
  }

  /** Judges a grant for an operation on a path. */
  async verify(text: string, { operation, path }: Omit<Granted, 'user'>): Promise<Verdict> {
    const [, id = '', body = '', mac = ''] = textPattern.exec(text) ?? []
    const key = id === '' ? undefined : await this.#find(id)
    if (key === undefined) return { kind: 'forged' }
    const expected = macOf(key, body, operation, path)
    const given = Buffer.from(mac, 'base64url')
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      return { kind: 'forged' }
    }
    // Signed by a gateway: it is what sign() wrote.
    const { user, until } = JSON.parse(Buffer.from(body, 'base64url').toString()) as {
      readonly user: string
      readonly until: number
    }
    return until <= this.#now() ? { kind: 'expired' } : { kind: 'valid', user }
  }

  async #current(): Promise<Key> {
    const key = this.#newest()
    if (key !== undefined) return key
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined
    })
    return await this.#making
  }

  #newest(): Key | undefined {
    const sound = [...this.#keys.values()].filter(
      ({ createdAtMs }) => createdAtMs > this.#now() - signingMs,
    )
    return sound.sort((a, b) => b.createdAtMs - a.createdAtMs)[0]
  }

  /** Takes over the newest key of another gateway, or makes one. */
  async #make(): Promise<Key> {
    await this.#look()
    const found = this.#newest()
    if (found !== undefined) return found
    const id = randomBytes(8).toString('hex')
    const key = { id, secret: randomBytes(32), createdAtMs: this.#now() }
    const secret = key.secret.toString('base64url')
    await this.#files.add(id, { id, secret, createdAtMs: key.createdAtMs })
    this.#keys.set(id, key)
    await this.#removeOld()
    return key
  }

  async #removeOld(): Promise<void> {
    for (const { id, createdAtMs } of this.#keys.values()) {
      if (createdAtMs > this.#now() - keptMs) continue
      this.#keys.delete(id)
      // Another gateway may have removed it.
      await this.#files.remove(id).catch(() => undefined)
    }
  }

  async #find(id: string): Promise<Key | undefined> {
    for (let looks = 0; looks < looksMax && !this.#keys.has(id); looks += 1) await this.#lookSoon()
    const key = this.#keys.get(id)
    return key !== undefined && key.createdAtMs > this.#now() - keptMs ? key : undefined
  }

  /** Everybody who waits shares one look. */
  #lookSoon(): Promise<void> {
    const waitMs = Math.max(0, this.#lookedAtMs + lookPeriodMs - this.#now())
    this.#looking ??= delay(waitMs)
      .then(() => this.#look())
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #look(): Promise<void> {
    this.#lookedAtMs = this.#now()
    const keys = new Map<string, Key>()
    for (const id of await this.#files.ids()) {
      const key = this.#keys.get(id) ?? keyOf(await this.#files.read(id).catch(() => undefined), id)
      if (key !== undefined) keys.set(id, key)
    }
    this.#keys = keys
  }
}

function macOf({ id, secret }: Key, body: string, operation: string, path: string): Buffer {
  return createHmac('sha256', secret).update([id, body, operation, path].join('\n')).digest()
}

/** A key as it is stored; a damaged one counts for nothing. */
function keyOf(found: unknown, id: string): Key | undefined {
  const value = (typeof found === 'object' ? (found ?? {}) : {}) as Readonly<
    Record<'id' | 'secret' | 'createdAtMs', unknown>
  >
  const { secret, createdAtMs } = value
  if (value.id !== id || typeof secret !== 'string' || typeof createdAtMs !== 'number') {
    return undefined
  }
  const bytes = Buffer.from(secret, 'base64url')
  return bytes.length === 32 ? { id, secret: bytes, createdAtMs } : undefined
}
