/** Operations of access control lists and extended attributes. */
import { xAttrSetFlags } from '../../../protocol/messages/hdfs.ts'
import {
  decodeXattrValue,
  encodeXattrValue,
  parseAclSpec,
  parseXattrName,
  type XAttrEncoding,
  xattrName,
} from '../../index.ts'
import { answerJson, answerNothing, type Exchange, type Operation } from './exchange.ts'
import { invalid, type Words } from './parameters.ts'
import * as views from './views.ts'

const encodings: Words<'TEXT' | 'HEX' | 'BASE64'> = {
  words: ['TEXT', 'HEX', 'BASE64'],
  javaType: 'org.apache.hadoop.fs.XAttrCodec',
}
const encodingByWord = { TEXT: 'text', HEX: 'hex', BASE64: 'base64' } as const
const setFlags: Words<'CREATE' | 'REPLACE'> = {
  words: ['CREATE', 'REPLACE'],
  javaType: 'org.apache.hadoop.fs.XAttrSetFlag',
}

export const getAclStatus: Operation = async (exchange) => {
  const { client, path } = exchange
  const reply = await client.callNamenode('getAclStatus', { src: path })
  answerJson(exchange, { AclStatus: views.aclStatusView(reply) })
}

const changeAcl =
  (
    method: 'modifyAclEntries' | 'removeAclEntries' | 'setAcl',
    operation: string,
    hasPermissions: boolean,
  ): Operation =>
  async (exchange) => {
    const { client, path: src, parameters } = exchange
    const aclSpec = parseAclSpec(parameters.required('aclspec', operation), hasPermissions)
    await client.callNamenode(method, { src, aclSpec })
    answerNothing(exchange)
  }

export const modifyAclEntries = changeAcl('modifyAclEntries', 'MODIFYACLENTRIES', true)
export const removeAclEntries = changeAcl('removeAclEntries', 'REMOVEACLENTRIES', false)
export const setAcl = changeAcl('setAcl', 'SETACL', true)

export const removeAcl: Operation = async (exchange) => {
  await exchange.client.callNamenode('removeAcl', { src: exchange.path })
  answerNothing(exchange)
}

export const removeDefaultAcl: Operation = async (exchange) => {
  await exchange.client.callNamenode('removeDefaultAcl', { src: exchange.path })
  answerNothing(exchange)
}

export const listXAttrs: Operation = async (exchange) => {
  const { client, path } = exchange
  const { xAttrs } = await client.callNamenode('listXAttrs', { src: path })
  // A list inside a text: so HDFS has it, and its clients.
  answerJson(exchange, { XAttrNames: JSON.stringify(xAttrs.map(xattrName)) })
}

/** Of the names given, or of all; each value as `encoding` writes it, or null when there is none. */
export const getXAttrs: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  const [word] = parameters.words('encoding', encodings)
  const encoding: XAttrEncoding = encodingByWord[word ?? 'HEX']
  const names = parameters.texts('xattr.name').map((name) => checkedName(name))
  const { xAttrs } = await client.callNamenode('getXAttrs', { src: path, xAttrs: names })
  const list = xAttrs.map((xattr) => ({
    name: xattrName(xattr),
    value: xattr.value === undefined ? null : encodeXattrValue(xattr.value, encoding),
  }))
  answerJson(exchange, { XAttrs: list })
}

export const setXAttr: Operation = async (exchange) => {
  const { client, path: src, parameters } = exchange
  const name = nameOf(exchange, 'SETXATTR')
  const flags = parameters.words('flag', setFlags)
  const value = Uint8Array.from(decodeXattrValue(parameters.text('xattr.value') ?? ''))
  const create = flags.has('CREATE') ? xAttrSetFlags.XATTR_CREATE : 0
  const replace = flags.has('REPLACE') ? xAttrSetFlags.XATTR_REPLACE : 0
  await client.callNamenode('setXAttr', { src, xAttr: { ...name, value }, flag: create | replace })
  answerNothing(exchange)
}

export const removeXAttr: Operation = async (exchange) => {
  const { client, path: src } = exchange
  await client.callNamenode('removeXAttr', { src, xAttr: nameOf(exchange, 'REMOVEXATTR') })
  answerNothing(exchange)
}

function nameOf({ parameters }: Exchange, operation: string): ReturnType<typeof parseXattrName> {
  return checkedName(parameters.required('xattr.name', operation))
}

const namePattern = /^(user\.|trusted\.|system\.|security\.|raw\.).+/

function checkedName(name: string): ReturnType<typeof parseXattrName> {
  if (namePattern.test(name)) return parseXattrName(name)
  const domain = namePattern.source
  throw invalid('xattr.name', `Invalid value: "${name}" does not belong to the domain ${domain}`)
}
