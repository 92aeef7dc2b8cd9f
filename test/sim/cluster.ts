import { defined } from '../../base/assert.ts'
import { silentLogger } from '../../base/log.ts'
import { Prng } from '../../base/prng.ts'
import type { Settings } from '../../protocol/settings.ts'
import { type SimConfig, settingsOf } from './config.ts'
import { Network } from './network.ts'
import { Scheduler } from './scheduler.ts'
import { SimClient } from './sim-client.ts'
import { SimDatanode, type World } from './sim-datanode.ts'
import { SimNamenode } from './sim-namenode.ts'
import type { SimRpcServer } from './sim-rpc.ts'

/** A whole cluster in one process: one scheduler, one network, and every random choice from one seed. */
export class SimCluster implements World {
  readonly config: SimConfig
  readonly scheduler = new Scheduler()
  readonly network: Network
  readonly settings: Settings
  readonly logger = silentLogger
  readonly namenode: SimNamenode
  readonly datanodes: readonly SimDatanode[]
  readonly prng: Prng
  #clientCount = 0

  constructor(config: SimConfig) {
    const { scheduler } = this
    this.config = config
    this.prng = new Prng(config.seed)
    this.settings = settingsOf(config)
    this.network = new Network(scheduler, this.#fork(), config.network)
    this.namenode = new SimNamenode(
      {
        scheduler,
        settings: this.settings,
        logger: this.logger,
        config,
      },
      this.prng.next(),
    )
    this.datanodes = Array.from({ length: config.datanodes }, (_, index) => {
      return new SimDatanode(this, index + 1, this.prng.next())
    })
  }

  start(): void {
    this.namenode.start()
    for (const datanode of this.datanodes) datanode.start()
  }

  namenodeServer(): SimRpcServer | undefined {
    return this.namenode.server
  }

  datanode(name: string): SimDatanode {
    const found = this.datanodes.find((datanode) => datanode.name === name)
    return defined(found, `datanode ${name}`)
  }

  /** A new client process on the host called `name`. */
  client(name: string): SimClient {
    this.#clientCount += 1
    return new SimClient(this, `${name}-${this.#clientCount}`, this.prng.next())
  }

  #fork(): Prng {
    return new Prng(this.prng.next())
  }
}
