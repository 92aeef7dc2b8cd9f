import { tryDecodeDelimited } from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { encodeDelimited } from '../../protocol/message.ts'
import {
  blockOpResponse,
  clientReadStatus,
  type OpReadBlock,
} from '../../protocol/messages/data-transfer.ts'
import type { ChecksumType as WireChecksumType } from '../../protocol/messages/hdfs-blocks.ts'
import type { ChecksumType } from '../../protocol/states.ts'
import { planRead } from '../core/block-sender.ts'
import { sendBlock } from './block-stream.ts'
import type { ByteSink } from './exact-reader.ts'
import type { StoredReplica } from './replica-reader.ts'
import type { TransferConnection } from './transfer-connection.ts'

/** How long a read waits for bytes that a writer is known to have sent, in polls. */
const waitForBytesMs = 3000
const waitStepMs = 20

/** Names of the checksum types on the wire. */
export const wireChecksumTypes: Readonly<Record<ChecksumType, WireChecksumType>> = {
  null: 'CHECKSUM_NULL',
  crc32: 'CHECKSUM_CRC32',
  crc32c: 'CHECKSUM_CRC32C',
}

/** OP_READ_BLOCK: answers, streams the packets, and takes the client's verdict, if it gives one. */
export async function readBlock(
  connection: TransferConnection,
  operation: OpReadBlock,
): Promise<'next' | 'close'> {
  const { store } = connection.context
  const stored = await open(connection, operation).catch((error: unknown) => {
    if (!(error instanceof DfsError)) throw error
    connection.reply({ status: 'ERROR', message: `${error.javaClass}: ${error.message}` })
    return undefined
  })
  if (stored === undefined) return 'next'
  let verdict: ReadVerdict
  try {
    const plan = planRead(requestOf(operation), extentOf(stored))
    const preface = encodeDelimited(blockOpResponse, {
      status: 'SUCCESS',
      readOpChecksumInfo: {
        checksum: {
          type: plan.withChecksums
            ? wireChecksumTypes[stored.layout.checksumType]
            : 'CHECKSUM_NULL',
          bytesPerChecksum: plan.bytesPerChecksum,
        },
        chunkOffset: plan.start,
      },
    })
    const { replica } = stored
    verdict = new ReadVerdict(connection, () => store.suspect(replica.blockId))
    const { socket } = connection
    const beforeUnit = (): void => store.usedByClient()
    await sendBlock(
      { stored, plan, pool: store.pool, socket, verifiesDigests: false, beforeUnit },
      preface,
    )
  } finally {
    await stored.close()
  }
  return verdict.given
}

/** Opens the replica, waiting for bytes that are still on their way to it. */
async function open(
  connection: TransferConnection,
  operation: OpReadBlock,
): Promise<StoredReplica> {
  const { store, timers } = connection.context
  const { block } = operation.header.baseHeader
  connection.checkPool(block)
  const id = blockId(block.blockId)
  const stamp = generationStamp(block.generationStamp)
  const end = operation.offset + operation.len
  for (let waited = 0; waited < waitForBytesMs; waited += waitStepMs) {
    const replica = store.find(id)
    if (replica?.state !== 'rbw' || replica.length >= end) break
    await new Promise<void>((resolve) => timers.after(waitStepMs, resolve))
  }
  const stored = await store.openForRead(id, stamp)
  try {
    planRead(requestOf(operation), extentOf(stored))
    return stored
  } catch (error) {
    await stored.close()
    throw error
  }
}

function requestOf({ offset, len, sendChecksums }: OpReadBlock): {
  offset: number
  length: number
  withChecksums: boolean
} {
  return { offset, length: len, withChecksums: sendChecksums }
}

function extentOf({ layout, length }: StoredReplica): {
  length: number
  bytesPerChecksum: number
  spanBytes: number
  hasChecksums: boolean
} {
  const { bytesPerChecksum, spanBytes, checksumBytes } = layout
  return { length, bytesPerChecksum, spanBytes, hasChecksums: checksumBytes > 0 }
}

/** Waits for the ClientReadStatus behind a read. A client that just closes is as good as one that says so. */
class ReadVerdict implements ByteSink {
  readonly given: Promise<'next' | 'close'>
  readonly #connection: TransferConnection
  readonly #onBadChecksum: () => void
  #settle: (then: 'next' | 'close') => void = () => undefined

  constructor(connection: TransferConnection, onBadChecksum: () => void) {
    this.#connection = connection
    this.#onBadChecksum = onBadChecksum
    this.given = new Promise((resolve) => {
      this.#settle = resolve
    })
    const { reader } = connection
    reader.handTo(this)
    reader.expectHead(1, 64)
    reader.resume()
  }

  onHead(staged: Buffer): number {
    const { reader } = this.#connection
    const taken = tryDecodeDelimited(clientReadStatus, staged, 0, staged.length)
    if (taken === undefined) {
      reader.expectHead(staged.length + 1)
      return 0
    }
    reader.pause()
    if (taken.value.status === 'ERROR_CHECKSUM') this.#onBadChecksum()
    this.#settle('next')
    return taken.next
  }

  onBody(): void {
    throw new DfsError('INTERNAL', 'A read status has no body')
  }

  onEnd(): void {
    this.#settle('close')
  }

  onClose(): void {
    this.#settle('close')
  }
}
