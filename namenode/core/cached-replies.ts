/** Replies of at-most-once methods as the retry cache and the journal keep them. */
import type { CachedReply, FileStatusView, ReplyByKind, Request } from './requests.ts'

/** What to store beside a transaction; undefined for methods that may simply be repeated. */
export function toCachedReply<Kind extends Request['kind']>(
  kind: Kind,
  reply: ReplyByKind[Kind],
): CachedReply | undefined {
  if (kind === 'create') {
    const status = reply as FileStatusView
    return { kind: 'file-status', inodeId: status.inode.id, status }
  }
  if (kind === 'delete' || kind === 'rename') return { kind: 'boolean', value: reply === true }
  if (kind === 'rename2' || kind === 'updatePipeline') return { kind: 'void' }
  return undefined
}
