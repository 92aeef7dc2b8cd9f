import { DfsClient } from '../index.ts'

/** Users whose connections are kept; beyond that the least recently seen one without a request is closed. */
const usersMax = 100

/** A client that stays open until it is released. */
export interface HeldClient {
  readonly client: DfsClient
  /** May be called more than once. */
  readonly release: () => void
}

interface Entry {
  readonly client: DfsClient
  /** Requests that use it. */
  uses: number
}

/** One SDK client per acting user, made when the user is first seen. */
export class Clients {
  readonly #uri: string
  readonly #usersMax: number
  /** Least recently seen first. */
  readonly #entries = new Map<string, Entry>()
  /** The user who runs the gateway. */
  readonly own: DfsClient

  constructor(uri: string, user?: string, limit = usersMax) {
    this.#uri = uri
    this.#usersMax = limit
    this.own = new DfsClient({ uri, user, followsLinks: false })
  }

  get count(): number {
    return this.#entries.size
  }

  /** The client that acts as `user`; it is not closed before it is released. */
  hold(user: string): HeldClient {
    if (user === this.own.user) return { client: this.own, release: () => undefined }
    const entry = this.#entries.get(user) ?? {
      client: new DfsClient({ uri: this.#uri, user, followsLinks: false }),
      uses: 0,
    }
    entry.uses += 1
    this.#entries.delete(user)
    this.#entries.set(user, entry)
    this.#forgetUnused()
    let isHeld = true
    const release = (): void => {
      if (!isHeld) return
      isHeld = false
      entry.uses -= 1
      this.#forgetUnused()
    }
    return { client: entry.client, release }
  }

  async close(): Promise<void> {
    const clients = [...this.#entries.values()].map(({ client }) => client)
    await Promise.all([this.own, ...clients].map((client) => client.close()))
  }

  /** What is used stays however many there are: each has a request of its own, and those are bounded. */
  #forgetUnused(): void {
    for (const [user, { client, uses }] of this.#entries) {
      if (this.#entries.size <= this.#usersMax) return
      if (uses > 0) continue
      this.#entries.delete(user)
      void client.close()
    }
  }
}
