import { once } from 'node:events'
import type { Writable } from 'node:stream'

const bufferedCharactersMax = 32 * 1024

/** Lines on their way to stdout, written in large pieces: a listing is one system call, not thousands. */
export class LineWriter {
  readonly #sink: Writable
  #buffered = ''

  constructor(sink: Writable) {
    this.#sink = sink
  }

  line(text = ''): void {
    this.#buffered += `${text}\n`
    if (this.#buffered.length >= bufferedCharactersMax) this.flush()
  }

  lines(texts: Iterable<string>): void {
    for (const text of texts) this.line(text)
  }

  /** A whole JSON document, indented for reading. */
  json(value: unknown): void {
    this.line(JSON.stringify(value, undefined, 2))
  }

  /** Waits until the reader has taken enough; for loops that print without end. */
  async ready(): Promise<void> {
    if (this.#sink.writableNeedDrain) await once(this.#sink, 'drain')
  }

  flush(): void {
    if (this.#buffered === '') return
    const text = this.#buffered
    this.#buffered = ''
    this.#sink.write(text)
  }
}

/** Writes a JSON array element by element, so that it need not be held as a whole. */
export class JsonArrayWriter {
  readonly #out: LineWriter
  #pending: string | undefined

  constructor(out: LineWriter) {
    this.#out = out
    out.line('[')
  }

  push(value: unknown): void {
    if (this.#pending !== undefined) this.#out.line(`  ${this.#pending},`)
    this.#pending = JSON.stringify(value)
  }

  end(): void {
    if (this.#pending !== undefined) this.#out.line(`  ${this.#pending}`)
    this.#out.line(']')
  }
}
