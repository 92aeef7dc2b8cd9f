import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { EncodableResponseOf } from '../../protocol/message.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { AppendedView } from '../core/requests.ts'
import type { Namenode } from './namenode.ts'
import { type ViewSource, wireFileStatus, wireLocatedBlock } from './wire-views.ts'

/** A repeated append waits that long for a datanode that is on its way back after a start. */
const returningDatanodesMs = 10_000

type AppendReply = EncodableResponseOf<typeof clientNamenodeProtocol, 'append'>

/**
 * A repeated append gets its first answer, also when the namenode has started in between; then its datanodes
 * may still be on their way back, and without a location the answer would be of no use.
 */
export function appendReply(
  context: ViewSource & { readonly namenode: Pick<Namenode, 'waits'> },
  { status, block: last }: AppendedView,
): AppendReply | Promise<AppendReply> {
  const stat = wireFileStatus(context, status)
  if (last === undefined) return { stat }
  const isKnown = (): boolean =>
    last.locations.length === 0 ||
    last.locations.some(({ datanode }) => context.datanode(datanode) !== undefined)
  if (isKnown()) return { block: wireLocatedBlock(context, last), stat }
  return new Promise((resolve, reject) => {
    const wait = (): void => {
      context.namenode.waits.wait([last.block.id], returningDatanodesMs, (isLastTry) => {
        if (isKnown()) resolve({ block: wireLocatedBlock(context, last), stat })
        else if (!isLastTry) wait()
        else reject(noDatanodeBack(last.block.id))
      })
    }
    wait()
  })
}

function noDatanodeBack(id: BlockId): DfsError {
  return new DfsError(
    'RETRIABLE',
    `No datanode of the pipeline of block ${id} has registered since the namenode started: ask again`,
    { blockId: id },
  )
}
