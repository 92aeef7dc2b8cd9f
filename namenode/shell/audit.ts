/**
 * The audit log: one line for each operation on the namespace, with HDFS's words and in HDFS's order. It goes into the process's own
 * log as fields, or into a file of its own as the lines that HDFS's log4j configuration makes.
 */
import { renameSync, rmSync, statSync } from 'node:fs'
import type { Logger } from '../../base/log.ts'
import { bufferedFile, type LogFile } from '../../transport/logger.ts'
import type { Request } from '../core/requests.ts'

/** What is known of one operation. */
export interface AuditRecord {
  readonly isAllowed: boolean
  readonly user: string
  /** Who acts on the user's behalf. */
  readonly realUser: string | undefined
  /** Address of the client. */
  readonly host: string
  readonly command: string
  readonly source: string | undefined
  readonly target: string | undefined
  /** Owner, group and mode afterwards. */
  readonly permission: string | undefined
  /** What the client said about the reason, or the request, it acts for. */
  readonly callerContext: string | undefined
}

export type AuditSink = (record: AuditRecord) => void

/** HDFS's name of each operation that its audit log has; the others are steps of these. */
const commands: Partial<Record<Request['kind'], string>> = {
  getFileInfo: 'getfileinfo',
  getListing: 'listStatus',
  getBlockLocations: 'open',
  isFileClosed: 'isFileClosed',
  checkAccess: 'checkAccess',
  mkdirs: 'mkdirs',
  create: 'create',
  append: 'append',
  truncate: 'truncate',
  concat: 'concat',
  splice: 'splice',
  delete: 'delete',
  rename: 'rename',
  rename2: 'rename',
  recoverLease: 'recoverLease',
  setPermission: 'setPermission',
  setOwner: 'setOwner',
  setTimes: 'setTimes',
  setReplication: 'setReplication',
  modifyAclEntries: 'modifyAclEntries',
  removeAclEntries: 'removeAclEntries',
  removeDefaultAcl: 'removeDefaultAcl',
  removeAcl: 'removeAcl',
  setAcl: 'setAcl',
  getAclStatus: 'getAclStatus',
  setXAttr: 'setXAttr',
  removeXAttr: 'removeXAttr',
  getXAttrs: 'getXAttrs',
  listXAttrs: 'listXAttrs',
  createSymlink: 'createSymlink',
  getLinkTarget: 'getLinkTarget',
  // HDFS has no calls for these: what they are called there where there is something like it.
  makeNode: 'makeNode',
  link: 'link',
  removeEntry: 'delete',
  renameEntry: 'rename',
  setAttributes: 'setAttributes',
}

/** The name under which a successful operation is audited, if it is. */
export function auditedCommand(request: Request): string | undefined {
  if (request.kind !== 'rename2') return commands[request.kind]
  const options = [
    ...(request.overwrite ? ['OVERWRITE'] : []),
    ...(request.toTrash ? ['TO_TRASH'] : []),
  ]
  return `rename (options=[${options.length === 0 ? 'NONE' : options.join(', ')}])`
}

/** The name of an operation in `dfs.namenode.audit.log.debug.cmdlist`. */
export function commandName(kind: Request['kind']): string {
  return commands[kind] ?? kind
}

/** Source and target of a request, as HDFS's audit log has them: the sources of a concat are a list in front. */
export function auditedPaths(request: Request): { source?: string; target?: string } {
  if (request.kind === 'link') return { source: request.source, target: request.path }
  if (request.kind === 'createSymlink') return { source: request.path, target: request.target }
  if ('source' in request) return { source: request.source, target: request.target }
  if (request.kind === 'concat') {
    return { source: `[${request.sources.join(', ')}]`, target: request.path }
  }
  if (request.kind === 'splice') {
    return { ...(request.taken !== undefined && { source: request.taken }), target: request.path }
  }
  return 'path' in request ? { source: request.path } : {}
}

const modeLetters = ['r', 'w', 'x', 'r', 'w', 'x', 'r', 'w', 'x'] as const

/** `owner:group:rw-r--r--`, as HDFS writes what a file has after an operation. */
export function auditedPermission(inode: {
  readonly owner: string
  readonly group: string
  readonly mode: number
}): string {
  const bits = modeLetters.map((letter, index) => ((inode.mode >> (8 - index)) & 1 ? letter : '-'))
  return `${inode.owner}:${inode.group}:${bits.join('')}`
}

/** `allowed=true⇥ugi=…⇥ip=/…⇥cmd=…⇥src=…⇥dst=…⇥perm=…⇥proto=rpc`; nothing in it can end a field or the line. */
export function auditText(record: AuditRecord): string {
  const { isAllowed, user, realUser, host, command, source, target, permission } = record
  const via = realUser === undefined ? '' : ` via ${escaped(realUser)} (auth:SIMPLE)`
  const method = realUser === undefined ? 'SIMPLE' : 'PROXY'
  const context =
    record.callerContext === undefined ? '' : `\tcallerContext=${escaped(record.callerContext)}`
  return (
    `allowed=${isAllowed}\tugi=${escaped(user)} (auth:${method})${via}\tip=/${host}\tcmd=${command}` +
    `\tsrc=${textOf(source)}\tdst=${textOf(target)}\tperm=${textOf(permission)}\tproto=rpc${context}`
  )
}

function textOf(value: string | undefined): string {
  return value === undefined ? 'null' : escaped(value)
}

/** Control characters, separators of lines, halves of surrogate pairs, and what begins an escape. */
const unsafe = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\\]/u
const everyUnsafe = new RegExp(unsafe, 'gu')

/** As a Java string literal has it: names may hold tabs and ends of lines, and must not forge fields with them. */
function escaped(text: string): string {
  return unsafe.test(text) ? text.replaceAll(everyUnsafe, escapedCharacter) : text
}

const shortEscapes = new Map([
  ['\\', '\\\\'],
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
])

function escapedCharacter(character: string): string {
  const short = shortEscapes.get(character)
  if (short !== undefined) return short
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Into the process's own log. */
export function auditToLog(logger: Logger): AuditSink {
  const audit = logger.child({ part: 'audit' })
  return ({
    isAllowed,
    user,
    realUser,
    host,
    command,
    source,
    target,
    permission,
    callerContext,
  }) => {
    audit.info('audit', {
      ...{ allowed: isAllowed, ugi: user, via: realUser, ip: host, cmd: command, src: source },
      ...{ dst: target, perm: permission, proto: 'rpc', callerContext },
    })
  }
}

/** Older files kept beside the one that is written. */
export const auditFilesKept = 4

/** Into a file of its own, which is set aside as `FILE.1`, `FILE.2`, … when it has grown to `bytesMax`. */
export class AuditFile {
  readonly #path: string
  readonly #bytesMax: number
  readonly #file: LogFile
  #bytes: number

  /** @throws when the file cannot be opened */
  constructor(path: string, bytesMax: number) {
    this.#path = path
    this.#bytesMax = bytesMax
    this.#file = bufferedFile(path)
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  }

  readonly write: AuditSink = (record) => {
    const time = new Date().toISOString().slice(0, 23).replace('T', ' ').replace('.', ',')
    const line = `${time} INFO FSNamesystem.audit: ${auditText(record)}\n`
    this.#bytes += Buffer.byteLength(line)
    this.#file.write(line)
    if (this.#bytes >= this.#bytesMax) this.#setAside()
  }

  /** Writes what is gathered, and closes. */
  close(): void {
    this.#file.close()
  }

  #setAside(): void {
    this.#file.flush()
    rmSync(`${this.#path}.${auditFilesKept}`, { force: true })
    for (let number = auditFilesKept - 1; number >= 0; number -= 1) {
      const older = number === 0 ? this.#path : `${this.#path}.${number}`
      if (statSync(older, { throwIfNoEntry: false }) === undefined) continue
      renameSync(older, `${this.#path}.${number + 1}`)
    }
    this.#file.reopen()
    this.#bytes = 0
  }
}
