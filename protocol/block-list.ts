/**
 * Block lists of full block reports (StorageBlockReport.blocksBuffers; HDFS: BlockListAsLongs with
 * capability STORAGE_BLOCK_REPORT_BUFFERS). The replicas of one storage, four raw varints each, in one
 * byte string that is cut into pieces of at most 64 KiB. We cut between replicas; a reader must accept a
 * cut anywhere.
 *
 *     blockId          zig-zag varint64; negative ids (striped blocks) are refused
 *     length           varint64, low 48 bits
 *     generationStamp  varint64
 *     state            varint64, low 4 bits: index in replicaStates
 *
 * The number of replicas travels beside the bytes (numberOfBlocks) and must match. So do, between our own
 * programs, the replicas' digests (StorageBlockReport.digests): 8 bytes each, big-endian, 0 for unknown.
 */
import { assert } from '../base/assert.ts'
import { DfsError } from './errors.ts'
import { type BlockId, blockId, type GenerationStamp, generationStamp } from './ids.ts'
import { type ReplicaState, replicaStates } from './states.ts'

/** One replica as a full block report lists it. */
export interface ListedReplica {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  /** Bytes on disk, below 2^48. */
  readonly length: number
  readonly state: ReplicaState
  /** Digest of a finalized replica, when it is known. */
  readonly digest?: bigint | undefined
}

/** Encoded list: `pieces` are at most 64 KiB each and not empty. */
export interface BlockList {
  readonly count: number
  readonly pieces: readonly Uint8Array[]
  /** Digests of the replicas in the same order, 8 bytes each; absent when none is known. */
  readonly digests?: Uint8Array
}

const pieceBytesMax = 64 * 1024
const varintBytesMax = 10
const replicaBytesMax = 4 * varintBytesMax
const fieldsPerReplica = 4
const digestBytes = 8
const lengthLimit = 2 ** 48
const stateByNumber: readonly ReplicaState[] = replicaStates
const numberByState = new Map(replicaStates.map((state, index) => [state, index]))

/** Encodes `replicas` in the order given. */
export function encodeBlockList(replicas: Iterable<ListedReplica>): BlockList {
  const pieces: Uint8Array[] = []
  let piece = new Uint8Array(pieceBytesMax)
  let position = 0
  let count = 0
  const digests = new DigestColumn()
  const write = (value: number): void => {
    let rest = value
    while (rest >= 0x80) {
      piece[position] = (rest % 0x80) + 0x80
      position += 1
      rest = Math.floor(rest / 0x80)
    }
    piece[position] = rest
    position += 1
  }
  for (const replica of replicas) {
    if (position + replicaBytesMax > pieceBytesMax) {
      pieces.push(piece.subarray(0, position))
      piece = new Uint8Array(pieceBytesMax)
      position = 0
    }
    assert(replica.length < lengthLimit, `replica length ${replica.length} must be below 2^48`)
    write(replica.blockId * 2)
    write(replica.length)
    write(replica.generationStamp)
    write(numberByState.get(replica.state) ?? 0)
    if (replica.digest !== undefined) digests.set(count, replica.digest)
    count += 1
  }
  if (position > 0) pieces.push(piece.slice(0, position))
  const column = digests.bytes(count)
  return column === undefined ? { count, pieces } : { count, pieces, digests: column }
}

/** Collects the digests of a list; costs nothing while none is known. */
class DigestColumn {
  #bytes = new Uint8Array(0)

  set(index: number, digest: bigint): void {
    const end = (index + 1) * digestBytes
    if (end > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(1024, 2 * end))
      bigger.set(this.#bytes)
      this.#bytes = bigger
    }
    new DataView(this.#bytes.buffer).setBigUint64(end - digestBytes, digest)
  }

  bytes(count: number): Uint8Array | undefined {
    if (this.#bytes.length === 0) return undefined
    const column = new Uint8Array(count * digestBytes)
    column.set(this.#bytes.subarray(0, column.length))
    return column
  }
}

/**
 * Reads digest number `index` beside a list of `count` replicas; `undefined` when it is not known.
 *
 * @throws {@link DfsError} BAD_FRAME when there are digests, but not one for each replica
 */
export function listedDigest(
  digests: Uint8Array | undefined,
  count: number,
  index: number,
): bigint | undefined {
  if (digests === undefined) return undefined
  if (digests.length !== count * digestBytes) {
    throw new DfsError(
      'BAD_FRAME',
      `Block list of ${count} replicas has ${digests.length} bytes of digests, need ${digestBytes} each`,
    )
  }
  const view = new DataView(digests.buffer, digests.byteOffset, digests.byteLength)
  return view.getBigUint64(index * digestBytes) || undefined
}

/** Receives each decoded replica; plain arguments, because a report may hold millions. */
export type ReplicaVisitor = (
  blockId: BlockId,
  generationStamp: GenerationStamp,
  length: number,
  state: ReplicaState,
) => void

/** Decodes a block list whose pieces arrive one after the other, cut anywhere. */
export class BlockListDecoder {
  readonly #expected: number
  readonly #visit: ReplicaVisitor
  readonly #fields: [number, number, number, number] = [0, 0, 0, 0]
  #fieldIndex = 0
  #value = 0
  #scale = 1
  #valueBytes = 0
  #count = 0

  constructor(expectedCount: number, visit: ReplicaVisitor) {
    this.#expected = expectedCount
    this.#visit = visit
  }

  /**
   * Decodes all of `piece`; it is not kept.
   *
   * @throws {@link DfsError} BAD_FRAME when the bytes are no block list of the announced count.
   */
  push(piece: Uint8Array): void {
    for (const byte of piece) {
      this.#value += (byte & 0x7f) * this.#scale
      this.#valueBytes += 1
      if (byte < 0x80) {
        this.#endField()
      } else {
        this.#scale *= 0x80
        if (this.#valueBytes === varintBytesMax) {
          throw this.#bad(`has a number of more than ${varintBytesMax} bytes`)
        }
      }
    }
  }

  /**
   * Tells that no piece follows.
   *
   * @throws {@link DfsError} BAD_FRAME when replicas are missing or the last one is cut short.
   */
  end(): void {
    if (this.#fieldIndex !== 0 || this.#valueBytes !== 0) throw this.#bad('ends within a replica')
    if (this.#count !== this.#expected) {
      throw this.#bad(`holds ${this.#count} replicas where ${this.#expected} were announced`)
    }
  }

  #endField(): void {
    this.#fields[this.#fieldIndex] = this.#value
    this.#value = 0
    this.#scale = 1
    this.#valueBytes = 0
    this.#fieldIndex += 1
    if (this.#fieldIndex === fieldsPerReplica) this.#endReplica()
  }

  #endReplica(): void {
    this.#fieldIndex = 0
    this.#count += 1
    if (this.#count > this.#expected) {
      throw this.#bad(`holds more replicas than the ${this.#expected} announced`)
    }
    const [zigzagId, length, stamp, stateNumber] = this.#fields
    const id = zigzagId / 2
    if (!Number.isSafeInteger(id)) throw this.#bad('has a block id that is negative or above 2^53')
    if (!Number.isSafeInteger(stamp)) throw this.#bad('has a generation stamp above 2^53')
    const state = stateByNumber[stateNumber % 0x10]
    if (state === undefined) throw this.#bad(`has a replica in the unknown state ${stateNumber}`)
    this.#visit(blockId(id), generationStamp(stamp), length % lengthLimit, state)
  }

  #bad(what: string): DfsError {
    return new DfsError('BAD_FRAME', `Block list ${what} (replica ${this.#count} of the list)`)
  }
}

/**
 * Decodes a whole list.
 *
 * @throws {@link DfsError} BAD_FRAME as {@link BlockListDecoder} does.
 */
export function decodeBlockList(
  count: number,
  pieces: readonly Uint8Array[],
  visit: ReplicaVisitor,
): void {
  const decoder = new BlockListDecoder(count, visit)
  for (const piece of pieces) decoder.push(piece)
  decoder.end()
}
