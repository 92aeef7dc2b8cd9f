/**
 * Every block and where its replicas are, in paged typed arrays: 49 bytes a block with up to three
 * replicas, no object. Block ids are allocated in sequence, so a page is a run of 1024 of them.
 *
 *     id ──▶ pageByNumber ──▶ page { stamp[], length[], digest[], kind[], replication[], words[3 a block] }
 *                                                                   │ a fourth replica and more
 *                                                                   └──▶ overflow: offset → words
 *
 *     word = storage index << 3 | vouching << 2 | going << 1 | rbw          0 = no replica
 *
 * An entry whose row is not known yet (`unverified`) carries the stamp and length of the first report;
 * what disagrees with it, replicas of open blocks, and corrupt replicas live in `OpenBlocks` and
 * `CorruptReplicas`, which are small. Storage index 0 does not exist.
 */
import { assert } from '../../base/assert.ts'
import type { Brand } from '../../base/brand.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { BlockState } from '../../protocol/states.ts'

/** Position of an entry; valid until the entry is removed. */
export type Slot = Brand<number, 'Slot'>

/** A block's state, or `unverified`: replicas were reported, but its row is not known yet. */
export type EntryKind = 'unverified' | BlockState

/** A replica of an entry as one integer. */
export type ReplicaWord = Brand<number, 'ReplicaWord'>

export interface ReplicaFlags {
  /** Told, or about to be told, to delete it: it does not count any more. */
  readonly isGoing: boolean
  /** The datanode has not reported it finalized. */
  readonly isBeingWritten: boolean
  /** Its datanode reported the digest that the block has in the map, of its own accord: not as a repair's copy. */
  readonly isVouching?: boolean | undefined
}

/**
 * What is known of a block's digest.
 * - `none`: nothing
 * - `candidate`: some replica has it
 * - `agreed`: enough replicas have it to blame those that do not
 * - `stored`: it is in the block's row
 */
export type DigestState = 'none' | 'candidate' | 'agreed' | 'stored'

const pageBits = 10
const pageEntries = 1 << pageBits
const inlineReplicas = 3
const vouchingBit = 4
const goingBit = 2
const writingBit = 1
const storageShift = 3
const storageIndexLimit = 2 ** 28
const digestStates = ['none', 'candidate', 'agreed', 'stored'] as const
const codeByDigestState = { none: 0, candidate: 1, agreed: 2, stored: 3 } as const

const kinds = [
  undefined,
  'unverified',
  'under-construction',
  'under-recovery',
  'committed',
  'complete',
] as const satisfies readonly (EntryKind | undefined)[]
const absentCode = 0
const codeByKind = {
  unverified: 1,
  'under-construction': 2,
  'under-recovery': 3,
  committed: 4,
  complete: 5,
} as const satisfies Record<EntryKind, number>

interface Page {
  readonly number: number
  readonly stamps: Float64Array
  readonly lengths: Float64Array
  readonly digests: BigUint64Array
  readonly digestStates: Uint8Array
  readonly kinds: Uint8Array
  readonly replications: Uint16Array
  readonly words: Int32Array
  readonly overflow: Map<number, number[]>
  count: number
}

export function storageOf(word: ReplicaWord): number {
  return word >>> storageShift
}

export function isGoing(word: ReplicaWord): boolean {
  return (word & goingBit) !== 0
}

export function isVouching(word: ReplicaWord): boolean {
  return (word & vouchingBit) !== 0
}

export function isBeingWritten(word: ReplicaWord): boolean {
  return (word & writingBit) !== 0
}

/** Block → stamp, length, state, wanted replication and replicas. */
export class BlockMap {
  readonly #pages: (Page | undefined)[] = []
  readonly #freePages: number[] = []
  readonly #pageByNumber = new Map<number, number>()
  #entryCount = 0
  #rowCount = 0

  /** Entries, with and without a row. */
  get entryCount(): number {
    return this.#entryCount
  }

  /** Entries whose row is known. */
  get rowCount(): number {
    return this.#rowCount
  }

  /** No block of the map has an id above this; 0 when it is empty. */
  get idLimit(): number {
    let last = -1
    for (const number of this.#pageByNumber.keys()) last = Math.max(last, number)
    return (last + 1) * pageEntries
  }

  /** Slots are below this; it moves while pages are added. */
  get slotLimit(): number {
    return this.#pages.length * pageEntries
  }

  find(id: BlockId): Slot | undefined {
    const pageIndex = this.#pageByNumber.get(Math.floor(id / pageEntries))
    if (pageIndex === undefined) return undefined
    const offset = id % pageEntries
    if (this.#pages[pageIndex]?.kinds[offset] === absentCode) return undefined
    return slot(pageIndex * pageEntries + offset)
  }

  /** Adds an entry without replicas. The id must not be present. */
  add(id: BlockId, kind: EntryKind): Slot {
    const number = Math.floor(id / pageEntries)
    const pageIndex = this.#pageByNumber.get(number) ?? this.#addPage(number)
    const offset = id % pageEntries
    const page = this.#page(pageIndex)
    assert(page.kinds[offset] === absentCode, `block ${id} must not be in the map yet`)
    page.kinds[offset] = codeByKind[kind]
    page.stamps[offset] = 0
    page.lengths[offset] = 0
    page.digestStates[offset] = codeByDigestState.none
    page.replications[offset] = 0
    page.count += 1
    this.#entryCount += 1
    if (kind !== 'unverified') this.#rowCount += 1
    return slot(pageIndex * pageEntries + offset)
  }

  remove(at: Slot): void {
    const pageIndex = at >>> pageBits
    const page = this.#page(pageIndex)
    const offset = at % pageEntries
    if (this.kind(at) !== 'unverified') this.#rowCount -= 1
    page.kinds[offset] = absentCode
    page.words.fill(0, offset * inlineReplicas, (offset + 1) * inlineReplicas)
    page.overflow.delete(offset)
    page.count -= 1
    this.#entryCount -= 1
    if (page.count === 0) {
      this.#pageByNumber.delete(page.number)
      this.#pages[pageIndex] = undefined
      this.#freePages.push(pageIndex)
    }
  }

  /** The slot at a position below `slotLimit` if it holds an entry; for passes over the whole map. */
  usedSlot(position: number): Slot | undefined {
    const page = this.#pages[position >>> pageBits]
    if (page === undefined || page.kinds[position % pageEntries] === absentCode) return undefined
    return slot(position)
  }

  /** Whether a replica is on a storage whose index is marked with 1. */
  isOnAny(at: Slot, marks: Uint8Array): boolean {
    const page = this.#page(at >>> pageBits)
    const offset = at % pageEntries
    for (let index = 0; index < inlineReplicas; index += 1) {
      const word = page.words[offset * inlineReplicas + index] ?? 0
      if (marks[word >>> storageShift] === 1) return true
    }
    if (page.overflow.size === 0) return false
    return page.overflow.get(offset)?.some((word) => marks[word >>> storageShift] === 1) === true
  }

  id(at: Slot): BlockId {
    // The id was checked when the entry was added; this only undoes the paging.
    return (this.#page(at >>> pageBits).number * pageEntries + (at % pageEntries)) as BlockId
  }

  kind(at: Slot): EntryKind {
    const kind = kinds[this.#page(at >>> pageBits).kinds[at % pageEntries] ?? absentCode]
    assert(kind !== undefined, `slot ${at} must hold a block`)
    return kind
  }

  setKind(at: Slot, kind: EntryKind): void {
    const wasRow = this.kind(at) !== 'unverified'
    const isRow = kind !== 'unverified'
    if (wasRow !== isRow) this.#rowCount += isRow ? 1 : -1
    this.#page(at >>> pageBits).kinds[at % pageEntries] = codeByKind[kind]
  }

  generationStamp(at: Slot): GenerationStamp {
    return (this.#page(at >>> pageBits).stamps[at % pageEntries] ?? 0) as GenerationStamp
  }

  length(at: Slot): number {
    return this.#page(at >>> pageBits).lengths[at % pageEntries] ?? 0
  }

  /** Sets stamp and length; of another version nothing is known of a digest. */
  setVersion(at: Slot, generationStamp: GenerationStamp, length: number): void {
    const page = this.#page(at >>> pageBits)
    const isSame =
      page.stamps[at % pageEntries] === generationStamp && page.lengths[at % pageEntries] === length
    if (!isSame) page.digestStates[at % pageEntries] = codeByDigestState.none
    page.stamps[at % pageEntries] = generationStamp
    page.lengths[at % pageEntries] = length
  }

  digestState(at: Slot): DigestState {
    return digestStates[this.#page(at >>> pageBits).digestStates[at % pageEntries] ?? 0] ?? 'none'
  }

  /** Digest of the block; `undefined` in the state `none`. */
  digest(at: Slot): bigint | undefined {
    const page = this.#page(at >>> pageBits)
    if (page.digestStates[at % pageEntries] === codeByDigestState.none) return undefined
    return page.digests[at % pageEntries]
  }

  setDigest(at: Slot, digest: bigint, state: DigestState): void {
    const page = this.#page(at >>> pageBits)
    page.digests[at % pageEntries] = digest
    page.digestStates[at % pageEntries] = codeByDigestState[state]
  }

  /** Wanted number of replicas. */
  replication(at: Slot): number {
    return this.#page(at >>> pageBits).replications[at % pageEntries] ?? 0
  }

  setReplication(at: Slot, replication: number): void {
    this.#page(at >>> pageBits).replications[at % pageEntries] = replication
  }

  /** All replicas, in no particular order; a copy. */
  replicas(at: Slot): readonly ReplicaWord[] {
    const page = this.#page(at >>> pageBits)
    const offset = at % pageEntries
    const found: ReplicaWord[] = []
    for (let index = 0; index < inlineReplicas; index += 1) {
      const word = page.words[offset * inlineReplicas + index] ?? 0
      if (word !== 0) found.push(word as ReplicaWord)
    }
    if (page.overflow.size > 0) {
      for (const word of page.overflow.get(offset) ?? []) found.push(word as ReplicaWord)
    }
    return found
  }

  hasReplicas(at: Slot): boolean {
    const page = this.#page(at >>> pageBits)
    const first = (at % pageEntries) * inlineReplicas
    for (let index = 0; index < inlineReplicas; index += 1) {
      if (page.words[first + index] !== 0) return true
    }
    return page.overflow.has(at % pageEntries)
  }

  /** The replica on a storage, if recorded. */
  replicaOn(at: Slot, storage: number): ReplicaWord | undefined {
    const page = this.#page(at >>> pageBits)
    const offset = at % pageEntries
    for (let index = 0; index < inlineReplicas; index += 1) {
      const word = page.words[offset * inlineReplicas + index] ?? 0
      if (word !== 0 && word >>> storageShift === storage) return word as ReplicaWord
    }
    if (page.overflow.size === 0) return undefined
    const beyond = page.overflow.get(offset)?.find((word) => word >>> storageShift === storage)
    return beyond === undefined ? undefined : (beyond as ReplicaWord)
  }

  /** Records a replica, or changes the flags of the one on that storage. Returns whether it is new. */
  putReplica(at: Slot, storage: number, flags: ReplicaFlags): boolean {
    assert(
      storage > 0 && storage < storageIndexLimit,
      `storage index must be positive, got ${storage}`,
    )
    const word =
      (storage << storageShift) |
      (flags.isVouching === true ? vouchingBit : 0) |
      (flags.isGoing ? goingBit : 0) |
      (flags.isBeingWritten ? writingBit : 0)
    const page = this.#page(at >>> pageBits)
    const offset = at % pageEntries
    const isNew = this.replicaOn(at, storage) === undefined
    const sought = isNew ? 0 : storage
    for (let index = 0; index < inlineReplicas; index += 1) {
      const position = offset * inlineReplicas + index
      if ((page.words[position] ?? 0) >>> storageShift === sought) {
        page.words[position] = word
        return isNew
      }
    }
    const beyond = page.overflow.get(offset) ?? []
    const position = isNew ? beyond.length : beyond.findIndex((w) => w >>> storageShift === storage)
    beyond[position] = word
    page.overflow.set(offset, beyond)
    return isNew
  }

  /** Forgets the replica on a storage. Returns whether there was one. */
  removeReplica(at: Slot, storage: number): boolean {
    const page = this.#page(at >>> pageBits)
    const offset = at % pageEntries
    const beyond = page.overflow.get(offset)
    for (let index = 0; index < inlineReplicas; index += 1) {
      const position = offset * inlineReplicas + index
      const word = page.words[position] ?? 0
      if (word !== 0 && word >>> storageShift === storage) {
        page.words[position] = beyond?.pop() ?? 0
        if (beyond?.length === 0) page.overflow.delete(offset)
        return true
      }
    }
    const position = beyond?.findIndex((word) => word >>> storageShift === storage) ?? -1
    if (beyond === undefined || position < 0) return false
    beyond.splice(position, 1)
    if (beyond.length === 0) page.overflow.delete(offset)
    return true
  }

  /** Indexes of the pages in use; `slotsOn` takes one at a time, so that a pass can be cut into steps. */
  pageIndexes(): readonly number[] {
    return [...this.#pageByNumber.values()]
  }

  /** Lowest block id that belongs on a page; `undefined` when the page is gone. */
  firstIdOf(pageIndex: number): number | undefined {
    const page = this.#pages[pageIndex]
    return page === undefined ? undefined : page.number * pageEntries
  }

  /** Entries of a page with a replica on a storage; reads 12 bytes a block. */
  slotsOn(storage: number, pageIndex: number): readonly Slot[] {
    const found: Slot[] = []
    const page = this.#pages[pageIndex]
    if (page === undefined) return found
    const words = page.words
    for (let position = 0; position < words.length; position += 1) {
      if ((words[position] ?? 0) >>> storageShift !== storage) continue
      found.push(slot(pageIndex * pageEntries + Math.floor(position / inlineReplicas)))
    }
    for (const [offset, beyond] of page.overflow) {
      const isHere = beyond.some((word) => word >>> storageShift === storage)
      if (isHere) found.push(slot(pageIndex * pageEntries + offset))
    }
    return found
  }

  /** Stops with an AssertionError when the counters do not match the pages. */
  invariants(): void {
    let entries = 0
    let rows = 0
    for (let position = 0; position < this.slotLimit; position += 1) {
      const at = this.usedSlot(position)
      if (at === undefined) continue
      entries += 1
      if (this.kind(at) !== 'unverified') rows += 1
      const storages = this.replicas(at).map(storageOf)
      assert(
        new Set(storages).size === storages.length,
        `block ${this.id(at)} must have one replica a storage`,
      )
    }
    assert(entries === this.#entryCount, `map must count ${entries} entries`)
    assert(rows === this.#rowCount, `map must count ${rows} rows`)
  }

  #page(pageIndex: number): Page {
    const page = this.#pages[pageIndex]
    assert(page !== undefined, `page ${pageIndex} must exist`)
    return page
  }

  #addPage(number: number): number {
    const page: Page = {
      number,
      stamps: new Float64Array(pageEntries),
      lengths: new Float64Array(pageEntries),
      digests: new BigUint64Array(pageEntries),
      digestStates: new Uint8Array(pageEntries),
      kinds: new Uint8Array(pageEntries),
      replications: new Uint16Array(pageEntries),
      words: new Int32Array(pageEntries * inlineReplicas),
      overflow: new Map(),
      count: 0,
    }
    const pageIndex = this.#freePages.pop() ?? this.#pages.length
    this.#pages[pageIndex] = page
    this.#pageByNumber.set(number, pageIndex)
    return pageIndex
  }
}

function slot(value: number): Slot {
  return value as Slot
}
