/**
 * Whether a pipeline that lost a datanode gets another one, who sends it what was written, and which
 * datanodes count as slow. Pure; the owner of the pipeline asks the namenode and moves the bytes.
 *
 * HDFS's DEFAULT rule (ReplaceDatanodeOnFailure): let r be the replication and n the datanodes left; a
 * datanode is added only if r >= 3 and either
 *   (1) floor(r/2) >= n, or
 *   (2) r > n and the block was flushed or is being appended to.
 *
 * What joins a pipeline, and when:
 *
 *     setup mode   replicas hold               a new datanode
 *     new-block    nothing                     comes with the block that is written instead
 *     append       the block before the append gets a copy first
 *     streaming    what was acknowledged       gets a copy first
 *     close        everything                  none: the namenode copies the closed block
 *
 * Invariants:
 *   C10. A datanode joins a pipeline only after it has a copy of everything that was acknowledged.
 *   C11. A slow datanode is left only for another one, never for a shorter pipeline.
 */
import { assert } from '../../base/assert.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { RecoveryMode } from './write-pipeline.ts'

/** HDFS's dfs.client.block.write.replace-datanode-on-failure.policy. */
export const replacePolicies = ['NEVER', 'DEFAULT', 'ALWAYS'] as const
export type ReplacePolicy = (typeof replacePolicies)[number]

/** @throws {@link DfsError} INVALID_ARGUMENT when `text` names no policy */
export function replacePolicy(text: string): ReplacePolicy {
  const policy = replacePolicies.find((name) => name === text)
  if (policy !== undefined) return policy
  throw new DfsError(
    'INVALID_ARGUMENT',
    `Cannot read "${text}" as a policy to replace datanodes: need ${replacePolicies.join(', ')}`,
  )
}

/** A pipeline that has lost a datanode. */
export interface ReducedPipeline {
  readonly mode: RecoveryMode
  /** Replicas the file should have. */
  readonly replication: number
  /** Datanodes left. */
  readonly nodeCount: number
  /** The block held bytes before it was opened. */
  readonly isAppend: boolean
  /** Some of the block was flushed: readers may count on it. */
  readonly isFlushed: boolean
}

/** Whether the pipeline gets a datanode in place of the one that failed. */
export function wantsReplacement(
  policy: ReplacePolicy,
  { mode, replication, nodeCount, isAppend, isFlushed }: ReducedPipeline,
): boolean {
  if (mode === 'new-block' || mode === 'close') return false
  if (policy === 'NEVER' || nodeCount === 0 || nodeCount >= replication) return false
  if (policy === 'ALWAYS') return true
  if (replication < 3) return false
  return nodeCount <= Math.floor(replication / 2) || isAppend || isFlushed
}

/**
 * The order in which datanodes are asked to send the newcomer its copy: the one before it in the
 * pipeline first, the one after it when it stands first, then the others.
 *
 * @param newcomer its position among `nodeCount`
 */
export function copySources(newcomer: number, nodeCount: number): number[] {
  assert(newcomer < nodeCount, 'the newcomer must be in the pipeline')
  const preferred = newcomer === 0 ? 1 : newcomer - 1
  const positions = Array.from({ length: nodeCount }, (_value, index) => index)
  const others = positions.filter((index) => index !== newcomer && index !== preferred)
  return preferred < nodeCount ? [preferred, ...others] : others
}

/** Positions of the datanodes in `answer` that `existing` lacks, by UUID. */
export function newcomersOf(existing: readonly string[], answer: readonly string[]): number[] {
  const known = new Set(existing)
  return answer.flatMap((uuid, index) => (known.has(uuid) ? [] : [index]))
}

/** Acknowledgements count towards slowness at most this often: a burst of late ones is one sign, not many. */
export const slowSignMs = 250

/**
 * Watches who is called slow in the acknowledgements of one pipeline (HDFS:
 * dfs.client.mark.slownode.as.badnode.threshold). A datanode counts as slow when so many signs in a row
 * say so. Of several slow ones the last is to blame: it holds up those before it. Once per block.
 */
export class SlowNodes {
  readonly #threshold: number
  #blamed = -1
  #signs = 0
  #signAt = Number.NEGATIVE_INFINITY
  #isTolerant = false

  /** @param threshold signs in a row; 0 blames nobody, ever */
  constructor(threshold: number) {
    this.#threshold = threshold
  }

  /** A pipeline was set up: its datanodes have no past. */
  reset(): void {
    this.#blamed = -1
    this.#signs = 0
  }

  /** Takes an acknowledgement in; the position of a datanode that stays slow, or -1. */
  acked(isSlow: readonly boolean[], now: number): number {
    if (this.#threshold === 0 || this.#isTolerant || isSlow.length < 2) return -1
    const slowest = isSlow.lastIndexOf(true)
    if (slowest !== this.#blamed) this.reset()
    if (slowest === -1 || now - this.#signAt < slowSignMs) return -1
    this.#blamed = slowest
    this.#signs += 1
    this.#signAt = now
    if (this.#signs < this.#threshold) return -1
    this.#isTolerant = true
    return slowest
  }
}
