/** Replies of at-most-once methods as the retry cache and the journal keep them. */
import type { CachedReply, FileStatusView, ReplyByKind, Request } from './requests.ts'

/** What to store beside a transaction; undefined for methods that may simply be repeated. */
export function toCachedReply<Kind extends Request['kind']>(
  kind: Kind,
  reply: ReplyByKind[Kind],
): CachedReply | undefined {
  switch (kind) {
    case 'create': {
      const status = reply as FileStatusView
      return { kind: 'file-status', inodeId: status.inode.id, status }
    }
    case 'delete':
    case 'rename':
      return { kind: 'boolean', value: reply === true }
    case 'rename2':
    case 'updatePipeline':
      return { kind: 'void' }
    default:
      return undefined
  }
}
