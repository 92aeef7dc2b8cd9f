/**
 * The decision of the primary datanode in a block recovery: which replicas take part, and how long the
 * block is afterwards (HDFS: BlockRecoveryWorker.syncBlock).
 *
 *   init on every location ──▶ chooseRecovery ──▶ update participants ──▶ commitBlockSynchronization
 *
 * 1. Only a replica whose generation stamp is at least the block's takes part: an older one missed
 *    writes that were acknowledged.
 * 2. The chosen length is never below what was acknowledged to a writer: acknowledged bytes are in every
 *    replica of the pipeline, so each candidate has them, and a finalized replica has them all.
 * 3. A block is deleted only when it is proved that no byte of it was acknowledged: every location
 *    answered and none has data, or one that belonged to the pipeline holds an empty replica. (HDFS deletes
 *    it as soon as the locations that answered have nothing, whatever those that did not answer hold.)
 */
import { unreachable } from '../../base/assert.ts'
import type { GenerationStamp } from '../../protocol/ids.ts'
import type { ReplicaState } from '../../protocol/states.ts'

/** What initReplicaRecovery found at one location. */
export type RecoveryAnswer =
  | {
      readonly kind: 'found'
      /** State before the recovery stopped the writer. */
      readonly state: ReplicaState
      readonly generationStamp: GenerationStamp
      /** Bytes on disk. */
      readonly length: number
    }
  | { readonly kind: 'absent' }
  /** Unreachable, or it refused. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** A recovery with the same or a newer stamp runs there: this one must stand back. */
  | { readonly kind: 'superseded'; readonly reason: string }

export type RecoveryDecision =
  | {
      readonly kind: 'update'
      readonly newLength: number
      /** Positions in the list of answers. */
      readonly participants: readonly number[]
    }
  /** Nothing was ever acknowledged: the namenode removes the block. */
  | { readonly kind: 'delete' }
  /** Leave everything as it is; the namenode orders another recovery later. */
  | { readonly kind: 'abort'; readonly reason: string }

export interface RecoveryQuestion {
  /** The namenode's stamp of the block. */
  readonly generationStamp: GenerationStamp
  /** Length the file is to be cut to; absent except for a truncate. */
  readonly truncateLength?: number | undefined
  /** One answer for each location, in the order of the locations. */
  readonly answers: readonly RecoveryAnswer[]
}

interface Candidate {
  readonly index: number
  readonly state: 'finalized' | 'rbw' | 'rwr'
  readonly length: number
}

/** Decides a recovery from the answers of all locations. */
export function chooseRecovery(question: RecoveryQuestion): RecoveryDecision {
  const { answers, truncateLength } = question
  for (const answer of answers) {
    if (answer.kind === 'superseded') return { kind: 'abort', reason: answer.reason }
  }
  const failures = answers.flatMap((answer) => (answer.kind === 'failed' ? [answer.reason] : []))
  if (failures.length === answers.length) {
    return { kind: 'abort', reason: `no location answered: ${failures.join('; ')}` }
  }
  const candidates = candidatesOf(question)
  if (candidates.length === 0) return withoutCandidates(question, failures)
  const decision = chooseAmong(candidates)
  if (decision.kind !== 'update' || truncateLength === undefined) return decision
  if (truncateLength > decision.newLength) {
    return {
      kind: 'abort',
      reason: `cannot cut to ${truncateLength} bytes: the replicas have ${decision.newLength}`,
    }
  }
  return { ...decision, newLength: truncateLength }
}

function candidatesOf({ answers, generationStamp }: RecoveryQuestion): readonly Candidate[] {
  const candidates: Candidate[] = []
  for (const [index, answer] of answers.entries()) {
    if (answer.kind !== 'found') continue
    if (answer.generationStamp < generationStamp || answer.length === 0) continue
    switch (answer.state) {
      case 'finalized':
      case 'rbw':
      case 'rwr':
        candidates.push({ index, state: answer.state, length: answer.length })
        break
      case 'rur':
      case 'temporary':
        break
      default:
        unreachable(answer.state)
    }
  }
  return candidates
}

function withoutCandidates(
  { answers, generationStamp }: RecoveryQuestion,
  failures: readonly string[],
): RecoveryDecision {
  const hasUnusableData = answers.some(
    (answer) =>
      answer.kind === 'found' && answer.generationStamp >= generationStamp && answer.length > 0,
  )
  if (hasUnusableData) {
    return { kind: 'abort', reason: 'replicas with data exist, but none in a state to recover' }
  }
  const provesEmpty = answers.some(
    (answer) =>
      answer.kind === 'found' && answer.generationStamp >= generationStamp && answer.length === 0,
  )
  if (failures.length === 0 || provesEmpty) return { kind: 'delete' }
  return {
    kind: 'abort',
    reason: `nothing found, but not every location answered: ${failures.join('; ')}`,
  }
}

function chooseAmong(candidates: readonly Candidate[]): RecoveryDecision {
  const finalized = candidates.filter(({ state }) => state === 'finalized')
  const [first] = finalized
  if (first !== undefined) return chooseFinalized(candidates, finalized, first.length)
  const open = candidates.filter(({ state }) => state === 'rbw')
  const chosen = open.length > 0 ? open : candidates
  return {
    kind: 'update',
    newLength: chosen.reduce((least, { length }) => Math.min(least, length), Infinity),
    participants: chosen.map(({ index }) => index),
  }
}

function chooseFinalized(
  candidates: readonly Candidate[],
  finalized: readonly Candidate[],
  length: number,
): RecoveryDecision {
  if (finalized.some((candidate) => candidate.length !== length)) {
    const lengths = finalized.map((candidate) => candidate.length).join(', ')
    return { kind: 'abort', reason: `finalized replicas differ in length: ${lengths}` }
  }
  const participants = candidates.filter(
    (candidate) =>
      candidate.state === 'finalized' || (candidate.state === 'rbw' && candidate.length === length),
  )
  return { kind: 'update', newLength: length, participants: participants.map(({ index }) => index) }
}
