/**
 * Which of a block's replicas has the right bytes, when their digests differ. The rule:
 *
 * 1. The digest in the block's row decides. It gets there only by agreement (2), and is dropped when the
 *    block is written again.
 * 2. Without one, replicas agree when two of them have the same digest, more than have any other; of a
 *    block that wants one replica, one is enough.
 * 3. Until they agree, a replica that differs from the first one is `digest-undecided`: it does not
 *    count, nothing is copied from it, and it is never deleted.
 * 4. Once they agree, those that differ are `digest-mismatch`: replaced, and then deleted.
 * 5. The digest in the row is overruled only when no replica has it and two agree on another.
 * 6. A copy that repair ordered has no vote, because it says no more than its source; it must have the
 *    block's digest, or it is `digest-mismatch` at once.
 * 7. A replica whose datanode tells no digest (HDFS's do not) counts and has no vote.
 */
import type { ListedReplica } from '../../protocol/block-list.ts'
import { type BlockMap, isVouching, type Slot, storageOf } from './block-map.ts'
import type { CorruptReason, CorruptReplicas } from './corrupt-replicas.ts'
import type { DatanodeRegistry, StorageRecord } from './datanode-registry.ts'

/** Replicas that must agree. */
const agreementMin = 2

export interface DigestVotesParts {
  readonly map: BlockMap
  readonly corrupt: CorruptReplicas
  readonly registry: DatanodeRegistry
}

/** What a replica with a digest makes of its block. */
export interface DigestVerdict {
  readonly verdict: 'good' | Extract<CorruptReason, 'digest-mismatch' | 'digest-undecided'>
  /** It agrees with the block's digest and has a vote. */
  readonly isVouching: boolean
  /** The block's digest is not what it was: these replicas had the old one. */
  readonly overruled: readonly StorageRecord[]
}

const noStorages: readonly StorageRecord[] = []

/** Judges the finalized replica on `storage`, of its block's stamp and length, by its digest. */
export function judgeDigest(
  at: Slot,
  storage: StorageRecord,
  replica: Pick<ListedReplica, 'digest'> & { readonly isCopy?: boolean | undefined },
  { map, corrupt, registry }: DigestVotesParts,
): DigestVerdict {
  const { digest } = replica
  const hasVote = replica.isCopy !== true
  if (digest === undefined) return { verdict: 'good', isVouching: false, overruled: noStorages }
  const known = map.digest(at)
  if (known === undefined) map.setDigest(at, digest, 'candidate')
  if (known === undefined || known === digest) {
    return { verdict: 'good', isVouching: hasVote, overruled: noStorages }
  }
  const vouchers = map
    .replicas(at)
    .filter(isVouching)
    .map((word) => registry.storage(storageOf(word)))
    .filter(({ node }) => node !== storage.node)
  const opponents = corrupt
    .of(map.id(at))
    .filter((other) => other.digest === digest && other.storage.node !== storage.node)
  const state = map.digestState(at)
  const votes = opponents.length + 1
  const isOverruled =
    hasVote &&
    votes >= agreementMin &&
    (state === 'candidate' ? votes > vouchers.length : vouchers.length === 0)
  if (isOverruled) {
    map.setDigest(at, digest, 'agreed')
    return { verdict: 'good', isVouching: true, overruled: vouchers }
  }
  const isUndecided = hasVote && state === 'candidate'
  const verdict = isUndecided ? 'digest-undecided' : 'digest-mismatch'
  return { verdict, isVouching: false, overruled: noStorages }
}

/** Whether the replicas agree by now on the digest that is only a candidate so far. */
export function hasAgreement(at: Slot, { map, corrupt }: DigestVotesParts): boolean {
  if (map.digestState(at) !== 'candidate') return false
  const vouching = map.replicas(at).filter(isVouching).length
  const opposing = corrupt.of(map.id(at)).filter(({ reason }) => reason === 'digest-undecided')
  if (vouching === 1) return map.replication(at) === 1 && opposing.length === 0
  return vouching >= agreementMin && vouching > opposing.length
}

/** The digest that replicas of a block about to be complete agree on, if they do; see rule 2. */
export function agreedDigest(
  digests: readonly (bigint | undefined)[],
  wanted: number,
): bigint | undefined {
  const votes = new Map<bigint, number>()
  for (const digest of digests) {
    if (digest !== undefined) votes.set(digest, (votes.get(digest) ?? 0) + 1)
  }
  const ranked = [...votes].sort(([, one], [, other]) => other - one)
  const [first, second] = ranked
  if (first === undefined || first[1] === second?.[1]) return undefined
  return first[1] >= agreementMin || (wanted === 1 && ranked.length === 1) ? first[0] : undefined
}
