/** fsync: the client has flushed its last block up to a length that readers may count on. */
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
