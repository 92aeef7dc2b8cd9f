import type { PacketShape } from '../../datanode/core/block-receiver.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { Status } from '../../protocol/messages/data-transfer.ts'

/** OP_WRITE_BLOCK in the simulator's words. */
export interface WriteOperation {
  /**
   * `copy`: another datanode sends a finalized replica; nothing goes back. `join`: another datanode sends what it
   * has of an open one, for its receiver to join the pipeline; an answer says when it is all there.
   */
  readonly stage: 'create' | 'append' | 'reappend' | 'resume' | 'close' | 'copy' | 'join'
  readonly blockId: BlockId
  /** The stamp the sender knows. */
  readonly generationStamp: GenerationStamp
  /** For `resume` and `close`. */
  readonly newStamp: GenerationStamp
  /** Names of the datanodes behind the receiver. */
  readonly targets: readonly string[]
  readonly lengthMin: number
  readonly lengthMax: number
}

/** What travels on the stream of a pipeline, down and up. */
export type PipelineMessage =
  | { readonly kind: 'operation'; readonly operation: WriteOperation }
  /** Answer to the operation; `badNode` names the one that failed. */
  | { readonly kind: 'answer'; readonly badNode: string | undefined }
  | {
      readonly kind: 'packet'
      readonly shape: PacketShape
      /** What stands for the bytes; see `Stretch`. */
      readonly source: number
      readonly from: number
    }
  | { readonly kind: 'ack'; readonly seqno: number; readonly statuses: readonly Status[] }
