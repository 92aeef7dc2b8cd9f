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
  /** Changed blocks with the file they belong to since; none when deleted. */
  readonly #fileByChanged = new Map<BlockId, InodeId | undefined>()
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
      if (change.kind === 'block.put') this.#fileByChanged.set(change.block.id, change.block.inode)
      else if (change.kind === 'block.delete') this.#fileByChanged.set(change.id, undefined)
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
        if (!this.#fileByChanged.has(block.id)) sink.blockPut(block, wanted)
        else if (this.#fileByChanged.get(block.id) === block.inode) {
          // Replay puts a block of a file that memory does not hold with an unknown replication.
          sink.replicationChanged([block.id], wanted)
        }
      }
      this.#loadedCount += page.length
    }
    this.#state = 'done'
    this.#fileByChanged.clear()
    this.#replications.clear()
  }

  stop(): void {
    if (this.#state === 'loading') this.#state = 'stopped'
  }
}
