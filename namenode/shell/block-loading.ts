import type { BlockId, InodeId } from '../../protocol/ids.ts'
import type { BlockRow, Transaction } from '../core/changes.ts'
import type { NamespaceStore } from './namespace-store.ts'

/** Blocks per page: a page is a few milliseconds of work, and requests are served in between. */
const pageRows = 2000

/** Where the rows go: the block side. */
export interface BlockSink {
  blockPut(row: BlockRow, replication: number): void
  replicationChanged(ids: readonly BlockId[], replication: number): void
}

/**
 * Streams every block row of the store to the block side after a start, while requests are served. A page
 * is as old as the moment it was read; whatever transactions say that the store did not hold at the start
 * is newer and must not be overwritten, so it is remembered until the end.
 */
export class BlockLoading {
  readonly #changedBlocks = new Set<BlockId>()
  readonly #replications = new Map<InodeId, number>()
  #loadedCount = 0
  #state: 'loading' | 'done' | 'stopped' = 'loading'

  /** Rows streamed so far. */
  get loadedCount(): number {
    return this.#loadedCount
  }

  get isDone(): boolean {
    return this.#state === 'done'
  }

  /** Takes note of a transaction that the store did not hold at the start. */
  observe(transaction: Transaction): void {
    if (this.#state !== 'loading') return
    for (const change of transaction.changes) {
      if (change.kind === 'block.put') this.#changedBlocks.add(change.block.id)
      else if (change.kind === 'block.delete') this.#changedBlocks.add(change.id)
      else if (change.kind === 'inode.put' && change.inode.kind === 'file') {
        this.#replications.set(change.inode.id, change.inode.replication)
      }
    }
  }

  /** Streams everything, unless it is stopped before. */
  async run(store: NamespaceStore, sink: BlockSink): Promise<void> {
    for await (const page of store.streamBlocks(pageRows)) {
      if (this.#state === 'stopped') return
      for (const { block, replication } of page) {
        const wanted = this.#replications.get(block.inode) ?? replication
        // Replay puts a block of a file that memory does not hold with an unknown replication.
        if (this.#changedBlocks.has(block.id)) sink.replicationChanged([block.id], wanted)
        else sink.blockPut(block, wanted)
      }
      this.#loadedCount += page.length
    }
    this.#state = 'done'
    this.#changedBlocks.clear()
    this.#replications.clear()
  }

  stop(): void {
    if (this.#state === 'loading') this.#state = 'stopped'
  }
}
