import { assert } from '../../base/assert.ts'
import type { Logger } from '../../base/log.ts'
import { Prng } from '../../base/prng.ts'
import { BlockManager } from '../../namenode/core/block-manager.ts'
import { defaultRack } from '../../namenode/core/topology.ts'
import { ClientContext } from '../../namenode/shell/client-context.ts'
import { clientHandlers } from '../../namenode/shell/client-protocol.ts'
import { DatanodeService } from '../../namenode/shell/datanode-protocol.ts'
import { DatanodeTraffic } from '../../namenode/shell/datanode-traffic.ts'
import { Groups } from '../../namenode/shell/groups.ts'
import { Namenode } from '../../namenode/shell/namenode.ts'
import { posixHandlers } from '../../namenode/shell/posix-protocol.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import { datanodeProtocol } from '../../protocol/messages/datanode-namenode.ts'
import { posixProtocol } from '../../protocol/messages/posix.ts'
import type { Settings } from '../../protocol/settings.ts'
import { MemoryNamespaceStore } from '../support/memory-namespace-store.ts'
import type { SimConfig } from './config.ts'
import { JournalDisk } from './disk.ts'
import { type ClockSkew, drawSkew, Lifetime, type Scheduler } from './scheduler.ts'
import { SimRpcServer } from './sim-rpc.ts'

/** User that runs every simulated process. */
export const simUser = 'trefoil'

export interface SimNamenodeOptions {
  readonly scheduler: Scheduler
  readonly settings: Settings
  readonly logger: Logger
  readonly config: SimConfig
}

/** The simulated namenode: a journal directory and a store that stay, and processes of the real namenode over them. */
export class SimNamenode {
  readonly journal: JournalDisk
  readonly store = new MemoryNamespaceStore()
  readonly skew: ClockSkew
  readonly #options: SimNamenodeOptions
  readonly #prng: Prng
  #life = new Lifetime()
  #server: SimRpcServer | undefined
  #namenode: Namenode | undefined
  #startCount = 0

  constructor(options: SimNamenodeOptions, seed: number) {
    this.#options = options
    this.#prng = new Prng(seed)
    const { journalDelayMsMax } = options.config
    this.journal = new JournalDisk(options.scheduler, this.#prng, journalDelayMsMax)
    this.skew = drawSkew(this.#prng, options.config.clockDriftPpm)
    this.#life.kill()
  }

  /** Its RPC port, while a process serves there. */
  get server(): SimRpcServer | undefined {
    return this.#server
  }

  /** The namenode that serves now. */
  get serving(): Namenode | undefined {
    return this.#namenode
  }

  get isUp(): boolean {
    return this.#life.isAlive
  }

  get startCount(): number {
    return this.#startCount
  }

  /** Starts a process on what the disk holds; it serves after it has replayed the journal. */
  start(): void {
    assert(!this.#life.isAlive, 'one namenode at a time')
    const life = new Lifetime()
    this.#life = life
    this.#startCount += 1
    void this.#run(life)
  }

  /** Ends the process: with its machine's power, so that the disk keeps of unsynced bytes what it likes, or alone. */
  crash(how: 'kill' | 'power'): void {
    if (!this.#life.isAlive) return
    this.#life.kill()
    this.#server = undefined
    this.#namenode = undefined
    this.journal.crash(how)
  }

  /** Stops the process for a while, as SIGSTOP does. */
  freeze(durationMs: number): void {
    this.#life.frozenUntil = this.#options.scheduler.now + durationMs
  }

  /** What a store holds that was made from the whole journal, every dropped segment included. */
  async replayEverything(): Promise<readonly string[]> {
    const { scheduler, settings, logger } = this.#options
    const life = new Lifetime()
    const store = new MemoryNamespaceStore()
    const namenode = await Namenode.start({
      ...{ store, settings, logger, clock: scheduler.clockOf(this.skew) },
      journalStorage: this.journal.archive().mount(life),
      blocks: new BlockManager({ settings, prng: new Prng(1), topology: () => defaultRack }),
      timers: scheduler.timersOf(life, this.skew),
      prng: new Prng(1),
      onFatal: (error) => {
        throw error
      },
      superuser: { user: simUser, group: 'supergroup' },
    })
    await namenode.stop()
    life.kill()
    return store.describe()
  }

  async #run(life: Lifetime): Promise<void> {
    const { scheduler, settings, logger, config } = this.#options
    const { segmentBytesMax } = config
    const clock = scheduler.clockOf(this.skew)
    this.store.beforeWork = () => this.#storeWork(life)
    const namenode = await Namenode.start({
      ...{ store: this.store, settings, logger, clock, segmentBytesMax },
      journalStorage: this.journal.mount(life),
      blocks: new BlockManager({
        settings,
        prng: new Prng(this.#prng.next()),
        topology: () => defaultRack,
      }),
      timers: scheduler.timersOf(life, this.skew),
      prng: new Prng(this.#prng.next()),
      onFatal: (error) => {
        throw error
      },
      superuser: { user: simUser, group: 'supergroup' },
    })
    if (!life.isAlive) return
    const groups = new Groups(clock, logger, () => Promise.resolve([]))
    const context = new ClientContext(namenode, { groups })
    const datanodes = new DatanodeService(context, logger, new DatanodeTraffic())
    const server = new SimRpcServer({ name: 'nn', life })
    server.register(clientNamenodeProtocol, clientHandlers(context))
    server.register(posixProtocol, posixHandlers(context))
    server.register(datanodeProtocol, datanodes.handlers())
    server.onConnectionClosed((connection) => {
      datanodes.connectionClosed(connection)
    })
    this.#namenode = namenode
    this.#server = server
  }

  /** Work of the store takes a while, and never ends when its process dies meanwhile. */
  #storeWork(life: Lifetime): Promise<void> {
    const { scheduler, config } = this.#options
    const afterwards = this.journal.effect()
    return new Promise((resolve) => {
      scheduler.after(this.#prng.below(config.storeDelayMsMax), () => {
        scheduler.within(life, () => {
          resolve()
          afterwards()
        })
      })
    })
  }
}
