/** Replies of at-most-once methods as the retry cache and the journal keep them. */
import type { AppendedView, CachedReply, FileStatusView, ReplyByKind, Request } from './requests.ts'

/** The form in which the reply of each at-most-once method is kept. */
const keptForms: Partial<Record<Request['kind'], CachedReply['kind']>> = {
  append: 'appended',
  // HDFS lets it happen again; a late copy of one could then close a file that its writer has opened for append since.
  complete: 'boolean',
  concat: 'void',
  create: 'file-status',
  createSymlink: 'void',
  delete: 'boolean',
  link: 'file-status',
  makeNode: 'file-status',
  removeEntry: 'void',
  rename: 'boolean',
  removeXAttr: 'void',
  rename2: 'void',
  setXAttr: 'void',
  splice: 'void',
  renameEntry: 'void',
  updatePipeline: 'void',
}

/** True when a reply of this form can be that of `kind`. A client may reuse the id of a call for another method. */
export function canAnswer(kind: Request['kind'], reply: CachedReply): boolean {
  return keptForms[kind] === reply.kind
}

/** What to store beside a transaction; undefined for methods that may simply be repeated. */
export function toCachedReply<Kind extends Request['kind']>(
  kind: Kind,
  reply: ReplyByKind[Kind],
): CachedReply | undefined {
  const form = keptForms[kind]
  if (form === undefined) return undefined
  if (form === 'void') return { kind: form }
  if (form === 'boolean') return { kind: form, value: reply === true }
  if (form === 'appended') {
    const { status, block } = reply as AppendedView
    return { kind: form, status: withoutXattrs(status), block }
  }
  const status = withoutXattrs(reply as FileStatusView)
  return { kind: form, inodeId: status.inode.id, status }
}

/** No answer shows them, and they may be long. */
function withoutXattrs(status: FileStatusView): FileStatusView {
  const { inode } = status
  return inode.xattrs === undefined ? status : { ...status, inode: { ...inode, xattrs: undefined } }
}
