import { createHash, type Hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { HttpError } from '../http-error.ts'

/** A checksum that the sender of a body has computed. */
export interface ExpectedDigest {
  readonly algorithm: 'sha256' | 'sha512'
  readonly value: Buffer
}

const algorithms = { 'sha-256': 'sha256', 'sha-512': 'sha512' } as const
const lengths = { sha256: 32, sha512: 64 } as const

/**
 * Reads the checksums of a body: `Content-Digest: sha-256=:BASE64:` (RFC 9530) and `X-Checksum-SHA256: HEX`. A checksum
 * that we could not verify is refused rather than ignored, because its sender relies on it.
 *
 * @throws {@link HttpError} 400 for malformed ones and other algorithms
 */
export function expectedDigests(headers: IncomingHttpHeaders): ExpectedDigest[] {
  const digests: ExpectedDigest[] = []
  const content = headers['content-digest']
  if (content !== undefined) {
    for (const member of String(content).split(',')) digests.push(parseMember(member.trim()))
  }
  const hex = headers['x-checksum-sha256']
  if (hex !== undefined) {
    if (!/^[0-9a-f]{64}$/i.test(String(hex))) throw malformed('X-Checksum-SHA256: 64 hex digits')
    digests.push({ algorithm: 'sha256', value: Buffer.from(String(hex), 'hex') })
  }
  return digests
}

function parseMember(member: string): ExpectedDigest {
  const [, name, base64 = ''] = /^([a-z0-9-]+)=:([A-Za-z0-9+/]+={0,2}):$/.exec(member) ?? []
  if (name !== 'sha-256' && name !== 'sha-512') {
    throw malformed('Content-Digest: sha-256=:BASE64: or sha-512=:BASE64:')
  }
  const algorithm = algorithms[name]
  const value = Buffer.from(base64, 'base64')
  if (value.length !== lengths[algorithm]) throw malformed(`a ${name} of its length`)
  return { algorithm, value }
}

function malformed(needed: string): HttpError {
  return new HttpError(400, 'INVALID_ARGUMENT', `Cannot read the checksum: need ${needed}`)
}

/** Computes a body's checksums while it passes and compares them at its end. */
export class DigestCheck {
  readonly #checks: readonly { readonly expected: ExpectedDigest; readonly hash: Hash }[]

  constructor(digests: readonly ExpectedDigest[]) {
    this.#checks = digests.map((expected) => ({ expected, hash: createHash(expected.algorithm) }))
  }

  update(chunk: Uint8Array): void {
    for (const { hash } of this.#checks) hash.update(chunk)
  }

  /** @throws {@link HttpError} 400 CHECKSUM_MISMATCH */
  verify(): void {
    for (const { expected, hash } of this.#checks) {
      if (timingSafeEqual(hash.digest(), expected.value)) continue
      const text = `The body does not have the ${expected.algorithm} that was sent with it; nothing is stored`
      throw new HttpError(400, 'CHECKSUM_MISMATCH', text)
    }
  }
}
