/**
 * What goes wrong, and how much of it: the fault budget. Nothing beyond what the design promises to survive is
 * injected; within it, anything may come together.
 *
 *   at most replication - 1 datanodes  are down, stopped, slow, cut off from the namenode or with a failing disk at
 *                                      once; all of them, when the whole cluster restarts
 *   a process that is killed           leaves what it gave to the kernel, and of the rest any part
 *   a machine that loses power         leaves what was synced, and of the rest any prefix; unsynced files may be
 *                                      gone, unsynced deletions undone; the namenode's last sector may be garbage
 *   the namenode                       ends at any effect: before or after any append, sync, change of a file,
 *                                      load or fold of its store
 *   a replica's bytes                  change, or its disk is lost, once for each complete block, and only while
 *                                      another good replica is on a running datanode
 *   disks                              answer EIO or ENOSPC for a while, or slowly
 *   messages                           are late, lost or arrive after their sender gave them up; pairs of processes
 *                                      hear nothing of each other, in both directions or in one
 *   clocks                             are off by minutes from the start, and wall clocks jump by hours
 *   clients                            die at any moment
 *   operators                          drain one datanode at a time; one that may leave goes with its disks
 */
import { unreachable } from '../../base/assert.ts'
import { Prng } from '../../base/prng.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { SimCluster } from './cluster.ts'
import { type FaultKind, faultKinds, pickKind } from './config.ts'
import { DrainOperator } from './drains.ts'
import { lengthOf, type ReplicaFile } from './replica-disk.ts'
import type { SimDatanode } from './sim-datanode.ts'

/** How long it lasts at most, milliseconds. */
const downMsMax = 20_000
const namenodeDownMsMax = 3_000
const partitionMsMax = 12_000
const freezeMsMax = 12_000
/** Short enough for a request that waits meanwhile not to be taken for dead; see `strayPauseMs`. */
const namenodeFreezeMsMax = 6_000
const slowMsMax = 15_000
const diskFailureMsMax = 6_000
const clockJumpMsMax = 4 * 3_600_000
/** Effects of the namenode until it ends at one, and the time after which it ends anyhow. */
const effectsMax = 40
const ambushMsMax = 4_000
const slowMessageMsMax = 400
const slowDiskMsMax = 300

export interface FaultInjectorOptions {
  readonly crashClient: () => void
  /** A machine lost power: of what was only flushed, some may be gone. */
  readonly powerLost: () => void
  readonly trace: (what: string) => void
}

/** Lets things go wrong for as long as it runs, within the budget. */
export class FaultInjector {
  readonly #cluster: SimCluster
  readonly #prng: Prng
  readonly #options: FaultInjectorOptions
  /** Datanodes that something is wrong with. */
  readonly #impaired = new Set<string>()
  /** Blocks of which a good replica was destroyed. */
  readonly #damaged = new Set<BlockId>()
  readonly #operator: DrainOperator
  #isRunning = true
  #strikeCount = 0

  constructor(cluster: SimCluster, options: FaultInjectorOptions) {
    this.#cluster = cluster
    this.#prng = new Prng(cluster.prng.next())
    this.#options = options
    this.#operator = new DrainOperator(cluster, {
      retire: (datanode) => this.#retire(datanode),
      trace: options.trace,
    })
  }

  start(): void {
    this.#operator.start()
    this.#scheduleStrike()
  }

  #scheduleStrike(): void {
    const { faultEveryMs, faultsMax } = this.#cluster.config
    if (faultEveryMs === 0 || this.#strikeCount >= faultsMax) return
    this.#strikeCount += 1
    this.#after(this.#prng.below(2 * faultEveryMs), () => {
      const kind = pickKind(this.#prng, faultKinds, this.#cluster.config.faults)
      if (kind !== undefined) this.#strike(kind)
      this.#scheduleStrike()
    })
  }

  /** Ends all faults and brings everything back. */
  stop(): void {
    this.#isRunning = false
    this.#operator.stop()
    const { network, namenode, datanodes } = this.#cluster
    network.heal()
    if (!namenode.isUp) namenode.start()
    for (const datanode of datanodes) {
      this.#mend(datanode)
      if (!datanode.isUp) datanode.start()
    }
  }

  #strike(kind: FaultKind): void {
    const { datanodes } = this.#cluster
    const datanode = this.#prng.pick(datanodes)
    switch (kind) {
      case 'kill-datanode': {
        this.#crashDatanode(datanode, 'kill')
        return
      }
      case 'power-datanode': {
        this.#crashDatanode(datanode, 'power')
        return
      }
      case 'freeze-datanode':
      case 'slow-datanode':
      case 'disk-error':
      case 'disk-full': {
        this.#impairDatanode(datanode, kind)
        return
      }
      case 'lose-disk': {
        this.#loseDisk(datanode)
        return
      }
      case 'rot': {
        this.#rot(datanode, 1)
        return
      }
      case 'misdirect': // A write meant for one replica hit another: neither has its bytes.
        {
          this.#rot(datanode, 2)
          return
        }
      case 'kill-namenode': {
        this.#ambushNamenode('kill')
        return
      }
      case 'power-namenode': {
        this.#ambushNamenode('power')
        return
      }
      case 'freeze-namenode': {
        this.#freezeNamenode()
        return
      }
      case 'kill-all': {
        this.#restartAll('kill')
        return
      }
      case 'power-all': {
        this.#restartAll('power')
        return
      }
      case 'partition-namenode': {
        this.#partitionFromNamenode(datanode)
        return
      }
      case 'partition-peers': {
        this.#partitionPeers(datanode, this.#prng.pick(datanodes))
        return
      }
      case 'jump-clock': {
        this.#jumpClock()
        return
      }
      case 'crash-client':
        this.#options.trace('crash-client')
        {
          this.#options.crashClient()
          return
        }
      default:
        return unreachable(kind)
    }
  }

  #crashDatanode(datanode: SimDatanode, how: 'kill' | 'power'): void {
    if (!datanode.isUp || !this.#impair(datanode.name)) return
    this.#options.trace(`${how}-datanode ${datanode.name}`)
    datanode.crash(how)
    if (how === 'power') this.#options.powerLost()
    this.#restartLater(datanode)
  }

  #restartLater(datanode: SimDatanode): void {
    this.#after(this.#prng.below(downMsMax), () => {
      this.#options.trace(`restart ${datanode.name}`)
      if (!datanode.isUp) datanode.start()
      this.#impaired.delete(datanode.name)
    })
  }

  #impairDatanode(
    datanode: SimDatanode,
    how: 'freeze-datanode' | 'slow-datanode' | 'disk-error' | 'disk-full',
  ): void {
    const { name, disk } = datanode
    if (!datanode.isUp || !this.#impair(name)) return
    this.#options.trace(`${how} ${name}`)
    const isDisk = how === 'disk-error' || how === 'disk-full'
    const limitMs = isDisk ? diskFailureMsMax : how === 'slow-datanode' ? slowMsMax : freezeMsMax
    const durationMs = 1 + this.#prng.below(limitMs)
    if (how === 'freeze-datanode') datanode.freeze(durationMs)
    else if (how === 'slow-datanode') {
      this.#cluster.network.slowDown(name, slowMessageMsMax)
      disk.slowMsMax = this.#prng.chance(1, 2) ? slowDiskMsMax : 0
    } else {
      const failure = how === 'disk-full' ? 'ENOSPC' : 'EIO'
      for (const storage of disk.storages) {
        if (this.#prng.chance(2, 3)) disk.failures.set(storage, failure)
      }
    }
    this.#after(durationMs, () => {
      this.#mend(datanode)
      this.#impaired.delete(name)
    })
  }

  #mend({ name, disk }: SimDatanode): void {
    this.#cluster.network.slowDown(name, 0)
    disk.slowMsMax = 0
    disk.failures.clear()
  }

  /** Puts an empty disk in the place of one whose blocks are elsewhere, too. */
  #loseDisk(datanode: SimDatanode): void {
    const { name, disk } = datanode
    const files = [...disk.files.values()].filter(({ place }) => place !== 'temporary')
    if (!datanode.isUp || files.length === 0) return
    if (!files.every((file) => this.#isSpare(name, file)) || !this.#impair(name)) return
    this.#options.trace(`lose-disk ${name}`)
    for (const { blockId } of files) this.#damaged.add(blockId)
    datanode.crash('power')
    disk.wipe()
    // Of what was only flushed there are fewer copies now than a power failure elsewhere needs.
    this.#options.powerLost()
    this.#restartLater(datanode)
  }

  /** The machine of a drained datanode goes for good; another one takes its name. */
  #retire(datanode: SimDatanode): boolean {
    if (!datanode.isUp || !this.#impair(datanode.name)) return false
    this.#options.trace(`retire ${datanode.name}`)
    datanode.crash('power')
    datanode.disk.wipe()
    // Of what was only flushed there may be fewer copies now than a power failure elsewhere needs.
    this.#options.powerLost()
    this.#restartLater(datanode)
    return true
  }

  #rot({ name, disk }: SimDatanode, count: number): void {
    const candidates = [...disk.files.values()].filter((file) => {
      return (
        disk.isIntact(file.blockId) && lengthOf(file.stretches) > 0 && this.#isSpare(name, file)
      )
    })
    if (candidates.length < count) return
    for (const { blockId } of this.#prng.shuffle(candidates).slice(0, count)) {
      this.#options.trace(`rot ${name} block ${blockId}`)
      this.#damaged.add(blockId)
      disk.rot(blockId)
    }
  }

  /** True when the replica may be lost: once for each block, and another one is as good. */
  #isSpare(name: string, file: ReplicaFile): boolean {
    const { blockId, generationStamp, stretches, place } = file
    const counts = this.#cluster.namenode.serving?.blocks.replicaCounts(blockId)
    // Only complete blocks: a recovery may have to do with a single replica.
    if (this.#damaged.has(blockId) || counts === undefined || counts.live < 2) return false
    return this.#cluster.datanodes.some((other) => {
      if (other.name === name || this.#impaired.has(other.name)) return false
      const twin = other.disk.files.get(blockId)
      if (twin?.generationStamp !== generationStamp || twin.place !== place) return false
      const isWhole = lengthOf(twin.stretches) >= lengthOf(stretches)
      return isWhole && !twin.stretches.some(({ isRotten }) => isRotten)
    })
  }

  #ambushNamenode(how: 'kill' | 'power'): void {
    const { namenode } = this.#cluster
    if (!namenode.isUp) return
    const down = (): void => {
      this.#downNamenode(how)
    }
    if (this.#prng.chance(1, 4)) {
      down()
      return
    }
    const side = this.#prng.chance(1, 2) ? 'before' : 'after'
    namenode.journal.atEffect(1 + this.#prng.below(effectsMax), side, down)
    const { startCount } = namenode
    this.#after(this.#prng.below(ambushMsMax), () => {
      if (namenode.startCount === startCount) down()
    })
  }

  #downNamenode(how: 'kill' | 'power'): void {
    const { namenode } = this.#cluster
    if (!namenode.isUp || !this.#isRunning) return
    this.#options.trace(`${how}-namenode`)
    namenode.crash(how)
    this.#after(this.#prng.below(namenodeDownMsMax), () => {
      this.#options.trace('restart nn')
      if (!namenode.isUp) namenode.start()
    })
  }

  #freezeNamenode(): void {
    this.#options.trace('freeze-namenode')
    this.#cluster.namenode.freeze(1 + this.#prng.below(namenodeFreezeMsMax))
  }

  /** Everything goes down at once and comes back one by one. */
  #restartAll(how: 'kill' | 'power'): void {
    const { datanodes } = this.#cluster
    this.#options.trace(`${how}-all`)
    this.#downNamenode(how)
    for (const datanode of datanodes) {
      if (!datanode.isUp) continue
      datanode.crash(how)
      this.#impaired.add(datanode.name)
      this.#restartLater(datanode)
    }
    if (how === 'power') this.#options.powerLost()
  }

  #partitionFromNamenode({ name }: SimDatanode): void {
    if (!this.#impair(name)) return
    this.#partition(name, 'nn', () => this.#impaired.delete(name))
  }

  #partitionPeers(left: SimDatanode, right: SimDatanode): void {
    if (left !== right) this.#partition(left.name, right.name, () => undefined)
  }

  /** Both ways, or one. */
  #partition(left: string, right: string, onHealed: () => void): void {
    const { network } = this.#cluster
    const [isThere, isBack] = this.#prng.pick([
      [true, true],
      [true, true],
      [true, false],
      [false, true],
    ])
    const arrow = `${isBack ? '<' : ''}-${isThere ? '>' : ''}`
    this.#options.trace(`partition ${left} ${arrow} ${right}`)
    if (isThere) network.cut(left, right)
    if (isBack) network.cut(right, left)
    this.#after(this.#prng.below(partitionMsMax), () => {
      network.join(left, right)
      network.join(right, left)
      onHealed()
    })
  }

  #jumpClock(): void {
    const { namenode, datanodes } = this.#cluster
    const { skew } = this.#prng.pick([namenode, ...datanodes])
    this.#options.trace('jump-clock')
    skew.wallMs += this.#prng.below(2 * clockJumpMsMax) - clockJumpMsMax
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
