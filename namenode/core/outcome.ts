/**
 * What `Namesystem.propose` and `tick` answer. Changes are durable and travel in a transaction; effects
 * are soft state that follows the transaction once it has been applied, and are never journaled: after
 * a restart the datanodes' reports, the next renewal and the next lease check bring them back.
 */
import type { Millis } from '../../base/brand.ts'
import type { DfsError } from '../../protocol/errors.ts'
import type { BlockId, ClientName, GenerationStamp, InodeId } from '../../protocol/ids.ts'
import type { BlockRow, NamespaceChange } from './changes.ts'
import type { Miss, ReplicaLocation } from './requests.ts'

/** Soft state to set when the changes it belongs to are applied. */
export type Effect =
  | {
      readonly kind: 'locations.expected'
      readonly block: BlockId
      readonly generationStamp: GenerationStamp
      readonly locations: readonly ReplicaLocation[]
    }
  /** A block recovery starts: datanodes are asked to agree on a length under `recoveryStamp`. */
  | {
      readonly kind: 'recovery.started'
      readonly block: BlockRow
      readonly recoveryStamp: GenerationStamp
      readonly at: Millis
    }
  /** A recovery cannot start yet, because no datanode with a replica is known. */
  | {
      readonly kind: 'recovery.postponed'
      readonly block: BlockId
      readonly inode: InodeId
      readonly at: Millis
    }
  | { readonly kind: 'recovery.finished'; readonly block: BlockId }
  | { readonly kind: 'lease.renewed'; readonly holder: ClientName; readonly at: Millis }

/** Answer of `propose`. */
export type Outcome<Reply> =
  /** Apply and journal `changes` (when there are any), then reply. */
  | {
      readonly kind: 'plan'
      readonly changes: readonly NamespaceChange[]
      readonly effects: readonly Effect[]
      readonly reply: Reply
    }
  /** Apply and journal `changes`, then fail the call: the attempt itself started something (a lease recovery). */
  | {
      readonly kind: 'refuse'
      readonly changes: readonly NamespaceChange[]
      readonly effects: readonly Effect[]
      readonly error: DfsError
    }
  /** Load these rows, `provide` them and propose again; a 'children' page goes to `propose` as well. */
  | { readonly kind: 'miss'; readonly misses: readonly Miss[] }
  /** Propose again when replicas of one of these blocks change, or with `isLastTry` after the bounded wait. */
  | { readonly kind: 'wait'; readonly blocks: readonly BlockId[] }

/** What an operation of the core answers; a miss is thrown as `RowMiss` below `propose`. */
export type Plan<Reply> = Exclude<Outcome<Reply>, { kind: 'miss' }>

/** Answer of `tick`: rows it would like to see by the next one, and what time alone has caused. */
export interface TickPlan {
  readonly misses: readonly Miss[]
  readonly changes: readonly NamespaceChange[]
  readonly effects: readonly Effect[]
  /** Deleted trees are left to reap: tick again once the changes are durable and the misses loaded. */
  readonly isReaping: boolean
}

const none: readonly never[] = []

/** A plan that changes nothing. */
export function answer<Reply>(reply: Reply): Plan<Reply> {
  return { kind: 'plan', changes: none, effects: none, reply }
}
