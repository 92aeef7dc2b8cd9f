/**
 * A transaction being planned: collects row changes, keeps one final row per inode, and hands out ids.
 * Nothing outside sees a draft; throwing it away leaves no trace, so an id that was drafted but never
 * applied is handed out again.
 */
import type { BlockId, DatanodeUuid, GenerationStamp, InodeId } from '../../protocol/ids.ts'
import type { BlockRow, DatanodeRow, InodeRow, NamespaceChange, NextIds } from './changes.ts'
import type { Effect, Plan } from './outcome.ts'

type OtherChange = Exclude<NamespaceChange, { kind: 'inode.put' | 'ids.allocated' }>

export class Draft {
  readonly effects: Effect[] = []
  readonly #start: NextIds
  #inodeId: InodeId
  #blockId: BlockId
  #generationStamp: GenerationStamp
  readonly #putById = new Map<InodeId, NamespaceChange & { kind: 'inode.put' }>()
  readonly #changes: OtherChange[] = []

  constructor(nextIds: NextIds) {
    this.#start = nextIds
    this.#inodeId = nextIds.inodeId
    this.#blockId = nextIds.blockId
    this.#generationStamp = nextIds.generationStamp
  }

  /** Number of changes so far. */
  get size(): number {
    return this.#putById.size + this.#changes.length
  }

  allocateInodeId(): InodeId {
    const id = this.#inodeId
    this.#inodeId = (id + 1) as InodeId
    return id
  }

  allocateBlockId(): BlockId {
    const id = this.#blockId
    this.#blockId = (id + 1) as BlockId
    return id
  }

  allocateGenerationStamp(): GenerationStamp {
    const stamp = this.#generationStamp
    this.#generationStamp = (stamp + 1) as GenerationStamp
    return stamp
  }

  /** The row as this draft leaves it: `row` unless the draft put a newer one. */
  latest(row: InodeRow): InodeRow {
    return this.#putById.get(row.id)?.inode ?? row
  }

  createInode(inode: InodeRow): void {
    this.#putById.set(inode.id, { kind: 'inode.put', created: true, inode })
  }

  /** Replaces an inode's row; give fields relative to {@link latest}. */
  putInode(inode: InodeRow): void {
    const created = this.#putById.get(inode.id)?.created === true
    this.#putById.set(inode.id, { kind: 'inode.put', created, inode })
  }

  deleteInode(inode: InodeRow): void {
    this.#putById.delete(inode.id)
    this.#changes.push({ kind: 'inode.delete', id: inode.id, inodeKind: inode.kind })
  }

  putEntry(parent: InodeId, name: string, inode: InodeId): void {
    this.#changes.push({ kind: 'entry.put', parent, name, inode })
  }

  deleteEntry(parent: InodeId, name: string): void {
    this.#changes.push({ kind: 'entry.delete', parent, name })
  }

  /**
   * Puts a block; its file's row goes along, so that a replay knows how many replicas it wants. Bytes
   * that may still change have no digest.
   */
  putBlock(file: InodeRow, block: BlockRow, created = false): void {
    if (!this.#putById.has(file.id)) this.putInode(file)
    const { digest, ...open } = block
    const row = block.state === 'complete' || digest === undefined ? block : open
    this.#changes.push({ kind: 'block.put', created, block: row })
  }

  /** `index`: the place that becomes free, see {@link NamespaceChange}. */
  deleteBlock({ id, inode, index }: Pick<BlockRow, 'id' | 'inode' | 'index'>): void {
    this.#changes.push({ kind: 'block.delete', id, inode, index })
  }

  putDatanode(datanode: DatanodeRow): void {
    this.#changes.push({ kind: 'datanode.put', datanode })
  }

  deleteDatanode(uuid: DatanodeUuid): void {
    this.#changes.push({ kind: 'datanode.delete', uuid })
  }

  /** Everything collected; inodes first, so that a block's file is known before the block. */
  changes(): readonly NamespaceChange[] {
    const changes: NamespaceChange[] = [...this.#putById.values(), ...this.#changes]
    const movedInode = this.#inodeId !== this.#start.inodeId
    const movedBlock = this.#blockId !== this.#start.blockId
    const movedStamp = this.#generationStamp !== this.#start.generationStamp
    if (movedInode || movedBlock || movedStamp) {
      changes.push({
        kind: 'ids.allocated',
        ...(movedInode && { nextInodeId: this.#inodeId }),
        ...(movedBlock && { nextBlockId: this.#blockId }),
        ...(movedStamp && { nextGenerationStamp: this.#generationStamp }),
      })
    }
    return changes
  }

  /** The plan that makes these changes and answers `reply`. */
  plan<Reply>(reply: Reply): Plan<Reply> {
    return { kind: 'plan', changes: this.changes(), effects: this.effects, reply }
  }
}
