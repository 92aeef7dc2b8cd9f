/** modifyAclEntries, removeAclEntries, removeDefaultAcl, removeAcl and setAcl: mode and ACL of one row change. */
import { DfsError, isDfsError } from '../../../protocol/errors.ts'
import {
  type AclFields,
  aclFields,
  modeWithoutAcl,
  modifiedAcl,
  reducedAcl,
  replacedAcl,
  withoutDefaultAcl,
} from '../acl-transformation.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { answer, type Plan } from '../outcome.ts'
import { requireOwner } from '../permissions.ts'
import type { Request } from '../requests.ts'
import { existing } from './get-file-info.ts'

type Of<Kind extends Request['kind']> = Request & { readonly kind: Kind }

export type AclChange = Of<
  'modifyAclEntries' | 'removeAclEntries' | 'removeDefaultAcl' | 'removeAcl' | 'setAcl'
>

/** Owner or superuser only. */
export function changeAcl(context: Context, request: AclChange): Plan<undefined> {
  const { path } = request
  const row = existing(context, path)
  requireOwner(context.caller, row, () => path)
  const fields = namingPath(path, () => fieldsAfter(row, request))
  if (fields.mode === row.mode && fields.acl?.text === row.acl?.text) return answer(undefined)
  const draft = new Draft(context.nextIds)
  draft.putInode({ ...row, ...fields, ctime: context.wall })
  return draft.plan(undefined)
}

/** HDFS says behind a refusal which path it was about, and tools show its message alone. */
function namingPath<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (!isDfsError(error, 'ACL_INVALID')) throw error
    throw new DfsError('ACL_INVALID', `${error.message} Path: ${path}`, { path, cause: error })
  }
}

function fieldsAfter(row: InodeRow, request: AclChange): AclFields {
  const { path } = request
  switch (request.kind) {
    case 'modifyAclEntries':
      return aclFields(row, modifiedAcl(row, request.entries), path)
    case 'removeAclEntries':
      return aclFields(row, reducedAcl(row, request.entries), path)
    case 'removeDefaultAcl':
      return aclFields(row, withoutDefaultAcl(row), path)
    case 'removeAcl':
      return { mode: modeWithoutAcl(row), acl: undefined }
    case 'setAcl':
      if (request.entries.length === 0) return { mode: modeWithoutAcl(row), acl: undefined }
      return aclFields(row, replacedAcl(row, request.entries), path)
  }
}

/** The row itself: its mode and its ACL say everything. */
export function getAclStatus(context: Context, { path }: Of<'getAclStatus'>): Plan<InodeRow> {
  return answer(existing(context, path))
}
