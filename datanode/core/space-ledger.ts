/**
 * Space of one data directory: what the file system said last, what was written since, and what is promised
 * to replicas that are being written.
 *
 *     |---- used ----|-- promised --|------- remaining -------|-- reserved --|
 *                    ^ available to us as the file system says, less what was written since
 *
 * 1. `remaining` = available − reserved − promised, never below 0: a new replica gets a promise of all it
 *    may become, so replicas begun side by side cannot fill the disk together.
 * 2. What is written is taken from the replica's promise first.
 * 3. A promise ends with its writer, whatever became of the replica.
 */

/** Space promised to one replica that is being written. */
export interface SpacePromise {
  /** Counts `bytes` about to be written. */
  spend(bytes: number): void
  /** Gives back what was not spent; does nothing the second time. */
  end(): void
}

export class SpaceLedger {
  readonly #reservedBytes: number
  #totalBytes = 0
  #availableBytes = 0
  #promisedBytes = 0

  constructor(reservedBytes: number) {
    this.#reservedBytes = reservedBytes
  }

  /** Size of the disk less what is reserved for others. */
  get capacityBytes(): number {
    return Math.max(0, this.#totalBytes - this.#reservedBytes)
  }

  get promisedBytes(): number {
    return this.#promisedBytes
  }

  /** Bytes that may still be promised. */
  get remainingBytes(): number {
    return Math.max(0, this.#availableBytes - this.#reservedBytes - this.#promisedBytes)
  }

  /** Takes in what the file system says. */
  measured(totalBytes: number, availableBytes: number): void {
    this.#totalBytes = totalBytes
    this.#availableBytes = availableBytes
  }

  /** The file system refused to give more. */
  exhausted(): void {
    this.#availableBytes = 0
  }

  promise(bytes: number): SpacePromise {
    let left = bytes
    this.#promisedBytes += bytes
    return {
      spend: (spent) => {
        this.#availableBytes -= spent
        const covered = Math.min(left, spent)
        left -= covered
        this.#promisedBytes -= covered
      },
      end: () => {
        this.#promisedBytes -= left
        left = 0
      },
    }
  }
}
