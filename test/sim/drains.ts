/**
 * Operators that drain datanodes while things go wrong: one at a time is asked to leave for good or to go into
 * maintenance, some change their minds, and one that is told that a datanode may leave takes it at its word: the machine
 * goes, disks and all, and comes back empty.
 */
import { millis } from '../../base/brand.ts'
import { Prng } from '../../base/prng.ts'
import type { DatanodeRow } from '../../namenode/core/changes.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { SimCluster } from './cluster.ts'
import type { SimDatanode } from './sim-datanode.ts'
import { simUser } from './sim-namenode.ts'

const operator = {
  user: simUser,
  groups: [],
  isSuperuser: true,
  host: 'operator',
} as const

/** How long an operator waits before a change of mind. */
const patienceMsMax = 60_000
const lookMs = 500
const retryMs = 1_000
/** Keeps these draws apart from all others, so that runs without drains stay as they are. */
const salt = 0x5eed

type Goal = 'decommissioned' | 'in-maintenance' | 'normal'

/** What becomes of a datanode that may leave, as whoever injects faults does it. */
export interface DrainsOptions {
  /** Takes the machine away for good. False when too much else is wrong now. */
  readonly retire: (datanode: SimDatanode) => boolean
  readonly trace: (what: string) => void
}

/** Drains datanodes for as long as it runs. */
export class DrainOperator {
  readonly #cluster: SimCluster
  readonly #options: DrainsOptions
  readonly #prng: Prng
  #isRunning = true

  constructor(cluster: SimCluster, options: DrainsOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#prng = new Prng(cluster.config.seed + salt)
  }

  start(): void {
    const { drainEveryMs } = this.#cluster.config
    if (drainEveryMs === 0) return
    this.#after(this.#prng.below(2 * drainEveryMs), () => {
      const datanode = this.#prng.pick(this.#cluster.datanodes)
      const goal = this.#prng.chance(2, 3) ? 'decommissioned' : 'in-maintenance'
      this.#options.trace(`drain ${datanode.name} ${goal}`)
      this.#ask(datanode, goal)
      const endsAt = this.#cluster.scheduler.now + 1 + this.#prng.below(patienceMsMax)
      this.#watch(datanode, goal, endsAt)
    })
  }

  /** Everybody is to stay. */
  stop(): void {
    this.#isRunning = false
    if (this.#cluster.config.drainEveryMs > 0) this.#resumeAll()
  }

  /** Waits until the datanode may leave, or the operator gives up; the next drain follows. */
  #watch(datanode: SimDatanode, goal: Goal, endsAt: number): void {
    this.#after(lookMs, () => {
      const row = this.#rowOf(datanode)
      const mayLeave = row?.goal === 'decommissioned' && row.isReached
      const isGone = mayLeave && this.#options.retire(datanode)
      if (isGone || this.#cluster.scheduler.now >= endsAt) {
        this.#resume(datanode)
        return
      }
      // The request may have got lost with the namenode.
      if (row === undefined) this.#ask(datanode, goal)
      this.#watch(datanode, goal, endsAt)
    })
  }

  /** A datanode that went is asked to stay only when the new one is known to be empty. */
  #resume(datanode: SimDatanode): void {
    if (datanode.session?.isUpToDate === true) {
      this.#ask(datanode, 'normal')
      this.start()
      return
    }
    this.#after(lookMs, () => {
      this.#resume(datanode)
    })
  }

  /** From now on every datanode is to stay: the namenode may be away, or still write down what was asked last. */
  #resumeAll(): void {
    const { datanodes, scheduler } = this.#cluster
    for (const datanode of datanodes) {
      const isDrained = this.#rowOf(datanode) !== undefined
      if (isDrained && datanode.session?.isUpToDate === true) this.#ask(datanode, 'normal')
    }
    scheduler.after(retryMs, () => {
      this.#resumeAll()
    })
  }

  #rowOf(datanode: SimDatanode): DatanodeRow | undefined {
    const views = this.#cluster.namenode.serving?.blocks.drains(0) ?? []
    return views.find(({ row }) => row.uuid === datanode.self.datanodeUuid)?.row
  }

  #ask({ self }: SimDatanode, goal: Goal): void {
    const request = {
      kind: 'setDatanodeGoal',
      datanode: self.datanodeUuid,
      goal,
      ...(goal === 'in-maintenance' ? { expiresAt: millis(Number.MAX_SAFE_INTEGER) } : {}),
    } as const
    const refused = (error: unknown): void => {
      // A datanode that never registered is not known; the next look asks again.
      if (!isDfsError(error)) throw error
    }
    try {
      const reply = this.#cluster.namenode.serving?.execute(operator, request)
      if (reply instanceof Promise) reply.catch(refused)
    } catch (error) {
      refused(error)
    }
  }

  #after(delayMs: number, action: () => void): void {
    this.#cluster.scheduler.after(delayMs, () => {
      if (this.#isRunning) action()
    })
  }
}
