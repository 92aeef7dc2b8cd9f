/** getBlockPath: from a block to the file it belongs to, for whoever knows the block alone. */
import type { Context } from '../context.ts'
import { answer, type Plan } from '../outcome.ts'
import type { Request } from '../requests.ts'
import { livingPath } from '../resolve.ts'

/** A path of the file that a block belongs to; nothing when it belongs to none, or to one that is deleted. */
export function getBlockPath(
  { rows }: Context,
  { block }: Request & { readonly kind: 'getBlockPath' },
): Plan<string | undefined> {
  const file = rows.block(block)?.file
  return answer(file && livingPath(rows, file))
}
