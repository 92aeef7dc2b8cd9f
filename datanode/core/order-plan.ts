/**
 * Orders of the namenode that wait for execution, and how many of each kind may run at once.
 *
 *   transfer    4 at a time, more while they finish quickly: the link has room
 *   recover     2 at a time, before anything else: a writer or reader waits for it
 *   invalidate  2 at a time: removing a large file keeps a disk busy
 *
 * 1. The same work is never queued or run twice; of two recoveries of a block the newer stamp counts.
 * 2. Queues are bounded. What does not fit is forgotten: the namenode repeats orders that show no effect.
 */
import { unreachable } from '../../base/assert.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { DatanodeOrder, RecoverOrder, TransferOrder } from './orders.ts'

/** One piece of work. */
export type Job =
  | { readonly kind: 'transfer'; readonly order: TransferOrder }
  | {
      readonly kind: 'invalidate'
      readonly blockId: BlockId
      readonly generationStamp: GenerationStamp
    }
  | { readonly kind: 'recover'; readonly order: RecoverOrder }

export const orderLimits = {
  transfersMin: 4,
  transfersMax: 16,
  /** A transfer below this duration raises the number at a time, one above the other lowers it. */
  quickTransferMs: 1000,
  slowTransferMs: 5000,
  recoveriesMax: 2,
  invalidationsMax: 2,
  queuedTransfersMax: 2000,
  queuedRecoveriesMax: 2000,
  queuedInvalidationsMax: 200_000,
} as const

export class OrderPlan {
  readonly #transferByKey = new Map<string, TransferOrder>()
  readonly #runningTransfers = new Set<string>()
  readonly #recoverByBlock = new Map<BlockId, RecoverOrder>()
  readonly #runningRecoveries = new Map<BlockId, GenerationStamp>()
  readonly #stampToInvalidateByBlock = new Map<BlockId, GenerationStamp>()
  readonly #runningInvalidations = new Set<BlockId>()
  #transfersAtOnce: number = orderLimits.transfersMin

  /** Transfers queued or running: what a heartbeat calls xmitsInProgress. */
  get transferCount(): number {
    return this.#transferByKey.size + this.#runningTransfers.size
  }

  get transfersAtOnce(): number {
    return this.#transfersAtOnce
  }

  get invalidationCount(): number {
    return this.#stampToInvalidateByBlock.size + this.#runningInvalidations.size
  }

  get recoveryCount(): number {
    return this.#recoverByBlock.size + this.#runningRecoveries.size
  }

  /** Queues the work of an order. */
  add(order: DatanodeOrder): void {
    switch (order.kind) {
      case 'transfer':
        this.#addTransfer(order)
        return
      case 'invalidate':
        for (const { blockId, generationStamp } of order.blocks) {
          if (this.#stampToInvalidateByBlock.size >= orderLimits.queuedInvalidationsMax) return
          this.#stampToInvalidateByBlock.set(blockId, generationStamp)
        }
        return
      case 'recover':
        this.#addRecovery(order)
        return
      case 'register':
        return
      default:
        unreachable(order)
    }
  }

  /** Removes and returns work that may start now; the caller must `finish` it. */
  start(): Job | undefined {
    return this.#startRecovery() ?? this.#startTransfer() ?? this.#startInvalidation()
  }

  /** Tells that `job` ended, well or not, after `durationMs`. */
  finish(job: Job, durationMs: number): void {
    switch (job.kind) {
      case 'transfer':
        this.#runningTransfers.delete(transferKey(job.order))
        this.#adapt(durationMs)
        return
      case 'recover':
        this.#runningRecoveries.delete(job.order.block.blockId)
        return
      case 'invalidate':
        this.#runningInvalidations.delete(job.blockId)
        return
      default:
        unreachable(job)
    }
  }

  #addTransfer(order: TransferOrder): void {
    const key = transferKey(order)
    if (this.#runningTransfers.has(key)) return
    if (this.#transferByKey.size >= orderLimits.queuedTransfersMax) return
    this.#transferByKey.set(key, order)
  }

  #addRecovery(order: RecoverOrder): void {
    const { blockId } = order.block
    const running = this.#runningRecoveries.get(blockId)
    if (running !== undefined && running >= order.recoveryStamp) return
    const queued = this.#recoverByBlock.get(blockId)
    if (queued !== undefined && queued.recoveryStamp >= order.recoveryStamp) return
    if (queued === undefined && this.#recoverByBlock.size >= orderLimits.queuedRecoveriesMax) return
    this.#recoverByBlock.set(blockId, order)
  }

  #startRecovery(): Job | undefined {
    if (this.#runningRecoveries.size >= orderLimits.recoveriesMax) return undefined
    for (const [blockId, order] of this.#recoverByBlock) {
      if (this.#runningRecoveries.has(blockId)) continue
      this.#recoverByBlock.delete(blockId)
      this.#runningRecoveries.set(blockId, order.recoveryStamp)
      return { kind: 'recover', order }
    }
    return undefined
  }

  #startTransfer(): Job | undefined {
    if (this.#runningTransfers.size >= this.#transfersAtOnce) return undefined
    for (const [key, order] of this.#transferByKey) {
      this.#transferByKey.delete(key)
      this.#runningTransfers.add(key)
      return { kind: 'transfer', order }
    }
    return undefined
  }

  #startInvalidation(): Job | undefined {
    if (this.#runningInvalidations.size >= orderLimits.invalidationsMax) return undefined
    for (const [blockId, generationStamp] of this.#stampToInvalidateByBlock) {
      if (this.#runningInvalidations.has(blockId)) continue
      this.#stampToInvalidateByBlock.delete(blockId)
      this.#runningInvalidations.add(blockId)
      return { kind: 'invalidate', blockId, generationStamp }
    }
    return undefined
  }

  #adapt(durationMs: number): void {
    const { transfersMin, transfersMax, quickTransferMs, slowTransferMs } = orderLimits
    if (durationMs < quickTransferMs) {
      this.#transfersAtOnce = Math.min(transfersMax, this.#transfersAtOnce + 1)
    } else if (durationMs > slowTransferMs) {
      this.#transfersAtOnce = Math.max(transfersMin, this.#transfersAtOnce - 1)
    }
  }
}

function transferKey({ block, targets }: TransferOrder): string {
  return `${block.blockId} ${targets[0]?.datanode.id.datanodeUuid ?? ''}`
}
