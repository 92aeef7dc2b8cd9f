import { silentLogger } from '../../base/log.ts'
import { Prng } from '../../base/prng.ts'
import { BlockManager } from '../../namenode/core/block-manager.ts'
import type {
  BlockReference,
  Caller,
  ReplicaLocation,
  ReplyOf,
  Request,
} from '../../namenode/core/requests.ts'
import { defaultRack } from '../../namenode/core/topology.ts'
import { Namenode, type NamenodeOptions } from '../../namenode/shell/namenode.ts'
import type { NamespaceStore } from '../../namenode/shell/namespace-store.ts'
import { clientName, datanodeUuid, storageUuid } from '../../protocol/ids.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'
import { ManualTime } from './manual-time.ts'
import { MemoryJournalStorage, type Tear } from './memory-journal-storage.ts'
import { MemoryNamespaceStore } from './memory-namespace-store.ts'

export const root: Caller = { user: 'root', groups: [], isSuperuser: true, host: '127.0.0.1' }
export const writer = clientName('writer-1')

/** A namenode over disks in memory, which survive its crashes, and a clock that stands still. */
export class NamenodeWorld {
  readonly time = new ManualTime()
  readonly journal = new MemoryJournalStorage()
  readonly store: NamespaceStore
  readonly fatal: unknown[] = []
  readonly #settings: Settings
  readonly #options: Partial<NamenodeOptions>
  #namenode: Namenode | undefined

  constructor(
    settings: Partial<Settings> = {},
    options: Partial<NamenodeOptions> & { readonly store?: NamespaceStore } = {},
  ) {
    this.#settings = withSettings(settings)
    this.#options = options
    this.store = options.store ?? new MemoryNamespaceStore()
  }

  get namenode(): Namenode {
    if (this.#namenode === undefined) throw new Error('start() first')
    return this.#namenode
  }

  async start(): Promise<Namenode> {
    const settings = this.#settings
    this.#namenode = await Namenode.start({
      ...{ store: this.store, journalStorage: this.journal, settings },
      blocks: new BlockManager({ settings, prng: new Prng(1), topology: () => defaultRack }),
      ...{ clock: this.time, timers: this.time, prng: new Prng(2), logger: silentLogger },
      onFatal: (error) => this.fatal.push(error),
      superuser: { user: 'root', group: 'supergroup' },
      ...this.#options,
    })
    await this.time.advance(0)
    return this.#namenode
  }

  /** The process is gone; what it had not synced may be, too. */
  async crash(tear: Tear = 'nothing'): Promise<void> {
    this.journal.crash(tear)
    this.time.cancelAll()
    this.#namenode = undefined
    await this.time.advance(0)
  }

  /** Executes as the superuser, with a request id when `callId` is given. */
  async run<R extends Request>(request: R, callId?: number): Promise<ReplyOf<R>> {
    const caller =
      callId === undefined ? root : { ...root, request: { clientId: 'aabbccdd', callId } }
    return this.namenode.execute(caller, request)
  }

  /** Registers datanodes `dn1`, `dn2`, … that have reported no replica. */
  addDatanodes(count: number): readonly ReplicaLocation[] {
    const { blocks } = this.namenode
    const now = this.time.monotonic()
    const locations: ReplicaLocation[] = []
    for (let index = 1; index <= count; index += 1) {
      const datanode = datanodeUuid(`dn${index}`)
      const storage = storageUuid(`DS-${index}`)
      blocks.register(now, {
        uuid: datanode,
        ipAddress: `10.0.0.${index}`,
        hostName: `host-${index}`,
        transferPort: 9866,
        infoPort: 9864,
        ipcPort: 9867,
        softwareVersion: '3.5.0',
      })
      const sizes = { capacity: 1e12, used: 0, remaining: 1e12, blockPoolUsed: 0, nonDfsUsed: 0 }
      blocks.heartbeat(now, datanode, {
        storages: [{ storage, isFailed: false, ...sizes }],
        ...{ transfers: 0, copies: 0, failedVolumes: 0 },
      })
      blocks.blockReport(now, datanode, storage, [])
      locations.push({ datanode, storage })
    }
    return locations
  }

  /** The datanode at `location` reports a finalized replica. */
  received({ datanode, storage }: ReplicaLocation, block: BlockReference): void {
    const { blocks } = this.namenode
    const { id: blockId, generationStamp, length } = block
    const events = [{ kind: 'received' as const, blockId, generationStamp, length }]
    const changed = blocks.incrementalReport(this.time.monotonic(), datanode, storage, events)
    this.namenode.replicasChanged(changed)
  }
}

/** Request to create a file of the writer. */
export function create(path: string): Extract<Request, { kind: 'create' }> {
  return {
    ...{ kind: 'create', path, mode: 0o644, clientName: writer, overwrite: false },
    ...{ createIfMissing: true, createParent: true, replication: 3, blockSize: 128 * 2 ** 20 },
  }
}

export function addBlock(path: string): Extract<Request, { kind: 'addBlock' }> {
  return {
    ...{ kind: 'addBlock', path, clientName: writer, excluded: [], favored: [] },
    isLastTry: false,
  }
}

export function complete(
  path: string,
  last?: BlockReference,
): Extract<Request, { kind: 'complete' }> {
  return { kind: 'complete', path, clientName: writer, last, isLastTry: false }
}

export function mkdirs(path: string): Extract<Request, { kind: 'mkdirs' }> {
  return { kind: 'mkdirs', path, mode: 0o755, createParent: true }
}
