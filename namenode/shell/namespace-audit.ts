import { isDfsError } from '../../protocol/errors.ts'
import type { RpcCall } from '../../transport/rpc-server.ts'
import type { Caller, FileStatusView, Request } from '../core/requests.ts'
import {
  type AuditSink,
  auditedCommand,
  auditedPaths,
  auditedPermission,
  commandName,
} from './audit.ts'
import type { Namenode } from './namenode.ts'

/** Operations after which HDFS's audit log shows owner, group and mode, though their replies do not. */
const showsPermission = new Set<Request['kind']>([
  'mkdirs',
  'rename',
  'rename2',
  'concat',
  'splice',
  'truncate',
  'setPermission',
  'setOwner',
  'setTimes',
  'modifyAclEntries',
  'removeAclEntries',
  'removeDefaultAcl',
  'removeAcl',
  'setAcl',
  'setXAttr',
  'removeXAttr',
])

const auditor: Caller = { user: '', groups: [], isSuperuser: true, host: '' }

/** Tells the audit log what clients did, and what they were denied. */
export class NamespaceAudit {
  readonly #namenode: Namenode
  readonly #sink: AuditSink
  readonly #quiet: ReadonlySet<string>

  /** @param quietCommands HDFS's names of commands that are left out unless they are denied */
  constructor(namenode: Namenode, sink: AuditSink, quietCommands: readonly string[]) {
    this.#namenode = namenode
    this.#sink = sink
    this.#quiet = new Set(quietCommands)
  }

  /** An operation is over and durable. */
  done(call: RpcCall, request: Request, reply: unknown): void {
    if (this.#quiet.has(commandName(request.kind))) return
    const command = auditedCommand(request)
    if (command === undefined) return
    const isAllowed = reply !== false || request.kind === 'isFileClosed'
    if (!isAllowed || !showsPermission.has(request.kind)) {
      const permission = isStatus(reply) ? auditedPermission(reply.inode) : undefined
      this.#write(call, request, { isAllowed, command, permission })
      return
    }
    const { source, target = source ?? '' } = auditedPaths(request)
    const write = (status: FileStatusView | undefined): void => {
      const permission = status === undefined ? undefined : auditedPermission(status.inode)
      this.#write(call, request, { isAllowed, command, permission })
    }
    const status = this.#statusOf(target)
    if (status instanceof Promise) status.then(write, () => write(undefined))
    else write(status)
  }

  /** An operation failed; only denials are audited. */
  failed(call: RpcCall, request: Request, error: unknown): void {
    if (!isDfsError(error, 'PERMISSION_DENIED', 'NOT_PERMITTED')) return
    const command = auditedCommand(request) ?? request.kind
    this.#write(call, request, { isAllowed: false, command, permission: undefined })
  }

  #statusOf(path: string): FileStatusView | undefined | Promise<FileStatusView | undefined> {
    try {
      return this.#namenode.execute(auditor, { kind: 'getFileInfo', path })
    } catch {
      // It is gone already, or its name means something else by now.
      return undefined
    }
  }

  #write(
    call: RpcCall,
    request: Request,
    result: {
      readonly isAllowed: boolean
      readonly command: string
      readonly permission: string | undefined
    },
  ): void {
    const { source, target } = auditedPaths(request)
    this.#sink({
      ...result,
      ...{ user: call.user, realUser: call.realUser, host: call.connection.remoteAddress },
      ...{ source, target, callerContext: call.callerContext },
    })
  }
}

function isStatus(reply: unknown): reply is FileStatusView {
  return typeof reply === 'object' && reply !== null && 'inode' in reply
}
