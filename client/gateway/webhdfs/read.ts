/** The GET operations that the namenode answers. */
import { DfsError } from '../../../protocol/errors.ts'
import type { NamenodeReply } from '../../index.ts'
import { answerJson, answerNothing, type Exchange, type Operation } from './exchange.ts'
import { type Json, jsonText } from './json.ts'
import { invalid } from './parameters.ts'
import * as views from './views.ts'

const longMax = 2n ** 63n - 1n
const noStart = new Uint8Array()

export const getFileStatus: Operation = async (exchange) => {
  const { client, path } = exchange
  const { fs } = await client.callNamenode('getFileInfo', { src: path })
  if (fs === undefined) throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`)
  answerJson(exchange, { FileStatus: views.fileStatusView(fs) })
}

export const getFileLinkStatus: Operation = async (exchange) => {
  const { client, path } = exchange
  const { fs } = await client.callNamenode('getFileLinkInfo', { src: path })
  if (fs === undefined) throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`)
  answerJson(exchange, { FileStatus: views.fileStatusView(fs) })
}

/** Streams the listing page by page, so that its size does not matter. */
export const listStatus: Operation = async (exchange) => {
  const { response, request } = exchange
  let page = await listingPage(exchange, noStart)
  response.type('application/json')
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  response.write('{"FileStatuses":{"FileStatus":[')
  let separator = ''
  for (;;) {
    const { partialListing, remainingEntries } = page
    for (const status of partialListing) {
      await written(response, separator + jsonText(views.fileStatusView(status)))
      separator = ','
    }
    const last = partialListing.at(-1)
    if (last === undefined || remainingEntries === 0) break
    page = await listingPage(exchange, Uint8Array.from(last.path))
  }
  response.end(']}}')
}

/** Returns when the client took enough of what was written; throws when it is gone. */
async function written(response: Exchange['response'], text: string): Promise<void> {
  if (response.write(text)) return
  await new Promise<void>((resolve, reject) => {
    const settle = (): void => {
      response.off('drain', settle).off('close', settle)
      if (response.destroyed) reject(new DfsError('ABORTED', 'The client went away'))
      else resolve()
    }
    response.on('drain', settle).on('close', settle)
  })
}

export const listStatusBatch: Operation = async (exchange) => {
  const startAfter = Buffer.from(exchange.parameters.text('startafter') ?? '')
  const { partialListing, remainingEntries } = await listingPage(exchange, startAfter)
  const statuses = partialListing.map(views.fileStatusView)
  const listing = { FileStatuses: { FileStatus: statuses } }
  answerJson(exchange, { DirectoryListing: { partialListing: listing, remainingEntries } })
}

async function listingPage(
  { client, path }: Exchange,
  startAfter: Uint8Array,
): Promise<NonNullable<NamenodeReply<'getListing'>['dirList']>> {
  const request = { src: path, startAfter, needLocation: false }
  const { dirList } = await client.callNamenode('getListing', request)
  if (dirList !== undefined) return dirList
  throw new DfsError('FILE_NOT_FOUND', `File ${path} does not exist.`, { path })
}

export const getContentSummary: Operation = async (exchange) => {
  const { client, path } = exchange
  const { summary } = await client.callNamenode('getContentSummary', { path })
  answerJson(exchange, { ContentSummary: views.contentSummaryView(summary) })
}

export const getQuotaUsage: Operation = async (exchange) => {
  const { client, path } = exchange
  const reply = await client.callNamenode('getQuotaUsage', { path })
  answerJson(exchange, { QuotaUsage: views.quotaUsageView(reply) })
}

export const getHomeDirectory: Operation = (exchange) => {
  answerJson(exchange, { Path: `/user/${exchange.client.user}` })
  return Promise.resolve()
}

export const getTrashRoot: Operation = (exchange) => {
  answerJson(exchange, { Path: exchange.client.trash.root })
  return Promise.resolve()
}

/** Trash directories that exist: this user's, or with `allusers` everybody's. */
export const getTrashRoots: Operation = async (exchange) => {
  const { caller, client, parameters } = exchange
  const allUsers = parameters.boolean('allusers', false)
  const roots = allUsers ? await homesOf(exchange) : [client.trash.root]
  const found: Json[] = []
  for (const path of roots.filter((root) => caller.allows(root, 'read'))) {
    const { fs } = await client.callNamenode('getFileInfo', { src: path })
    if (fs !== undefined) found.push(trashRootView(path, fs))
  }
  answerJson(exchange, { Paths: found })
}

/** Where everybody's trash would be. */
async function homesOf({ client }: Exchange): Promise<string[]> {
  const roots: string[] = []
  if (!(await client.exists('/user'))) return roots
  for await (const home of client.opendir('/user')) {
    if (home.isDirectory()) roots.push(`${home.path}/.Trash`)
  }
  return roots
}

/** A FileStatus as Jackson writes it, with names of its own. */
function trashRootView(
  path: string,
  status: NonNullable<NamenodeReply<'getFileInfo'>['fs']>,
): Json {
  return {
    access_time: status.access_time,
    block_replication: status.block_replication,
    blocksize: status.blocksize,
    group: status.group,
    isdir: status.fileType === 'IS_DIR',
    length: status.length,
    modification_time: status.modification_time,
    owner: status.owner,
    path,
    permission: status.permission.perm.toString(8),
  }
}

/** Tokens belong to Kerberos; a cluster without it gives none. */
export const getDelegationToken: Operation = async (exchange) => {
  const { client, parameters } = exchange
  const renewer = parameters.text('renewer') ?? client.user
  const { token } = await client.callNamenode('getDelegationToken', { renewer })
  answerJson(exchange, {
    Token: token === undefined ? null : { urlString: views.tokenText(token) },
  })
}

async function locations(
  exchange: Exchange,
): Promise<NonNullable<NamenodeReply<'getBlockLocations'>['locations']>> {
  const { client, path, parameters } = exchange
  const offset = parameters.long('offset', { min: 0 }) ?? 0
  const wanted = parameters.long('length', { min: 0 })
  const length = wanted === undefined ? longMax : BigInt(wanted)
  const reply = await client.callNamenode('getBlockLocations', { src: path, offset, length })
  if (reply.locations !== undefined) return reply.locations
  throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
}

export const getBlockLocations: Operation = async (exchange) => {
  answerJson(exchange, { LocatedBlocks: views.locatedBlocksView(await locations(exchange)) })
}

export const getFileBlockLocations: Operation = async (exchange) => {
  const { blocks } = await locations(exchange)
  answerJson(exchange, { BlockLocations: { BlockLocation: blocks.map(views.blockLocationView) } })
}

const rights = new Map([
  ['---', 'NONE'],
  ['--x', 'EXECUTE'],
  ['-w-', 'WRITE'],
  ['-wx', 'WRITE_EXECUTE'],
  ['r--', 'READ'],
  ['r-x', 'READ_EXECUTE'],
  ['rw-', 'READ_WRITE'],
  ['rwx', 'PERM_ALL'],
] as const)

export const checkAccess: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  const text = parameters.required('fsaction', 'CHECKACCESS')
  const mode = [...rights].find(([name]) => name === text)?.[1]
  if (mode === undefined) {
    const domain = '[r-][w-][x-]'
    throw invalid('fsaction', `Invalid value: "${text}" does not belong to the domain ${domain}`)
  }
  await client.callNamenode('checkAccess', { path, mode })
  answerNothing(exchange)
}

export const getAllStoragePolicy: Operation = async (exchange) => {
  const { policies } = await exchange.client.callNamenode('getStoragePolicies', {})
  const list = policies.map(views.storagePolicyView)
  answerJson(exchange, { BlockStoragePolicies: { BlockStoragePolicy: list } })
}

export const getStoragePolicy: Operation = async (exchange) => {
  const { client, path } = exchange
  const { storagePolicy } = await client.callNamenode('getStoragePolicy', { path })
  answerJson(exchange, { BlockStoragePolicy: views.storagePolicyView(storagePolicy) })
}

export const getServerDefaults: Operation = async (exchange) => {
  const reply = await exchange.client.callNamenode('getServerDefaults', {})
  answerJson(exchange, { FsServerDefaults: views.serverDefaultsView(reply) })
}

export const getStatus: Operation = async (exchange) => {
  const { capacity, used, remaining } = await exchange.client.statfs()
  answerJson(exchange, { FsStatus: { capacity, remaining, used } })
}

export const getLinkTarget: Operation = async (exchange) => {
  const { client, path } = exchange
  const { targetPath } = await client.callNamenode('getLinkTarget', { path })
  answerJson(exchange, { Path: targetPath })
}

/** The probes that HDFS's clients make of features that are not in use. */
export const getSnapshottableDirectoryList: Operation = async (exchange) => {
  await exchange.client.callNamenode('getSnapshottableDirListing', {})
  answerJson(exchange, { SnapshottableDirectoryList: null })
}

export const getEcPolicies: Operation = (exchange) => {
  answerJson(exchange, { ErasureCodingPolicies: { ErasureCodingPolicyInfo: [] } })
  return Promise.resolve()
}

export const getEcCodecs: Operation = (exchange) => {
  answerJson(exchange, { ErasureCodingCodecs: {} })
  return Promise.resolve()
}
