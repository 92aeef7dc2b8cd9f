/** Names and values of extended attributes as people write them (org.apache.hadoop.fs.XAttrCodec). Pure. */
import { DfsError } from '../../protocol/errors.ts'
import {
  type XAttr,
  type XAttrNamespace,
  xAttrNamespaceEnum,
} from '../../protocol/messages/hdfs.ts'

/** How a value is written: `"text"`, `0x…` or `0s…`. */
export type XAttrEncoding = 'text' | 'hex' | 'base64'
export const xattrEncodings: readonly XAttrEncoding[] = ['text', 'hex', 'base64']

const namespaces = Object.keys(xAttrNamespaceEnum.numberByName) as XAttrNamespace[]

/** `user.name` of a message. */
export function xattrName({ namespace, name }: Pick<XAttr, 'namespace' | 'name'>): string {
  return `${namespace.toLowerCase()}.${name}`
}

/**
 * Namespace, in any case, and name of `user.name`.
 * @throws {@link DfsError} INVALID_ARGUMENT, in HDFS's words
 */
export function parseXattrName(text: string): Pick<XAttr, 'namespace' | 'name'> {
  const dot = text.indexOf('.')
  if (dot < 3) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      "An XAttr name must be prefixed with user/trusted/security/system/raw, followed by a '.'",
    )
  }
  const prefix = text.slice(0, dot).toUpperCase()
  const namespace = namespaces.find((candidate) => candidate === prefix)
  if (namespace === undefined) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      "An XAttr name must be prefixed with user/trusted/security/system/raw, followed by a '.'",
    )
  }
  if (dot === text.length - 1) {
    throw new DfsError('INVALID_ARGUMENT', 'XAttr name cannot be empty.')
  }
  return { namespace, name: text.slice(dot + 1) }
}

/** A value as `encoding` writes it. */
export function encodeXattrValue(value: Uint8Array, encoding: XAttrEncoding): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  if (encoding === 'hex') return `0x${bytes.toString('hex')}`
  if (encoding === 'base64') return `0s${bytes.toString('base64')}`
  return `"${bytes.toString('utf8')}"`
}

/**
 * The bytes of `"text"`, `0x…`, `0s…`, or of anything else as text.
 * @throws {@link DfsError} INVALID_ARGUMENT for digits that are none
 */
export function decodeXattrValue(text: string): Uint8Array {
  const prefix = text.slice(0, 2).toLowerCase()
  const rest = text.slice(2)
  if (prefix === '0x') {
    if (rest.length % 2 === 0 && /^[0-9a-f]*$/i.test(rest)) return Buffer.from(rest, 'hex')
    throw new DfsError('INVALID_ARGUMENT', `"${text}" is not a value in hexadecimal`)
  }
  if (prefix === '0s') {
    if (/^[A-Za-z0-9+/]*={0,2}$/.test(rest)) return Buffer.from(rest, 'base64')
    throw new DfsError('INVALID_ARGUMENT', `"${text}" is not a value in base64`)
  }
  const isQuoted = text.length > 1 && text.startsWith('"') && text.endsWith('"')
  return Buffer.from(isQuoted ? text.slice(1, -1) : text)
}
