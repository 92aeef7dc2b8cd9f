import type { DfsClient } from '../client/index.ts'

/** A client in use; it stays open until it is given back. */
export interface ClientLease {
  readonly client: DfsClient
  release(): void
}

interface Entry {
  readonly client: DfsClient
  uses: number
}

const idleClientsMax = 32

/** One client of the cluster for each user who calls, so that the namenode sees who it is. Of those not in use 32 stay open. */
export class UserClients {
  readonly #create: (user: string) => DfsClient
  readonly #userOf: (uid: number) => string
  readonly #byUser = new Map<string, Entry>()

  constructor(create: (user: string) => DfsClient, userOf: (uid: number) => string) {
    this.#create = create
    this.#userOf = userOf
  }

  /** The client of a user of this machine, to be given back. */
  lease(uid: number): ClientLease {
    const user = this.#userOf(uid)
    const entry = this.#byUser.get(user) ?? { client: this.#create(user), uses: 0 }
    // The most recently used is last.
    this.#byUser.delete(user)
    this.#byUser.set(user, entry)
    entry.uses += 1
    let isHeld = true
    return {
      client: entry.client,
      release: () => {
        if (!isHeld) return
        isHeld = false
        entry.uses -= 1
        this.#closeIdle()
      },
    }
  }

  /** Runs `action` with the client of a user. */
  async run<T>(uid: number, action: (client: DfsClient) => Promise<T>): Promise<T> {
    const lease = this.lease(uid)
    try {
      return await action(lease.client)
    } finally {
      lease.release()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#byUser.values()].map(({ client }) => client.close()))
    this.#byUser.clear()
  }

  #closeIdle(): void {
    const idle = [...this.#byUser].filter(([, { uses }]) => uses === 0)
    for (const [user, { client }] of idle.slice(0, Math.max(0, idle.length - idleClientsMax))) {
      this.#byUser.delete(user)
      client.close().catch(() => undefined) // nothing of it is in use
    }
  }
}
