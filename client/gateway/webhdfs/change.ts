/** The PUT, POST and DELETE operations that the namenode answers. */
import { DfsError } from '../../../protocol/errors.ts'
import { answerBoolean, answerNothing, type Operation } from './exchange.ts'
import { refused, type Words } from './parameters.ts'

/** -1 in an unsigned field: leave a time as it is. */
const unchanged = 2n ** 64n - 1n

const renameOptions: Words<'NONE' | 'OVERWRITE' | 'TO_TRASH'> = {
  words: ['NONE', 'OVERWRITE', 'TO_TRASH'],
  javaType: 'org.apache.hadoop.fs.Options$Rename',
}

export const mkdirs: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  const perm = parameters.permission('permission') ?? 0o755
  const unmasked = parameters.permission('unmaskedpermission') ?? perm
  const { result } = await client.callNamenode('mkdirs', {
    src: path,
    masked: { perm },
    unmasked: { perm: unmasked },
    createParent: true,
  })
  answerBoolean(exchange, result)
}

/** Without `renameoptions` the older call: into a directory that exists, and false instead of most errors. */
export const rename: Operation = async (exchange) => {
  const { caller, client, path: src, parameters } = exchange
  parameters.required('destination', 'RENAME')
  const dst = parameters.path('destination') ?? '/'
  caller.require(dst, 'write')
  const options = parameters.words('renameoptions', renameOptions)
  if (options.size === 0) {
    const { result } = await client.callNamenode('rename', { src, dst })
    answerBoolean(exchange, result)
    return
  }
  const overwriteDest = options.has('OVERWRITE')
  const moveToTrash = options.has('TO_TRASH')
  await client.callNamenode('rename2', { src, dst, overwriteDest, moveToTrash })
  answerNothing(exchange)
}

export const setReplication: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  const wanted = parameters.short('replication', { min: 1 })
  const replication = wanted ?? (await client.serverDefaults()).replication
  answerBoolean(exchange, await client.setReplication(path, replication))
}

export const setOwner: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  const owner = parameters.user('owner')
  const group = parameters.text('group')
  if (owner === undefined && group === undefined) throw refused('Both owner and group are empty.')
  await client.chown(path, owner, group)
  answerNothing(exchange)
}

export const setPermission: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  await client.chmod(path, parameters.permission('permission') ?? 0o755)
  answerNothing(exchange)
}

export const setTimes: Operation = async (exchange) => {
  const { client, path: src, parameters } = exchange
  const mtime = timeOf(parameters.long('modificationtime', { min: -1 }))
  const atime = timeOf(parameters.long('accesstime', { min: -1 }))
  await client.callNamenode('setTimes', { src, mtime, atime })
  answerNothing(exchange)
}

function timeOf(ms: number | undefined): bigint {
  return ms === undefined || ms === -1 ? unchanged : BigInt(ms)
}

export const concat: Operation = async (exchange) => {
  const { caller, client, path, parameters } = exchange
  const sources = parameters.required('sources', 'CONCAT').split(',')
  const relative = sources.find((source) => !source.startsWith('/'))
  if (relative !== undefined) {
    throw new DfsError('INVALID_PATH', `Invalid path name ${relative}: need an absolute path`)
  }
  for (const source of sources) caller.require(source, 'write')
  await client.callNamenode('concat', { trg: path, srcs: sources })
  answerNothing(exchange)
}

/** False while the last block is still being cut. */
export const truncate: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  parameters.required('newlength', 'TRUNCATE')
  const length = parameters.long('newlength', { min: 0 }) ?? 0
  answerBoolean(exchange, await client.truncate(path, length, { wait: false }))
}

export const deletePath: Operation = async (exchange) => {
  const { client, path, parameters } = exchange
  const recursive = parameters.boolean('recursive', false)
  const { result } = await client.callNamenode('delete', { src: path, recursive })
  answerBoolean(exchange, result)
}
