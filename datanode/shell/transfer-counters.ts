/** What the data transfer port has done since the start. Counted per operation and connection, never per packet. */
import type { Operation } from '../../protocol/data-transfer.ts'

/** Why a replica that was to be written here, or passed on from here, did not get complete. */
export const pipelineFailureCauses = [
  /** The next datanode could not be reached, or one behind it. */
  'next_unreachable',
  /** The next datanode was lost in mid-block, or left a packet without an ack. */
  'next_lost',
  /** The sender closed its connection, or was silent for too long. */
  'sender_lost',
  /** A packet did not match its checksums here or further down, or made no sense. */
  'bad_packet',
  /** A file operation failed, or there was no room. */
  'disk',
  /** The replica could not be opened as the sender asked. */
  'refused',
  /** A recovery or a newer pipeline took the replica over. */
  'superseded',
] as const
export type PipelineFailureCause = (typeof pipelineFailureCauses)[number]

/** Operations by what became of them. */
export interface OperationOutcomes {
  done: number
  failed: number
}

/** Operations of the protocol that this datanode carries out. */
export const servedOperations = [
  'readBlock',
  'writeBlock',
  'transferBlock',
  'blockChecksum',
] as const satisfies readonly Operation['kind'][]
export type ServedOperation = (typeof servedOperations)[number] | 'unsupported'

/** Totals since the start. */
export class TransferCounters {
  readonly operations: Readonly<Record<ServedOperation, OperationOutcomes>> = {
    readBlock: { done: 0, failed: 0 },
    writeBlock: { done: 0, failed: 0 },
    transferBlock: { done: 0, failed: 0 },
    blockChecksum: { done: 0, failed: 0 },
    unsupported: { done: 0, failed: 0 },
  }
  readonly pipelineFailures: Readonly<Record<PipelineFailureCause, number>>
  /** Of connections that are closed. */
  receivedBytes = 0
  sentBytes = 0
  connections = 0
  connectionsRefused = 0
  readonly #failures: Record<PipelineFailureCause, number>

  constructor() {
    const none = pipelineFailureCauses.map((cause) => [cause, 0])
    this.#failures = Object.fromEntries(none) as Record<PipelineFailureCause, number>
    this.pipelineFailures = this.#failures
  }

  /** Counts an operation that is over. */
  ended(kind: Operation['kind'], outcome: keyof OperationOutcomes): void {
    const served = servedOperations.find((operation) => operation === kind)
    this.operations[served ?? 'unsupported'][outcome] += 1
  }

  pipelineFailed(cause: PipelineFailureCause): void {
    this.#failures[cause] += 1
  }
}
