import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import fc from 'fast-check'

/**
 * How a client leaves: once it has its replies or has heard nothing for a while, with a reset or an
 * orderly end, perhaps after closing its own half.
 */
export interface Ending {
  readonly halfCloses: boolean
  readonly resets: boolean
  /** Silence after which it gives up; 0 does not listen at all. */
  readonly patienceMs: number
}

/** Waits as long as it takes. */
export const afterReplies: Ending = { halfCloses: false, resets: false, patienceMs: 15_000 }

/** Any way of leaving but {@link afterReplies}. */
export const endings: fc.Arbitrary<Ending> = fc.record({
  halfCloses: fc.boolean(),
  resets: fc.boolean(),
  patienceMs: fc.constantFrom(0, 5, 30, 250, 250, 250),
})

/** No client stays longer than this. */
const stayMsMax = 15_000

/** A TCP client that says what it is told and keeps what it hears. */
export class RawConnection {
  readonly #socket: Socket
  readonly #heard: Buffer[] = []
  #isClosed = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#heard.push(bytes)
      this.#wake()
    })
    socket.on('error', () => undefined)
    for (const event of ['close', 'end']) {
      socket.on(event, () => {
        this.#isClosed = true
        this.#wake()
      })
    }
  }

  /** Connects to a loopback port. */
  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    const connection = new RawConnection(socket)
    await once(socket, 'connect')
    return connection
  }

  /** Everything heard so far. */
  received(): Buffer {
    if (this.#heard.length > 1)
      this.#heard.splice(0, this.#heard.length, Buffer.concat(this.#heard))
    return this.#heard[0] ?? Buffer.alloc(0)
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  /** Leaves in the given way, at the latest when `isAnswered` or the server has closed. */
  async finish(ending: Ending, isAnswered: () => boolean): Promise<void> {
    if (ending.halfCloses) this.#socket.end()
    const deadline = Date.now() + stayMsMax
    while (!this.#isClosed && !isAnswered() && Date.now() < deadline) {
      if (!(await this.#next(ending.patienceMs))) break
    }
    if (ending.resets) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  /** True when something happened within `ms`. */
  #next(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        resolve(false)
      }, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve(true)
      }
    })
  }
}
