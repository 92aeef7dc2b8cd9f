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
 * 3. A finalized replica that is shorter than an open one of its stamp or a later one is from before an
 *    append: it lacks what was acknowledged since and takes no part.
 * 4. Among finalized replicas of different lengths those with the newest stamp decide: an earlier
 *    recovery chose their length, and its report to the namenode was lost. In a truncate every one that is
 *    long enough takes part, since some may have been cut by an earlier attempt.
 * 5. A block is deleted only when it is proved that no byte of it was acknowledged: every location
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
  /** Length the block must have then; absent except for a truncate and a block that was committed. */
  readonly truncateLength?: number | undefined
  /** One answer for each location, in the order of the locations. */
  readonly answers: readonly RecoveryAnswer[]
}

interface Candidate {
  readonly index: number
  readonly generationStamp: GenerationStamp
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
  return truncateLength === undefined
    ? chooseAmong(candidates)
    : chooseForTruncate(candidates, truncateLength)
}

/** The block was complete, so whatever has enough bytes has the right ones; finalized replicas come first. */
function chooseForTruncate(candidates: readonly Candidate[], newLength: number): RecoveryDecision {
  const enough = candidates.filter(({ length }) => length >= newLength)
  if (enough.length === 0) {
    const lengths = candidates.map(({ length }) => length).join(', ')
    const reason = `cannot cut to ${newLength} bytes: the replicas have ${lengths}`
    return { kind: 'abort', reason }
  }
  const finalized = enough.filter(({ state }) => state === 'finalized')
  const chosen = finalized.length > 0 ? finalized : enough
  return { kind: 'update', newLength, participants: chosen.map(({ index }) => index) }
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
        candidates.push({
          index,
          generationStamp: answer.generationStamp,
          state: answer.state,
          length: answer.length,
        })
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
  { answers, generationStamp, truncateLength }: RecoveryQuestion,
  failures: readonly string[],
): RecoveryDecision {
  if (truncateLength !== undefined) {
    return { kind: 'abort', reason: `no replica to cut to ${truncateLength} bytes was found` }
  }
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

function chooseAmong(all: readonly Candidate[]): RecoveryDecision {
  const candidates = all.filter((candidate) => !isFromBeforeAppend(candidate, all))
  const finalized = candidates.filter(({ state }) => state === 'finalized')
  if (finalized.length > 0) return chooseFinalized(candidates, newestOf(finalized))
  const open = candidates.filter(({ state }) => state === 'rbw')
  const chosen = open.length > 0 ? open : candidates
  return {
    kind: 'update',
    newLength: chosen.reduce((least, { length }) => Math.min(least, length), Infinity),
    participants: chosen.map(({ index }) => index),
  }
}

function isFromBeforeAppend(
  { state, generationStamp, length }: Candidate,
  candidates: readonly Candidate[],
): boolean {
  if (state !== 'finalized') return false
  return candidates.some(
    (other) =>
      other.state !== 'finalized' &&
      other.generationStamp >= generationStamp &&
      other.length > length,
  )
}

/** All of them when they agree in length, else those with the newest stamp. */
function newestOf(finalized: readonly Candidate[]): readonly Candidate[] {
  if (finalized.every(({ length }) => length === finalized[0]?.length)) return finalized
  const newest = Math.max(...finalized.map(({ generationStamp }) => generationStamp))
  return finalized.filter(({ generationStamp }) => generationStamp === newest)
}

function chooseFinalized(
  candidates: readonly Candidate[],
  finalized: readonly Candidate[],
): RecoveryDecision {
  const length = finalized[0]?.length ?? 0
  if (finalized.some((candidate) => candidate.length !== length)) {
    const lengths = finalized.map((candidate) => candidate.length).join(', ')
    return { kind: 'abort', reason: `finalized replicas differ in length: ${lengths}` }
  }
  const participants = candidates.filter(
    (candidate) =>
      finalized.includes(candidate) || (candidate.state === 'rbw' && candidate.length === length),
  )
  return { kind: 'update', newLength: length, participants: participants.map(({ index }) => index) }
}
