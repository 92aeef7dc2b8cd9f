import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { EncodableRequestOf } from '../../protocol/message.ts'
import type { posixProtocol } from '../../protocol/messages/posix.ts'
import type { SimClient } from './sim-client.ts'

/** Every byte of a file, in one question. */
const wholeFile = 2n ** 63n - 1n

/** A splice by chance, and the bytes `[start, end)` of the target that it takes out. */
export interface DrawnSplice {
  readonly request: EncodableRequestOf<typeof posixProtocol, 'splice'>
  readonly start: number
  readonly end: number
  readonly blocksAfter: number
  /** A block is named with a stamp that it does not have. */
  readonly isStale: boolean
}

/**
 * Draws which blocks of `target` give way to all of `source`. Now and then it names a stamp that the block does not have, which
 * has to be refused and to change nothing.
 *
 * @returns undefined when one of them cannot be looked at now
 */
export async function drawSplice(
  client: SimClient,
  target: string,
  source: string,
): Promise<DrawnSplice | undefined> {
  const { prng } = client
  try {
    const before = await blocksOf(client, target)
    const taken = await blocksOf(client, source)
    const { fs } = await client.call('getFileInfo', { src: target })
    if (fs === undefined || taken.length === 0) return undefined
    const index = prng.below(before.length + 1)
    const removed = before.slice(index, index + prng.below(3))
    const start = sumOf(before.slice(0, index))
    const isStale = removed.length > 0 && prng.chance(1, 10)
    const edit = {
      offset: start,
      removed: removed.map(({ blockId, generationStamp }) => ({
        blockId,
        generationStamp: isStale ? generationStamp - 1 : generationStamp,
      })),
      takes: taken.length,
    }
    return {
      request: { src: target, fileId: fs.fileId, taken: source, edits: [edit] },
      ...{ start, isStale },
      end: start + sumOf(removed),
      blocksAfter: before.length - removed.length + taken.length,
    }
  } catch (error) {
    if (!isDfsError(error)) throw error
    return undefined
  }
}

async function blocksOf(client: SimClient, src: string) {
  const request = { src, offset: 0, length: wholeFile }
  const { locations } = await client.call('getBlockLocations', request)
  if (locations === undefined) throw new DfsError('FILE_NOT_FOUND', `No file "${src}"`)
  return locations.blocks.map(({ b }) => b)
}

function sumOf(blocks: readonly { readonly numBytes: number }[]): number {
  return blocks.reduce((sum, { numBytes }) => sum + numBytes, 0)
}
