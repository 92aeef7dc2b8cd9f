/**
 * storeDigests: the replicas of complete blocks agree on digests that their rows do not have. Blocks that
 * are gone or were written again meanwhile are skipped; what is put is what the digest was found for.
 */
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import type { Plan } from '../outcome.ts'
import type { Request } from '../requests.ts'
import { MissCollector } from '../row-miss.ts'

export function storeDigests(
  context: Context,
  request: Request & { readonly kind: 'storeDigests' },
): Plan<undefined> {
  const draft = new Draft(context.nextIds)
  const misses = new MissCollector()
  for (const { id, generationStamp, digest } of request.digests) {
    const found = misses.attempt(() => context.rows.block(id))
    if (found === undefined) continue
    const { block, file } = found
    const isCurrent = block.state === 'complete' && block.generationStamp === generationStamp
    if (isCurrent && block.digest !== digest) draft.putBlock(file, { ...block, digest })
  }
  misses.raise()
  return draft.plan(undefined)
}
