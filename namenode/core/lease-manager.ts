/**
 * Who may write which file. The right itself is the `lease` of the file's row and is durable; when its
 * holder was last heard of is soft state, kept here, and starts anew after a restart. One renewal covers
 * all files of a holder. Block recoveries under way are kept here too: they are what a lease without a
 * living holder turns into.
 *
 *     open ──renewed──▶ open ──soft limit──▶ others may start recovery ──hard limit──▶ namenode does
 *
 * Holders are kept in the order of their last renewal, so the oldest is the first.
 */
import { type Millis, millis } from '../../base/brand.ts'
import {
  type BlockId,
  type ClientName,
  clientName,
  type GenerationStamp,
  type InodeId,
} from '../../protocol/ids.ts'
import type { InodeRow } from './changes.ts'

/** Holder of files whose writer passed the hard limit; nobody renews it. */
export const namenodeHolder = clientName('HDFS_NameNode')

export interface LeaseView {
  readonly holder: ClientName
  readonly renewedAt: Millis
  readonly files: ReadonlySet<InodeId>
}

interface Holder {
  renewedAt: Millis
  readonly files: Set<InodeId>
}

/** A block recovery that datanodes were asked for and have not finished, or that waits for one to ask. */
export interface Recovery {
  readonly inode: InodeId
  /** Absent while it waits for somebody to be asked. */
  readonly stamp: GenerationStamp | undefined
  /** Monotonic time from which it counts as failed. */
  readonly overdueAt: Millis
  /** False when no datanode could be asked. */
  readonly isOrdered: boolean
}

export class LeaseManager {
  readonly #softLimitMs: number
  readonly #hardLimitMs: number
  readonly #recoveryMs: number
  readonly #holders = new Map<ClientName, Holder>()
  readonly #holderByInode = new Map<InodeId, ClientName>()
  readonly #recoveryByBlock = new Map<BlockId, Recovery>()
  /** Renewal time of holders that appear without one, in replay. */
  #since: Millis

  constructor(limits: { softLimitMs: number; hardLimitMs: number; recoveryMs: number }) {
    this.#softLimitMs = limits.softLimitMs
    this.#hardLimitMs = limits.hardLimitMs
    this.#recoveryMs = limits.recoveryMs
    this.#since = 0 as Millis
  }

  get openFileCount(): number {
    return this.#holderByInode.size
  }

  /** Every holder counts as heard of at `now`: the namenode was away, not they. */
  restart(now: Millis): void {
    this.#since = now
    for (const holder of this.#holders.values()) holder.renewedAt = now
  }

  /** Follows a file's row: its lease appears, changes hands or ends. */
  filePut(row: InodeRow): void {
    const held = this.#holderByInode.get(row.id)
    const holder = row.lease?.holder
    if (held === holder) return
    if (held !== undefined) this.#release(row.id, held)
    if (holder === undefined) return
    this.#holderByInode.set(row.id, holder)
    const existing = this.#holders.get(holder)
    if (existing === undefined) {
      this.#holders.set(holder, { renewedAt: this.#since, files: new Set([row.id]) })
    } else existing.files.add(row.id)
  }

  fileDeleted(id: InodeId): void {
    const held = this.#holderByInode.get(id)
    if (held !== undefined) this.#release(id, held)
  }

  /** Notes that a client was heard of; an unknown holder is no error. */
  renew(now: Millis, holder: ClientName): void {
    const existing = this.#holders.get(holder)
    if (existing === undefined) return
    this.#holders.delete(holder)
    this.#holders.set(holder, existing)
    existing.renewedAt = now
    if (now > this.#since) this.#since = now
  }

  /** True when another client may take over the files of `holder`. */
  isSoftExpired(now: Millis, holder: ClientName): boolean {
    const existing = this.#holders.get(holder)
    return existing === undefined || now - existing.renewedAt > this.#softLimitMs
  }

  /** Files of holders past the hard limit, oldest first, and those the namenode holds already. */
  *expired(now: Millis): Generator<InodeId, undefined> {
    for (const [holder, { renewedAt, files }] of this.#holders) {
      if (holder === namenodeHolder) continue
      if (now - renewedAt <= this.#hardLimitMs) break
      yield* files
    }
    const own = this.#holders.get(namenodeHolder)
    if (own !== undefined) yield* own.files
  }

  /** @param isOrdered false when no datanode could be asked: tried again soon. */
  recoveryStarted(
    block: BlockId,
    start: Pick<Recovery, 'inode' | 'stamp' | 'isOrdered'> & { at: Millis },
  ): void {
    const { inode, stamp, at, isOrdered } = start
    const overdueAt = millis(at + (isOrdered ? this.#recoveryMs : this.#recoveryMs / 10))
    this.#recoveryByBlock.set(block, { inode, stamp, overdueAt, isOrdered })
  }

  recoveryFinished(block: BlockId): void {
    this.#recoveryByBlock.delete(block)
  }

  /** Forgets the recoveries of a file that is closed or deleted. */
  forgetRecoveries(inode: InodeId): void {
    for (const [block, recovery] of this.#recoveryByBlock) {
      if (recovery.inode === inode) this.#recoveryByBlock.delete(block)
    }
  }

  recovery(block: BlockId): Recovery | undefined {
    return this.#recoveryByBlock.get(block)
  }

  /** Recoveries that have not finished, with their blocks. */
  recoveries(): Iterable<readonly [BlockId, Recovery]> {
    return this.#recoveryByBlock
  }

  *all(): Generator<LeaseView, undefined> {
    for (const [holder, { renewedAt, files }] of this.#holders) yield { holder, renewedAt, files }
  }

  holderOf(id: InodeId): ClientName | undefined {
    return this.#holderByInode.get(id)
  }

  openFiles(): Iterable<InodeId> {
    return this.#holderByInode.keys()
  }

  #release(id: InodeId, held: ClientName): void {
    this.#holderByInode.delete(id)
    const holder = this.#holders.get(held)
    if (holder === undefined) return
    holder.files.delete(id)
    if (holder.files.size === 0) this.#holders.delete(held)
  }
}
