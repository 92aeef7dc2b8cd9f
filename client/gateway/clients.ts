import { DfsClient } from '../index.ts'

/** Users whose connections are kept; the least recently seen one is closed beyond that. */
const usersMax = 100

/** One SDK client per acting user, made when the user is first seen. */
export class Clients {
  readonly #uri: string
  readonly #clients = new Map<string, DfsClient>()
  /** The user who runs the gateway. */
  readonly own: DfsClient

  constructor(uri: string, user?: string) {
    this.#uri = uri
    this.own = new DfsClient({ uri, user })
  }

  /** The client that acts as `user`. */
  as(user: string): DfsClient {
    if (user === this.own.user) return this.own
    const client = this.#clients.get(user) ?? new DfsClient({ uri: this.#uri, user })
    this.#clients.delete(user)
    this.#clients.set(user, client)
    this.#forgetOldest()
    return client
  }

  async close(): Promise<void> {
    await Promise.all([this.own, ...this.#clients.values()].map((client) => client.close()))
  }

  /** What the forgotten client still reads or writes fails; its user made a hundred others come in between. */
  #forgetOldest(): void {
    const [oldest] = this.#clients.keys()
    if (this.#clients.size <= usersMax || oldest === undefined) return
    const client = this.#clients.get(oldest)
    this.#clients.delete(oldest)
    void client?.close()
  }
}
