import { assert } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { Prng } from '../../base/prng.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { BlockManager } from '../core/block-manager.ts'
import type { RequestId, Transaction } from '../core/changes.ts'
import { isRead } from '../core/dispatch.ts'
import { genesisChanges } from '../core/genesis.ts'
import { Namesystem } from '../core/namesystem.ts'
import type { Effect, Outcome } from '../core/outcome.ts'
import type { Caller, Loaded, Miss, ReplyOf, Request } from '../core/requests.ts'
import { answeredBy, fromCachedReply, RunningCalls } from './at-most-once.ts'
import { BlockLoading } from './block-loading.ts'
import { ChangeGate } from './change-gate.ts'
import { Checkpointer } from './checkpointer.ts'
import { DigestKeeper } from './digest-keeper.ts'
import type { DiskSpace } from './disk-space.ts'
import { Journal } from './journal.ts'
import { recoverJournal } from './journal-recovery.ts'
import type { JournalStorage } from './journal-storage.ts'
import { MissLoader } from './miss-loader.ts'
import type { NamespaceStore } from './namespace-store.ts'
import { NamespaceTicker } from './namespace-ticker.ts'
import { ReportWaits } from './report-waits.ts'

/** Epoch of a namenode without a standby. */
const soleEpoch = 1
const tickMs = 500

const digestCaller: Caller = { user: '', groups: [], isSuperuser: true, host: '' }

export interface NamenodeOptions {
  readonly store: NamespaceStore
  readonly journalStorage: JournalStorage
  readonly settings: Settings
  readonly blocks: BlockManager
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly logger: Logger
  /** The journal cannot be written: end the process at once, without another reply. */
  readonly onFatal: (error: unknown) => void
  readonly onBatch?: (transactions: number, bytes: number) => void
  /** Watches the disk; without it the disk is taken for endless. */
  readonly space?: DiskSpace
  readonly superuser: { readonly user: string; readonly group: string }
  /** Tests make these small. */
  readonly segmentBytesMax?: number
  readonly unfoldedMax?: number
}

/**
 * The namenode between its protocols and its disks, and the one place that fixes the order
 *
 *     propose ─▶ apply ─▶ append ─▶ durable ─▶ reply
 *
 * 1. Nothing leaves before what it was derived from is durable: neither the reply of a change, nor a read
 *    or an error that saw one, nor an order to a datanode ({@link release}).
 * 2. A request that misses rows is proposed again once they are loaded, and one that waits for replicas
 *    when a report names its blocks; nothing is held across, so the second attempt sees a fresh state.
 * 3. When every row is resident and durable, a read completes synchronously.
 */
export class Namenode {
  readonly #options: NamenodeOptions
  readonly namesystem: Namesystem
  readonly blocks: BlockManager
  readonly settings: Settings
  readonly store: NamespaceStore
  readonly loader: MissLoader
  readonly waits: ReportWaits
  readonly blockLoading = new BlockLoading()
  readonly #gate: ChangeGate
  readonly #ticker: NamespaceTicker
  readonly #digestKeeper: DigestKeeper
  #journal: Journal | undefined
  #checkpointer: Checkpointer | undefined
  readonly #running = new RunningCalls()
  readonly #timers: TimerHandle[] = []
  #isStopping = false
  readonly #rowCache = { hits: 0, misses: 0 }
  /** Rows loaded for calls under way: kept beside the others, or a call that needs many would load them for ever. */
  #rowsInUse = 0

  private constructor(options: NamenodeOptions) {
    this.#options = options
    this.settings = options.settings
    this.blocks = options.blocks
    this.store = options.store
    this.namesystem = new Namesystem({
      settings: options.settings,
      blocks: options.blocks,
      prng: options.prng,
    })
    this.loader = new MissLoader({
      store: options.store,
      provide: (loaded) => {
        this.namesystem.provide(loaded)
      },
    })
    this.waits = new ReportWaits(options.timers)
    const { blocks, clock, timers, logger } = options
    const room = (): Promise<void> | undefined => this.checkpointer.room()
    this.#gate = new ChangeGate({ blocks, clock, timers, room, space: options.space })
    this.#ticker = new NamespaceTicker({
      ...{ namesystem: this.namesystem, loader: this.loader },
      ...{ blocks, clock, timers, logger, room },
      mayChange: () => options.space?.isLow !== true,
      commit: (changes, effects) => this.#commit(changes, effects),
    })
    this.#digestKeeper = new DigestKeeper({
      ...{ blocks, logger },
      store: async (digests) => {
        await this.execute(digestCaller, { kind: 'storeDigests', digests })
      },
    })
  }

  /**
   * Replays the tail of the journal over the store, and serves from then on; block rows follow in the
   * background.
   * @throws {@link DfsError} CORRUPTION, UNSUPPORTED_LAYOUT as {@link recoverJournal} does.
   */
  static async start(options: NamenodeOptions): Promise<Namenode> {
    const namenode = new Namenode(options)
    await namenode.#recover()
    namenode.#loadBlocks()
    const { timers } = options
    namenode.#timers.push(timers.every(tickMs, () => namenode.tick()))
    return namenode
  }

  get journal(): Journal {
    assert(this.#journal !== undefined, 'the journal is open after start')
    return this.#journal
  }

  get checkpointer(): Checkpointer {
    assert(this.#checkpointer !== undefined, 'the checkpointer runs after start')
    return this.#checkpointer
  }

  /** Changes are refused because the disk is nearly full. */
  get isLowOnSpace(): boolean {
    return this.#options.space?.isLow === true
  }

  /** Free bytes on the disk as of the last look; absent before the first. */
  get freeBytes(): number | undefined {
    return this.#options.space?.freeBytes
  }

  /** Attempts that found every row in memory, and those that had to load some. */
  get rowCache(): { readonly hits: number; readonly misses: number } {
    return this.#rowCache
  }

  get timers(): Timers {
    return this.#options.timers
  }

  /** Monotonic time. */
  now(): Millis {
    return this.#options.clock.monotonic()
  }

  /** Wall-clock time. */
  wall(): Millis {
    return this.#options.clock.wall()
  }

  /** True for the user who runs the namenode and members of the supergroup. */
  isSuperuser(user: string, groups: readonly string[]): boolean {
    const { superuser } = this.#options
    return user === superuser.user || groups.includes(superuser.group)
  }

  /**
   * Answers a request: synchronously when it only reads, every row is resident and what it saw is durable.
   * @throws {@link DfsError} as the operation does, or rejects with it.
   */
  execute<R extends Request>(caller: Caller, request: R): ReplyOf<R> | Promise<ReplyOf<R>> {
    if (isRead(request)) return this.#attempt({ caller, request })
    const id = caller.request
    if (id === undefined) return this.#change(caller, request)
    const cached = this.namesystem.cachedReply(id)
    if (cached !== undefined) return this.release(fromCachedReply(request, cached))
    const isNew = caller.isFirstTry === true || this.namesystem.hasEveryReply(this.now())
    const running = this.#running.join(id, request)
    if (running !== undefined) return running
    const reply = isNew ? this.#change(caller, request) : this.#repeat(caller, request, id)
    if (reply instanceof Promise) this.#running.add(id, request, reply)
    return reply
  }

  /** Holds `value` back until everything applied so far, which it may depend on, is durable. */
  release<T>(value: T): T | Promise<T> {
    const { journal } = this
    if (journal.waitingCount === 0) return value
    return journal.flushed().then(() => value)
  }

  /** Replicas of these blocks changed: requests that wait for them are proposed again. */
  replicasChanged(blocks: readonly BlockId[]): void {
    this.waits.replicasChanged(blocks)
  }

  /** What time alone causes. Called by a timer, and by tests. */
  tick(): void {
    this.blocks.tick(this.now())
    this.#ticker.tick()
    this.#digestKeeper.tick()
    this.namesystem.evict(this.loader.oldestLoadStartedAt(), this.#rowsInUse)
  }

  /** Answers or fails what is under way, folds everything, and leaves an empty journal behind. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel()
    this.#isStopping = true
    this.#ticker.stop()
    this.blockLoading.stop()
    this.waits.endAll()
    await this.#digestKeeper.stop()
    await this.journal.flushed()
    await this.checkpointer.stop()
    await this.journal.close(this.checkpointer.foldedTxid)
    await this.store.close()
  }

  async #recover(): Promise<void> {
    const { store, journalStorage, logger } = this.#options
    const { position, identity } = store
    const startedAt = this.now()
    this.namesystem.restore({
      nextIds: position.nextIds,
      totals: position.totals,
      openFiles: await store.openFiles(),
      datanodes: await store.datanodes(),
      now: startedAt,
    })
    const tail: Transaction[] = []
    const recovered = await recoverJournal({
      storage: journalStorage,
      clusterId: identity.clusterId,
      appliedTxid: position.appliedTxid,
      logger,
      replay: (transaction) => {
        this.namesystem.apply(transaction)
        this.blockLoading.observe(transaction)
        tail.push(transaction)
      },
    })
    this.#openJournal(recovered)
    for (const transaction of tail) this.checkpointer.add(transaction)
    const { superuser } = this.#options
    if (recovered.nextTxid === 1) {
      await this.#commit(genesisChanges({ ...superuser, wall: this.wall() }), [])
    }
    this.blocks.totalBlocks(this.namesystem.status().totals.blocks)
    logger.info('journal-replayed', {
      appliedTxid: position.appliedTxid,
      transactions: recovered.replayedCount,
      durationMs: this.now() - startedAt,
    })
  }

  #openJournal({ segments, nextTxid, epoch }: Awaited<ReturnType<typeof recoverJournal>>): void {
    const { store, journalStorage, clock, timers, logger, onFatal, space } = this.#options
    this.#journal = new Journal({
      ...{ storage: journalStorage, segments, nextTxid, logger, onFatal },
      clusterId: store.identity.clusterId,
      epoch: Math.max(soleEpoch, epoch),
      onBatch: (transactions, bytes) => {
        space?.wrote(bytes)
        this.#options.onBatch?.(transactions, bytes)
      },
      onOutOfSpace: () => space?.exhausted() ?? Promise.resolve(false),
      segmentBytesMax: this.#options.segmentBytesMax,
    })
    this.#checkpointer = new Checkpointer({
      ...{ store, clock, timers, logger, journal: this.#journal },
      unfoldedMax: this.#options.unfoldedMax,
      onFolded: (through) => {
        this.namesystem.folded(through)
      },
      onFailed: (error) => {
        if (isDfsError(error, 'DISK_FULL')) void space?.exhausted()
        if (isDfsError(error, 'CORRUPTION')) onFatal(error)
      },
    })
    space?.onLow(() => {
      this.checkpointer.wake()
    })
  }

  #loadBlocks(): void {
    const { store, logger } = this.#options
    const startedAt = this.now()
    this.blockLoading.run(store, this.blocks).then(
      () => {
        if (!this.blockLoading.isDone) return
        const leftOut = (store.restores ?? []).map(({ blocksFrom, blocksBelow }) => {
          return { from: blocksFrom, below: blocksBelow }
        })
        this.blocks.finishedLoading(this.namesystem.nextIds().blockId, leftOut)
        const blocks = this.blockLoading.loadedCount
        logger.info('blocks-loaded', { blocks, durationMs: this.now() - startedAt })
      },
      (error: unknown) => {
        if (this.#isStopping) return
        logger.error('block-loading-failed', { error })
        this.#options.onFatal(error)
      },
    )
  }

  /** A call that may have been answered before what memory remembers. */
  #repeat<R extends Request>(caller: Caller, request: R, id: RequestId): Promise<ReplyOf<R>> {
    const since = millis(this.wall() - limits.retryCacheMs)
    return this.store.reply(id, since).then((stored): ReplyOf<R> | Promise<ReplyOf<R>> => {
      const cached = stored ?? this.namesystem.cachedReply(id)
      if (cached === undefined) return this.#change(caller, request)
      return this.release(fromCachedReply(request, cached))
    })
  }

  /** A change waits until it may be made, then goes ahead. */
  #change<R extends Request>(caller: Caller, request: R): ReplyOf<R> | Promise<ReplyOf<R>> {
    const open = this.#gate.open()
    if (open === undefined) return this.#attempt({ caller, request })
    return open.then(() => this.#change(caller, request))
  }

  #attempt<R extends Request>(call: Call<R>): ReplyOf<R> | Promise<ReplyOf<R>> {
    const { caller, request, page, loadedRows = 0 } = call
    let outcome: Outcome<ReplyOf<R>>
    try {
      outcome = this.namesystem.propose(this.now(), this.wall(), caller, request, page)
    } catch (error) {
      this.#rowCache.hits += 1
      this.#rowsInUse -= loadedRows
      return this.#refuse(error)
    }
    if (outcome.kind === 'miss') {
      this.#rowCache.misses += 1
      return this.#afterLoad(call, outcome.misses)
    }
    this.#rowCache.hits += 1
    this.#rowsInUse -= loadedRows
    switch (outcome.kind) {
      case 'plan': {
        const { reply, changes, effects } = outcome
        if (changes.length === 0 && effects.length === 0) return this.release(reply)
        return this.#commit(changes, effects, answeredBy(caller, request, reply)).then(() => reply)
      }
      case 'refuse': {
        const { changes, effects, error } = outcome
        return this.#commit(changes, effects).then(() => {
          throw error
        })
      }
      case 'wait':
        return this.#afterReport(call, outcome.blocks)
    }
  }

  /** An error may tell of a change that is not durable yet, as a reply may. */
  #refuse(error: unknown): Promise<never> {
    if (this.journal.waitingCount === 0) throw error
    return this.journal.flushed().then(() => {
      throw error
    })
  }

  #commit(
    changes: Transaction['changes'],
    effects: readonly Effect[],
    answered?: Transaction['answered'],
  ): Promise<void> {
    if (changes.length === 0) {
      this.namesystem.follow(effects)
      return this.journal.flushed()
    }
    const transaction: Transaction = {
      txid: this.journal.nextTxid,
      epoch: this.journal.epoch,
      wallTime: this.wall(),
      changes,
      answered,
    }
    this.namesystem.apply(transaction)
    this.namesystem.follow(effects)
    this.blockLoading.observe(transaction)
    const durable = this.journal.append(transaction)
    this.checkpointer.add(transaction)
    return durable
  }

  #afterLoad<R extends Request>(call: Call<R>, misses: readonly Miss[]): Promise<ReplyOf<R>> {
    const loadedRows = (call.loadedRows ?? 0) + misses.length
    this.#rowsInUse += misses.length
    return new Promise((resolve, reject) => {
      this.loader.request(
        misses,
        (page) => {
          settle(resolve, reject, () => this.#attempt({ ...call, page, loadedRows }))
        },
        (error: unknown) => {
          this.#rowsInUse -= loadedRows
          reject(error instanceof Error ? error : new Error(String(error)))
        },
      )
    })
  }

  #afterReport<R extends Request>(call: Call<R>, blocks: readonly BlockId[]): Promise<ReplyOf<R>> {
    const waitMs = this.settings['dfs.namenode.reports.wait']
    const deadline = call.deadline ?? this.now() + waitMs
    return new Promise((resolve, reject) => {
      this.waits.wait(blocks, Math.max(0, deadline - this.now()), (isLastTry) => {
        const request = isLastTry ? { ...call.request, isLastTry } : call.request
        settle(resolve, reject, () => this.#attempt({ caller: call.caller, request, deadline }))
      })
    })
  }
}

/** One request on its way through propose. */
interface Call<R extends Request> {
  readonly caller: Caller
  readonly request: R
  readonly page?: Loaded | undefined
  /** How many rows were loaded for it so far. */
  readonly loadedRows?: number | undefined
  /** Monotonic time at which a wait for reports ends. */
  readonly deadline?: number | undefined
}

function settle<T>(
  resolve: (value: T | Promise<T>) => void,
  reject: (error: unknown) => void,
  action: () => T | Promise<T>,
): void {
  try {
    resolve(action())
  } catch (error) {
    reject(error)
  }
}
