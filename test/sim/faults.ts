import { unreachable } from '../../base/assert.ts'
import { Prng } from '../../base/prng.ts'
import type { SimCluster } from './cluster.ts'
import { faultKinds, pickKind } from './config.ts'

/** Times of what goes wrong, milliseconds. */
const downMsMax = 25_000
const namenodeDownMsMax = 3_000
const partitionMsMax = 12_000

/**
 * Lets things go wrong for as long as it runs, within the budget the design promises to survive: never more than
 * replication - 1 datanodes down or cut off at once.
 */
export class FaultInjector {
  readonly #cluster: SimCluster
  readonly #prng: Prng
  readonly #crashClient: () => void
  readonly #trace: (what: string) => void
  /** Datanodes that are down or cut off. */
  readonly #impaired = new Set<string>()
  #isRunning = true
  #strikeCount = 0

  constructor(
    cluster: SimCluster,
    options: { readonly crashClient: () => void; readonly trace: (what: string) => void },
  ) {
    this.#cluster = cluster
    this.#prng = new Prng(cluster.prng.next())
    this.#crashClient = options.crashClient
    this.#trace = options.trace
  }

  start(): void {
    const { faultEveryMs, faultsMax } = this.#cluster.config
    if (faultEveryMs === 0 || this.#strikeCount >= faultsMax) return
    this.#strikeCount += 1
    this.#after(this.#prng.below(2 * faultEveryMs), () => {
      this.#strike()
      this.start()
    })
  }

  /** Ends all faults and brings everything back. */
  stop(): void {
    this.#isRunning = false
    const { network, namenode, datanodes } = this.#cluster
    network.heal()
    if (!namenode.isUp) namenode.start()
    for (const datanode of datanodes) if (!datanode.isUp) datanode.start()
  }

  #strike(): void {
    const kind = pickKind(this.#prng, faultKinds, this.#cluster.config.faults)
    switch (kind) {
      case 'crash-datanode':
        this.#crashDatanode()
        break
      case 'rot':
        this.#rot()
        break
      case 'crash-namenode':
        this.#crashNamenode()
        break
      case 'partition-namenode':
        this.#partitionFromNamenode()
        break
      case 'partition-peers':
        this.#partitionPeers()
        break
      case 'crash-client':
        this.#trace('crash client')
        this.#crashClient()
        break
      case undefined:
        break
      default:
        unreachable(kind)
    }
  }

  #crashDatanode(): void {
    const datanode = this.#prng.pick(this.#cluster.datanodes)
    if (!datanode.isUp || !this.#impair(datanode.name)) return
    this.#trace(`crash ${datanode.name}`)
    datanode.crash()
    this.#after(this.#prng.below(downMsMax), () => {
      this.#trace(`restart ${datanode.name}`)
      datanode.start()
      this.#impaired.delete(datanode.name)
    })
  }

  /** Flips bits in a replica of which another intact one exists. */
  #rot(): void {
    const { datanodes } = this.#cluster
    const { name, disk } = this.#prng.pick(datanodes)
    const candidates = [...disk.files.keys()].filter((blockId) => {
      const intact = datanodes.filter((other) => other.disk.isIntact(blockId))
      return intact.length >= 2 && intact.some((other) => other.name === name)
    })
    if (candidates.length === 0) return
    const blockId = this.#prng.pick(candidates)
    this.#trace(`rot ${name} block ${blockId}`)
    disk.rot(blockId)
  }

  #crashNamenode(): void {
    const { namenode } = this.#cluster
    if (!namenode.isUp) return
    if (this.#prng.chance(1, 2)) this.#downNamenode()
    else namenode.journal.atNextAppend(() => this.#downNamenode())
  }

  #downNamenode(): void {
    const { namenode } = this.#cluster
    if (!namenode.isUp || !this.#isRunning) return
    this.#trace('crash nn')
    namenode.crash()
    this.#after(this.#prng.below(namenodeDownMsMax), () => {
      this.#trace('restart nn')
      namenode.start()
    })
  }

  #partitionFromNamenode(): void {
    const { name } = this.#prng.pick(this.#cluster.datanodes)
    if (!this.#impair(name)) return
    this.#partition(name, 'nn', () => this.#impaired.delete(name))
  }

  #partitionPeers(): void {
    const left = this.#prng.pick(this.#cluster.datanodes).name
    const right = this.#prng.pick(this.#cluster.datanodes).name
    if (left !== right && !this.#cluster.network.isPartitioned(left, right)) {
      this.#partition(left, right, () => undefined)
    }
  }

  #partition(left: string, right: string, onHealed: () => void): void {
    const { network } = this.#cluster
    this.#trace(`partition ${left} ${right}`)
    network.partition(left, right)
    this.#after(this.#prng.below(partitionMsMax), () => {
      network.join(left, right)
      onHealed()
    })
  }

  /** Takes a datanode out of the budget. False when it is used up. */
  #impair(name: string): boolean {
    const { replication } = this.#cluster.config
    if (this.#impaired.has(name) || this.#impaired.size >= replication - 1) return false
    this.#impaired.add(name)
    return true
  }

  #after(delayMs: number, action: () => void): void {
    this.#cluster.scheduler.after(delayMs, () => {
      if (this.#isRunning) action()
    })
  }
}
