/**
 * Small requests of a writer. fsync: the client has flushed its last block up to a length that readers may
 * count on. checkWriter: the check that stands before what changes no row (getAdditionalDatanode).
 */
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { leasedFile } from '../lease-checks.ts'
import { answer, type Plan } from '../outcome.ts'
import type { Request } from '../requests.ts'

/** A length not above the known one, or -1, changes nothing. */
export function fsync(
  context: Context,
  request: Request & { readonly kind: 'fsync' },
): Plan<undefined> {
  const file = leasedFile(context, request)
  const last = context.rows.blocks(file.id).at(-1)
  const length = request.lastBlockLength
  if (last?.state !== 'under-construction' || length <= last.length) return answer(undefined)
  const draft = new Draft(context.nextIds)
  draft.putInode({ ...file, length: file.length + length - last.length })
  draft.putBlock(file, { ...last, length })
  return draft.plan(undefined)
}

/** @throws {@link DfsError} FILE_NOT_FOUND, LEASE_EXPIRED as every request of a writer. */
export function checkWriter(
  context: Context,
  request: Request & { readonly kind: 'checkWriter' },
): Plan<undefined> {
  leasedFile(context, request)
  return answer(undefined)
}
