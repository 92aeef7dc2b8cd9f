/**
 * The namespace as one machine without I/O: `propose` plans a request, `apply` makes the planned changes,
 * `tick` plans what time alone causes. The shell around it journals, loads rows and replies, in the order
 *
 *     propose → apply, follow → append to the journal → durable → reply
 *
 * `propose` looks at resident rows only. A row that memory does not hold is a miss: the shell loads it,
 * `provide`s it and proposes again. It changes no row; what it may leave behind is a moved generator and
 * the place of a walk over a large tree (subtree-checks.ts). `apply` is total: it asserts, it never
 * refuses, and replay at start goes through it as well.
 *
 * Invariants: docs/INVARIANTS.md, section N; checked by `invariants()`.
 */
import { assert } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import { DfsError } from '../../protocol/errors.ts'
import { type ClientName, type InodeId, orphanageInodeId, type TxId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { BlockSide } from './block-side.ts'
import type {
  DatanodeRow,
  InodeRow,
  NamespaceChange,
  NamespaceTotals,
  NextIds,
  RequestId,
  Transaction,
} from './changes.ts'
import type { ChildrenPage, Context } from './context.ts'
import { isRead, planRequest } from './dispatch.ts'
import { Draft } from './draft.ts'
import { firstIds } from './genesis.ts'
import { checkInvariants } from './invariants.ts'
import { expireLeases } from './lease-expiry.ts'
import { LeaseManager, type LeaseView } from './lease-manager.ts'
import { progressDatanodeGoals } from './operations/set-datanode-goal.ts'
import { Orphans } from './orphans.ts'
import type { Effect, Outcome, TickPlan } from './outcome.ts'
import { parseProtected } from './protected-directories.ts'
import type { CachedReply, Caller, Loaded, NamespaceStatus, ReplyOf, Request } from './requests.ts'
import { Residency } from './residency.ts'
import { ifResident, livingPath } from './resolve.ts'
import { RetryCache } from './retry-cache.ts'
import { MissCollector, RowMiss } from './row-miss.ts'
import { SubtreeChecks } from './subtree-checks.ts'

export { toCachedReply } from './cached-replies.ts'
export { genesisChanges } from './genesis.ts'

/** Changes one tick plans at most, or little more. */
const tickChangesMax = 1000
/** Time datanodes get for a block recovery, in heartbeats, before it is ordered anew (as HDFS). */
const recoveryHeartbeats = 30

const namenodeCaller: Caller = { user: '', groups: [], isSuperuser: true, host: '' }

/** What a restart knows before it replays the tail of the journal. */
export interface NamespaceStart {
  readonly nextIds: NextIds
  readonly totals: NamespaceTotals
  readonly openFiles: readonly InodeRow[]
  readonly datanodes: readonly DatanodeRow[]
  readonly now: Millis
}

export class Namesystem {
  readonly blocks: BlockSide
  readonly #settings: Settings
  readonly #prng: Prng
  readonly #rows = new Residency()
  readonly #leases: LeaseManager
  readonly #orphans = new Orphans()
  readonly #subtreeChecks = new SubtreeChecks()
  readonly #retryCache: RetryCache
  readonly #protectedDirectories: readonly string[]
  /** Open at the last restart and not looked at since. */
  readonly #unseenOpenFiles = new Set<InodeId>()
  #nextIds: NextIds = firstIds
  #totals = { files: 0, directories: 0, symlinks: 0, blocks: 0 }
  #appliedThrough = 0 as TxId

  constructor(parts: { settings: Settings; blocks: BlockSide; prng: Prng }) {
    const { settings } = parts
    this.blocks = parts.blocks
    this.#settings = settings
    this.#prng = parts.prng
    this.#protectedDirectories = parseProtected(settings['fs.protected.directories'])
    this.#leases = new LeaseManager({
      softLimitMs: settings['dfs.namenode.lease.soft-limit'],
      hardLimitMs: settings['dfs.namenode.lease.hard-limit'],
      recoveryMs: recoveryHeartbeats * settings['dfs.heartbeat.interval'],
    })
    this.#retryCache = new RetryCache({
      lifetimeMs: limits.retryCacheMs,
      entriesMax: limits.retryCacheEntriesMax,
    })
  }

  /**
   * Plans a request.
   * @param page the 'children' page this very request missed before.
   * @throws {@link DfsError} when the request is refused and nothing is to change.
   */
  propose<R extends Request>(
    now: Millis,
    wall: Millis,
    caller: Caller,
    request: R,
    page?: Loaded,
  ): Outcome<ReplyOf<R>> {
    if (!isRead(request)) this.#requireNoSafeMode(request)
    const children = page?.kind === 'children' ? page : undefined
    const context = this.#context({ now, wall, caller, page: children })
    try {
      // The switch over kinds pairs each request with its own reply.
      return planRequest(context, request) as Outcome<ReplyOf<R>>
    } catch (error) {
      if (error instanceof RowMiss) return { kind: 'miss', misses: error.misses }
      throw error
    }
  }

  /** The answer an at-most-once call got when it was made first, if it is recent or not folded yet. */
  cachedReply(request: RequestId): CachedReply | undefined {
    return this.#retryCache.find(request)
  }

  /** True when {@link cachedReply} knows every answer that has not expired, so the store knows no other. */
  hasEveryReply(now: Millis): boolean {
    return this.#retryCache.isWhole(now)
  }

  /** Makes the changes of a transaction. What is planned with it in soft state goes to {@link follow}. */
  apply(transaction: Transaction): void {
    const { txid } = transaction
    assert(txid > this.#appliedThrough, `transaction ${txid} follows ${this.#appliedThrough}`)
    this.#appliedThrough = txid
    for (const change of transaction.changes) this.#applyChange(change, txid)
    const { answered } = transaction
    if (answered !== undefined) this.#retryCache.put(answered.request, answered.reply, txid)
  }

  /** Sets the soft state that goes with a plan, after its changes are applied; not in replay. */
  follow(effects: readonly Effect[]): void {
    for (const effect of effects) this.#follow(effect)
  }

  /** Takes rows loaded for a miss; rows that are resident stay as they are. */
  provide(loaded: Loaded): void {
    if (!this.#orphans.offer(this.#rows, loaded)) this.#rows.provide(loaded)
  }

  /** A client was heard of. */
  renewLease(now: Millis, holder: ClientName): void {
    this.#leases.renew(now, holder)
  }

  /** Holders with their open files. */
  leases(): Iterable<LeaseView> {
    return this.#leases.all()
  }

  /**
   * Plans what time causes: expired leases, recoveries that did not finish, deleted trees to reap. Bounded
   * work; call it about once a second, and sooner while it returns changes or misses.
   */
  tick(now: Millis, wall: Millis): TickPlan {
    this.#retryCache.tick(now)
    const draft = new Draft(this.#nextIds)
    const collector = new MissCollector()
    if (this.blocks.safeMode !== 'off') {
      return { misses: [], changes: [], effects: [], isReaping: false }
    }
    const context = this.#context({ now, wall, caller: namenodeCaller, page: undefined })
    const options = { budget: tickChangesMax, unseen: this.#unseenOpenFiles }
    expireLeases(context, draft, collector, options)
    progressDatanodeGoals(this.blocks, wall, draft)
    this.#orphans.reap(this.#rows, draft, collector, tickChangesMax)
    return {
      misses: collector.misses,
      changes: draft.changes(),
      effects: draft.effects,
      isReaping: this.#orphans.isReaping,
    }
  }

  /** The store has every change up to `through`. */
  folded(through: TxId): void {
    this.#rows.folded(through)
    this.#retryCache.folded(through)
  }

  /**
   * Lets go of the least recently used rows above the limit, as far as loads under way allow.
   *
   * @param rowsInUse how many rows above the limit stay: those loaded for requests that need more
   */
  evict(oldestLoadStartedAt: TxId, rowsInUse = 0): void {
    const inodesMax = this.#settings['dfs.namenode.resident-inodes'] + rowsInUse
    this.#rows.evict(inodesMax, oldestLoadStartedAt)
  }

  /** Takes what the store knows, before the tail of the journal is applied. */
  restore(start: NamespaceStart): void {
    this.#nextIds = start.nextIds
    this.#totals = { ...start.totals }
    this.#leases.restart(start.now)
    this.#retryCache.restart(start.now)
    for (const datanode of start.datanodes) this.blocks.datanodePut(datanode)
    for (const file of start.openFiles) {
      this.#rows.inodes.provide(file.id, file)
      this.#leases.filePut(file)
      this.#unseenOpenFiles.add(file.id)
    }
  }

  /** Asserts what must hold in memory after every transaction; for tests and the simulator. */
  invariants(): void {
    checkInvariants({ rows: this.#rows, leases: this.#leases, nextIds: this.#nextIds })
  }

  status(): NamespaceStatus {
    return {
      totals: { ...this.#totals },
      residentInodes: this.#rows.inodes.size,
      openFiles: this.#leases.openFileCount,
    }
  }

  /** Next ids to hand out, for the checkpointer. */
  nextIds(): NextIds {
    return this.#nextIds
  }

  /** Path of an inode; undefined when it is deleted or a row on the way is not resident. */
  pathOf(id: InodeId): string | undefined {
    return ifResident(() => {
      const row = this.#rows.inode(id)
      return row && livingPath(this.#rows, row)
    })
  }

  #context(
    part: Pick<Context, 'now' | 'wall' | 'caller'> & { page: ChildrenPage | undefined },
  ): Context {
    return {
      now: part.now,
      wall: part.wall,
      caller: part.caller,
      rows: this.#rows,
      blocks: this.blocks,
      leases: this.#leases,
      subtreeChecks: this.#subtreeChecks,
      nextIds: this.#nextIds,
      settings: this.#settings,
      prng: this.#prng,
      protectedDirectories: this.#protectedDirectories,
      page: part.page,
    }
  }

  #requireNoSafeMode(request: Request): void {
    if (this.blocks.safeMode === 'off') return
    const what = 'path' in request ? `${request.kind} ${request.path}` : request.kind
    throw new DfsError('SAFE_MODE', `Cannot ${what}. Name node is in safe mode`)
  }

  #applyChange(change: NamespaceChange, txid: TxId): void {
    switch (change.kind) {
      case 'ids.allocated':
        this.#nextIds = {
          inodeId: change.nextInodeId ?? this.#nextIds.inodeId,
          blockId: change.nextBlockId ?? this.#nextIds.blockId,
          generationStamp: change.nextGenerationStamp ?? this.#nextIds.generationStamp,
        }
        return
      case 'datanode.put':
        this.blocks.datanodePut(change.datanode)
        return
      case 'datanode.delete':
        this.blocks.datanodeDeleted(change.uuid)
        return
      case 'inode.put':
        if (change.created) this.#count(change.inode.id, change.inode.kind, 1)
        this.#fileChanged(change.inode)
        break
      case 'inode.delete':
        this.#count(change.id, change.inodeKind, -1)
        this.#leases.fileDeleted(change.id)
        this.#leases.forgetRecoveries(change.id)
        break
      case 'entry.put':
        if (change.parent === orphanageInodeId) this.#orphans.arrived(change.inode)
        break
      case 'entry.delete':
        if (change.parent === orphanageInodeId) this.#orphans.left(Number(change.name) as InodeId)
        break
      case 'block.put':
        if (change.created) this.#totals.blocks += 1
        this.blocks.blockPut(change.block, this.#replicationOf(change.block.inode))
        break
      case 'block.delete':
        this.#totals.blocks -= 1
        this.blocks.blockDeleted(change.id)
        break
    }
    this.#rows.apply(change, txid)
  }

  /** Follows a file's lease and replication; called before its row is replaced. */
  #fileChanged(row: InodeRow): void {
    if (row.kind !== 'file') return
    this.#leases.filePut(row)
    const before = this.#rows.inodes.peek(row.id)?.row
    if (before === undefined || before.replication === row.replication) return
    const blocks = this.#rows.blocksByInode.find(row.id) ?? []
    const ids = blocks.map(({ id }) => id)
    this.blocks.replicationChanged(ids, row.replication)
  }

  #replicationOf(inode: InodeId): number {
    return this.#rows.inodes.peek(inode)?.row?.replication ?? 0
  }

  #count(id: InodeId, kind: InodeRow['kind'], by: 1 | -1): void {
    if (id === orphanageInodeId) return
    if (kind === 'directory') this.#totals.directories += by
    else if (kind === 'symlink') this.#totals.symlinks += by
    else this.#totals.files += by
  }

  #follow(effect: Effect): void {
    switch (effect.kind) {
      case 'locations.expected':
        this.blocks.expectLocations(effect.block, effect.generationStamp, effect.locations)
        break
      case 'recovery.started': {
        const { block, recoveryStamp: stamp, at } = effect
        const isOrdered = this.blocks.orderRecovery(block, stamp)
        this.#leases.recoveryStarted(block.id, { inode: block.inode, stamp, at, isOrdered })
        break
      }
      case 'recovery.postponed': {
        const { block, inode, at } = effect
        this.#leases.recoveryStarted(block, { inode, stamp: undefined, at, isOrdered: false })
        break
      }
      case 'recovery.finished':
        this.#leases.recoveryFinished(effect.block)
        break
      case 'lease.renewed':
        this.#leases.renew(effect.at, effect.holder)
        break
    }
  }
}
