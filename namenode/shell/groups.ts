import { execFile } from 'node:child_process'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'

/** An answer is refreshed after this long (hadoop.security.groups.cache.secs). */
const freshMs = 300_000
const lookupTimeoutMs = 10_000
/** Users remembered; bounds what a stranger with many names can make us hold. */
const usersMax = 10_000

interface Known {
  groups: readonly string[]
  readAt: number
}

/** Asks for the groups of a user; an unknown user has none. */
export type GroupLookup = (user: string) => Promise<readonly string[]>

/** Groups of users, from the operating system of the namenode, cached. */
export class Groups {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #lookup: GroupLookup
  readonly #known = new Map<string, Known>()
  readonly #running = new Map<string, Promise<readonly string[]>>()

  constructor(clock: Clock, logger: Logger, lookup: GroupLookup = groupsOfSystem) {
    this.#clock = clock
    this.#logger = logger
    this.#lookup = lookup
  }

  /** Answers at once when the user is known, however long ago, and refreshes old answers behind. */
  of(user: string): readonly string[] | Promise<readonly string[]> {
    const known = this.#known.get(user)
    if (known === undefined) return this.#ask(user)
    if (this.#clock.monotonic() - known.readAt >= freshMs) void this.#ask(user)
    return known.groups
  }

  /** Reads every user's groups again at the next question. */
  forget(): void {
    this.#known.clear()
  }

  #ask(user: string): Promise<readonly string[]> {
    const running = this.#running.get(user)
    if (running !== undefined) return running
    const lookup = this.#lookup(user)
      .catch((error: unknown) => {
        this.#logger.warn('groups-lookup-failed', { user, error })
        return this.#known.get(user)?.groups ?? []
      })
      .then((groups) => {
        if (this.#known.size >= usersMax) this.#known.clear()
        this.#known.set(user, { groups, readAt: this.#clock.monotonic() })
        this.#running.delete(user)
        return groups
      })
    this.#running.set(user, lookup)
    return lookup
  }
}

/** Runs `id`, which asks every source the system is configured for. */
export const groupsOfSystem: GroupLookup = (user) =>
  new Promise((resolve, reject) => {
    if (!/^[A-Za-z0-9_.][A-Za-z0-9_.-]*\$?$/.test(user)) {
      resolve([])
      return
    }
    execFile('id', ['-Gn', '--', user], { timeout: lookupTimeoutMs }, (error, stdout) => {
      if (error === null) resolve(stdout.trim().split(/\s+/))
      else if (typeof error.code === 'number') resolve([])
      else reject(new Error(`Cannot run id: ${error.message}`, { cause: error }))
    })
  })
