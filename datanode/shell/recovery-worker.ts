/**
 * The primary's part of a block recovery: asks every location, decides (core/block-recovery.ts), updates the
 * participants and tells the namenode.
 */
import type { Logger } from '../../base/log.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { generationStamp, storageUuid } from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { recoveringBlock } from '../../protocol/messages/datanode-namenode.ts'
import type { DatanodeID, DatanodeInfo } from '../../protocol/messages/hdfs-blocks.ts'
import { interDatanodeProtocol } from '../../protocol/messages/inter-datanode.ts'
import type { RpcClient } from '../../transport/rpc-client.ts'
import { chooseRecovery, type RecoveryAnswer } from '../core/block-recovery.ts'
import type { RecoverOrder } from '../core/orders.ts'
import { answerInitRecovery, replicaStateOf } from './ipc-server.ts'
import type { NamenodeLink, RecoveryResult } from './namenode-link.ts'
import type { ReplicaCatalog } from './replica-catalog.ts'

export interface RecoveryWorkerOptions {
  readonly store: ReplicaCatalog
  readonly link: Pick<NamenodeLink, 'self' | 'blockPoolId' | 'commitRecovery'>
  /** Opens a connection to the RPC port of another datanode; the worker closes it. */
  readonly connect: (peer: DatanodeID) => Pick<RpcClient, 'call' | 'close'>
  readonly logger: Logger
}

/** "No offset" as HDFS writes it. */
const noOffset = 2n ** 64n - 1n
const noToken = {
  identifier: new Uint8Array(),
  password: new Uint8Array(),
  kind: '',
  service: '',
}

/** One recovery; see the head of this file. */
export class RecoveryWorker {
  readonly #options: RecoveryWorkerOptions

  constructor(options: RecoveryWorkerOptions) {
    this.#options = options
  }

  /**
   * Recovers one block as its primary.
   *
   * @throws {@link DfsError} when it could not; the namenode orders another recovery later
   */
  async recover(order: RecoverOrder): Promise<void> {
    const answers = await Promise.all(order.locations.map((peer) => this.#init(order, peer)))
    const decision = chooseRecovery({
      generationStamp: order.block.generationStamp,
      truncateLength: order.truncateLength,
      answers,
    })
    this.#options.logger.info('block-recovery-decided', {
      blockId: order.block.blockId,
      recoveryStamp: order.recoveryStamp,
      decision: decision.kind,
      newLength: decision.kind === 'update' ? decision.newLength : undefined,
      reason: decision.kind === 'abort' ? decision.reason : undefined,
    })
    switch (decision.kind) {
      case 'abort':
        throw this.#failure(order, decision.reason)
      case 'delete':
        await this.#commit(order, 0, [])
        return
      case 'update':
        await this.#commit(
          order,
          decision.newLength,
          await this.#update(order, decision.newLength, decision.participants),
        )
    }
  }

  async #init(order: RecoverOrder, { id }: DatanodeInfo): Promise<RecoveryAnswer> {
    const { store } = this.#options
    try {
      const reply = this.#isSelf(id)
        ? await answerInitRecovery(store, order)
        : await this.#ask(id, (peer) => {
            return peer.call(interDatanodeProtocol, 'initReplicaRecovery', {
              block: this.#recoveringBlock(order),
            })
          })
      if (!reply.replicaFound || reply.block === undefined || reply.state === undefined) {
        return { kind: 'absent' }
      }
      return {
        kind: 'found',
        state: replicaStateOf(reply.state),
        generationStamp: generationStamp(reply.block.genStamp),
        length: reply.block.numBytes ?? 0,
      }
    } catch (error) {
      if (!isDfsError(error)) throw error
      const reason = `${id.ipAddr}:${id.ipcPort}: ${error.message}`
      return isDfsError(error, 'RECOVERY_IN_PROGRESS')
        ? { kind: 'superseded', reason }
        : { kind: 'failed', reason }
    }
  }

  /** Updates the participants; those that fail are left behind with their old stamp. */
  async #update(
    order: RecoverOrder,
    newLength: number,
    participants: readonly number[],
  ): Promise<RecoveryResult['participants']> {
    const results = await Promise.allSettled(
      participants.flatMap((index) => {
        const peer = order.locations[index]
        return peer === undefined ? [] : [this.#updateOne(order, newLength, peer.id)]
      }),
    )
    const updated: RecoveryResult['participants'][number][] = []
    const failures: string[] = []
    for (const result of results) {
      if (result.status === 'fulfilled') updated.push(result.value)
      else failures.push(result.reason instanceof Error ? result.reason.message : 'failed')
    }
    if (failures.length > 0) {
      this.#options.logger.warn('block-recovery-participants-lost', {
        blockId: order.block.blockId,
        failures,
      })
    }
    if (updated.length === 0) throw this.#failure(order, failures.join('; '))
    return updated
  }

  async #updateOne(
    order: RecoverOrder,
    newLength: number,
    id: DatanodeID,
  ): Promise<RecoveryResult['participants'][number]> {
    const { store, link } = this.#options
    const { blockId, generationStamp: oldStamp, length } = order.block
    if (this.#isSelf(id)) {
      const storage = await store.recovery.updateReplicaUnderRecovery(
        blockId,
        order.recoveryStamp,
        newLength,
      )
      return { datanode: id, storage }
    }
    const reply = await this.#ask(id, (peer) => {
      return peer.call(interDatanodeProtocol, 'updateReplicaUnderRecovery', {
        block: { poolId: link.blockPoolId, blockId, generationStamp: oldStamp, numBytes: length },
        recoveryId: order.recoveryStamp,
        newLength,
        newBlockId: blockId,
      })
    })
    return { datanode: id, storage: storageUuid(reply.storageUuid ?? '') }
  }

  async #commit(
    order: RecoverOrder,
    newLength: number,
    participants: RecoveryResult['participants'],
  ): Promise<void> {
    const { blockId, generationStamp: oldStamp } = order.block
    await this.#options.link.commitRecovery({
      block: { blockId, generationStamp: oldStamp },
      newStamp: order.recoveryStamp,
      newLength,
      deleteBlock: participants.length === 0,
      participants,
    })
  }

  async #ask<Reply>(
    id: DatanodeID,
    question: (peer: Pick<RpcClient, 'call'>) => Promise<Reply>,
  ): Promise<Reply> {
    const peer = this.#options.connect(id)
    try {
      return await question(peer)
    } finally {
      peer.close()
    }
  }

  #isSelf({ datanodeUuid: uuid }: DatanodeID): boolean {
    return uuid === this.#options.link.self.datanodeUuid
  }

  #recoveringBlock(order: RecoverOrder): EncodableOf<typeof recoveringBlock> {
    const { blockId, generationStamp: oldStamp, length } = order.block
    const truncate =
      order.truncateLength === undefined
        ? {}
        : {
            truncateBlock: {
              blockId,
              genStamp: order.recoveryStamp,
              numBytes: order.truncateLength,
            },
          }
    return {
      newGenStamp: order.recoveryStamp,
      block: {
        b: {
          poolId: this.#options.link.blockPoolId,
          blockId,
          generationStamp: oldStamp,
          numBytes: length,
        },
        offset: noOffset,
        locs: order.locations,
        corrupt: false,
        blockToken: noToken,
        isCached: order.locations.map(() => false),
      },
      ...truncate,
    }
  }

  #failure(order: RecoverOrder, reason: string): DfsError {
    return new DfsError(
      'IO_ERROR',
      `Cannot recover block ${order.block.blockId} with stamp ${order.recoveryStamp}: ${reason}`,
      { blockId: order.block.blockId },
    )
  }
}
