/** getBlockPath: from a block to the file it belongs to, for whoever knows the block alone. */
import type { Context } from '../context.ts'
import { answer, type Plan } from '../outcome.ts'
import type { Request } from '../requests.ts'
import { pathOfRows } from '../resolve.ts'

/** The path of the file that a block belongs to; nothing when it belongs to none, or to one that is deleted. */
export function getBlockPath(
  { rows }: Context,
  { block }: Request & { readonly kind: 'getBlockPath' },
): Plan<string | undefined> {
  const file = rows.block(block)?.file
  const ancestors = file && rows.ancestors(file)
  return answer(file && ancestors && pathOfRows([...ancestors, file]))
}
