/**
 * Names of directory entries and their order. Listings merge rows in memory with pages from SQLite, so
 * both must agree on one order: SQLite's BINARY, the order of the UTF-8 bytes. That differs from
 * JavaScript's order of UTF-16 units in one way: characters beyond U+FFFF (surrogate pairs, units
 * D800–DFFF) come after U+E000–U+FFFF, not before.
 *
 * Names are well-formed (paths.ts refuses lone surrogates), so each has exactly one UTF-8 form.
 */

const surrogateMin = 0xd800
const surrogateMax = 0xdfff
const chunkNamesMax = 512

/** Orders two names by their UTF-8 bytes: negative, zero or positive. */
export function compareNames(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index += 1) {
    const a = left.charCodeAt(index)
    const b = right.charCodeAt(index)
    if (a !== b) return a < surrogateMin || b < surrogateMin ? a - b : rank(a) - rank(b)
  }
  return left.length - right.length
}

/** Moves surrogates behind every other unit. */
function rank(unit: number): number {
  return unit > surrogateMax ? unit - 0x800 : unit + 0x2000
}

/** Number of bytes of `text` in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) continue
    // A surrogate pair is two units and four bytes, so two bytes for each of its units.
    bytes += unit < 0x800 || (unit >= surrogateMin && unit <= surrogateMax) ? 1 : 2
  }
  return bytes
}

/**
 * A sorted set of names that grows and shrinks one by one, in chunks of at most 512: inserting into a
 * directory of a million names moves a few hundred of them. No chunk is empty.
 */
export class SortedNames {
  readonly #chunks: string[][] = []
  #size = 0

  constructor(names: Iterable<string>) {
    const sorted = [...names].sort(compareNames)
    for (let start = 0; start < sorted.length; start += chunkNamesMax / 2) {
      this.#chunks.push(sorted.slice(start, start + chunkNamesMax / 2))
    }
    this.#size = sorted.length
  }

  get size(): number {
    return this.#size
  }

  /** Adds a name; adding one that is there does nothing. */
  add(name: string): void {
    if (this.#chunks.length === 0) {
      this.#chunks.push([name])
      this.#size = 1
      return
    }
    const at = Math.min(this.#chunkOf(name), this.#chunks.length - 1)
    const chunk = this.#chunks[at] ?? []
    const position = lowerBound(chunk, name)
    if (chunk[position] === name) return
    chunk.splice(position, 0, name)
    this.#size += 1
    if (chunk.length > chunkNamesMax) {
      this.#chunks.splice(at + 1, 0, chunk.splice(chunkNamesMax / 2))
    }
  }

  /** Removes a name; removing one that is not there does nothing. */
  delete(name: string): void {
    const at = this.#chunkOf(name)
    const chunk = this.#chunks[at]
    if (chunk === undefined) return
    const position = lowerBound(chunk, name)
    if (chunk[position] !== name) return
    chunk.splice(position, 1)
    this.#size -= 1
    if (chunk.length === 0) this.#chunks.splice(at, 1)
  }

  /** Yields the names strictly after `startAfter`, in order. */
  *after(startAfter: string): Generator<string, undefined> {
    let at = this.#chunkOf(startAfter)
    let chunk = this.#chunks[at]
    if (chunk === undefined) return
    let position = lowerBound(chunk, startAfter)
    if (chunk[position] === startAfter) position += 1
    while (chunk !== undefined) {
      for (; position < chunk.length; position += 1) {
        const name = chunk[position]
        if (name !== undefined) yield name
      }
      at += 1
      chunk = this.#chunks[at]
      position = 0
    }
  }

  /** Number of names strictly after `startAfter`. */
  countAfter(startAfter: string): number {
    const at = this.#chunkOf(startAfter)
    const chunk = this.#chunks[at]
    if (chunk === undefined) return 0
    const position = lowerBound(chunk, startAfter)
    let count = chunk.length - position - (chunk[position] === startAfter ? 1 : 0)
    for (let next = at + 1; next < this.#chunks.length; next += 1) {
      count += this.#chunks[next]?.length ?? 0
    }
    return count
  }

  /** Index of the first chunk whose last name is not before `name`; the number of chunks when there is none. */
  #chunkOf(name: string): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const last = this.#chunks[middle]?.at(-1) ?? ''
      if (compareNames(last, name) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Index of the first name that is not before `name`. */
function lowerBound(names: readonly string[], name: string): number {
  let low = 0
  let high = names.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareNames(names[middle] ?? '', name) < 0) low = middle + 1
    else high = middle
  }
  return low
}
