import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { isDfsError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { currentName, planTrash, trashName } from '../../protocol/trash.ts'
import type { Caller, ListingView } from '../core/requests.ts'
import type { Namenode } from './namenode.ts'

const homes = '/user'
const msPerMinute = 60_000

/** The namenode itself, acting on everybody's trash. */
const emptierCaller: Caller = { user: 'trash-emptier', groups: [], isSuperuser: true, host: '' }

export interface TrashEmptierOptions {
  readonly namenode: Pick<Namenode, 'execute'>
  readonly clock: Clock
  readonly timers: Timers
  readonly logger: Logger
  /** `fs.trash.interval`; 0 is off. */
  readonly intervalMinutes: number
  /** `fs.trash.checkpoint.interval`; 0 stands for the same as above. */
  readonly checkpointMinutes: number
}

/** What one visit to all trash directories did. */
export interface TrashVisit {
  readonly checkpoints: number
  readonly deleted: number
}

/**
 * Empties the trash of every user from time to time, through the same requests as a client, so that every
 * step is journaled and safe to repeat: a visit that was cut short is finished by the next one.
 */
export class TrashEmptier {
  readonly #options: TrashEmptierOptions
  readonly #intervalMs: number
  readonly #checkpointMs: number
  #timer: TimerHandle | undefined
  #isStopped = false

  constructor(options: TrashEmptierOptions) {
    this.#options = options
    this.#intervalMs = options.intervalMinutes * msPerMinute
    const checkpointMs = options.checkpointMinutes * msPerMinute
    this.#checkpointMs = checkpointMs === 0 ? this.#intervalMs : checkpointMs
  }

  /** Comes by at every multiple of the checkpoint interval from now on; does nothing when the trash is off. */
  start(): void {
    if (this.#intervalMs === 0 || this.#isStopped) return
    const { clock, timers, logger } = this.#options
    const untilNext = this.#checkpointMs - (clock.wall() % this.#checkpointMs)
    this.#timer = timers.after(untilNext, () => {
      this.visit().then(
        (visit) => {
          if (visit.checkpoints + visit.deleted > 0) logger.info('trash-emptied', { ...visit })
          this.start()
        },
        (error: unknown) => {
          // Safe mode, for instance: whatever it was, the next visit tries again.
          logger.warn('trash-not-emptied', { error })
          this.start()
        },
      )
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  /** Goes through everybody's trash once. @throws {@link DfsError} what the namespace refuses */
  async visit(): Promise<TrashVisit> {
    let checkpoints = 0
    let deleted = 0
    for await (const home of this.#directories(homes)) {
      const root = `${homes}/${home}/${trashName}`
      const visit = await this.#visitOne(root)
      checkpoints += visit.checkpoints
      deleted += visit.deleted
    }
    return { checkpoints, deleted }
  }

  async #visitOne(root: string): Promise<TrashVisit> {
    const entries: string[] = []
    for await (const name of this.#directories(root)) entries.push(name)
    const wallMs = this.#options.clock.wall()
    const { expired, checkpoint } = planTrash(entries, {
      wallMs,
      utcOffsetMinutes: -new Date(wallMs).getTimezoneOffset(),
      intervalMs: this.#intervalMs,
    })
    const { namenode } = this.#options
    let deleted = 0
    for (const name of expired) {
      const path = `${root}/${name}`
      if (await namenode.execute(emptierCaller, { kind: 'delete', path, recursive: true })) {
        deleted += 1
      }
    }
    if (checkpoint === undefined) return { checkpoints: 0, deleted }
    const source = `${root}/${currentName}`
    const target = `${root}/${checkpoint}`
    const isMoved = await namenode.execute(emptierCaller, { kind: 'rename', source, target })
    return { checkpoints: isMoved ? 1 : 0, deleted }
  }

  /** Names of the directories in `path`, a page at a time; none when there is no such directory. */
  async *#directories(path: string): AsyncGenerator<string, void, undefined> {
    let startAfter = ''
    for (;;) {
      const page = await this.#page(path, startAfter)
      if (page === undefined) return
      for (const { name, inode } of page.entries) {
        if (name !== '' && inode.kind === 'directory') yield name
      }
      const last = page.entries.at(-1)
      if (last === undefined || page.remainingEntries === 0) return
      startAfter = last.name
    }
  }

  async #page(path: string, startAfter: string): Promise<ListingView | undefined> {
    try {
      return await this.#options.namenode.execute(emptierCaller, {
        kind: 'getListing',
        path,
        startAfter,
        needLocation: false,
        limit: limits.listingEntriesMax,
      })
    } catch (error) {
      if (isDfsError(error, 'NOT_A_DIRECTORY')) return undefined
      throw error
    }
  }
}
