import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLogger } from '../../base/log.ts'
import { systemTimers } from '../../base/system.ts'
import type { DfsClient } from '../../client/index.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import { datanodeProtocol, type NamespaceInfo } from '../../protocol/messages/datanode-namenode.ts'
import type { DatanodeInfo, LocatedBlock } from '../../protocol/messages/hdfs.ts'
import { RpcClient } from '../../transport/rpc-client.ts'
import type { RealCluster } from './cluster.ts'
import { DataConnection } from './data-transfer-client.ts'
import { type DataTargets, replicaBytes } from './fuzz-data.ts'
import { type Hint, type Hints, WildMessages } from './fuzz-messages.ts'

type Role = Parameters<RealCluster['pid']>[0]

/** What a daemon holds. */
interface Holdings {
  readonly pid: number
  readonly sockets: number
  readonly files: readonly string[]
  readonly rssBytes: number
  readonly logLines: number
  readonly logBytes: number
}

type Baseline = ReadonlyMap<Role, Holdings>

const mebibyte = 2 ** 20
const rssGrowthBytesMax = 100 * mebibyte
/** A next datanode that never answers is waited for as long as dfs.client.socket-timeout, with the replica's files open. */
const settleMs = 90_000
/** Log lines a bad connection may cost, and lines that daemons log anyway. */
const linesPerConnection = 1
const linesAnyway = 100
const faultsInLog =
  /AssertionError|TypeError|RangeError|rpc-call-failed|uncaught|unhandled|Cannot read prop/i

/** A running cluster that is being mistreated, and the questions whether it minds. */
export class FuzzWorld {
  readonly datanode: DatanodeInfo
  readonly #cluster: RealCluster
  readonly #client: DfsClient
  readonly #rpc: RpcClient
  readonly #namespace: NamespaceInfo
  readonly #datanodes: readonly DatanodeInfo[]
  #victims: readonly LocatedBlock[] = []
  #inodes: readonly number[] = []
  #connections = 0
  #uses = 0

  private constructor(
    cluster: RealCluster,
    parts: { readonly client: DfsClient; readonly rpc: RpcClient },
    namespace: NamespaceInfo,
    datanodes: readonly DatanodeInfo[],
  ) {
    this.#cluster = cluster
    this.#client = parts.client
    this.#rpc = parts.rpc
    this.#namespace = namespace
    this.#datanodes = datanodes
    const [first] = datanodes
    if (first === undefined) throw new Error('there is no datanode')
    this.datanode = first
  }

  /** Learns what can be known of a running cluster and writes files to mistreat. */
  static async create(cluster: RealCluster): Promise<FuzzWorld> {
    const { host, port, user } = cluster
    const options = { logger: silentLogger, timers: systemTimers, callTimeoutMs: 10_000 }
    const rpc = new RpcClient({ host, port, user, connectTimeoutMs: 5000, ...options })
    const { info } = await rpc.call(datanodeProtocol, 'versionRequest', {})
    const { di } = await rpc.call(clientNamenodeProtocol, 'getDatanodeReport', { type: 'LIVE' })
    const world = new FuzzWorld(cluster, { client: cluster.client(), rpc }, info, di)
    await world.refresh()
    return world
  }

  /** Replaces what may have become of the files to mistreat: finished ones, and one being written. */
  async refresh(): Promise<void> {
    const client = this.#client
    await client.safeMode('leave')
    await client.rm('/fuzz', { recursive: true, force: true })
    await client.mkdir('/fuzz/directory', { recursive: true })
    await client.chmod('/fuzz', 0o777)
    const finished = ['/fuzz/file', '/fuzz/second', '/fuzz/third']
    for (const path of finished) {
      await client.writeFile(path, Buffer.alloc(replicaBytes, path), { replication: 3 })
      await client.chmod(path, 0o666)
    }
    const blocks = await Promise.all(finished.map((path) => this.#blocksOf(path)))
    const open = await this.#openFile('/fuzz/open')
    this.#victims = [...blocks.flat(), open.block, open.block, open.block]
    this.#inodes = [0, 16384, 16385, open.inode, open.inode, open.inode, open.inode - 1]
  }

  async #blocksOf(src: string): Promise<readonly LocatedBlock[]> {
    const request = { src, offset: 0, length: 2n ** 40n }
    const reply = await this.#rpc.call(clientNamenodeProtocol, 'getBlockLocations', request)
    return reply.locations?.blocks ?? []
  }

  async #openFile(src: string): Promise<{ inode: number; block: LocatedBlock }> {
    const { fs } = await this.#rpc.call(clientNamenodeProtocol, 'create', {
      ...{ src, clientName: 'fuzz-writer', createFlag: 1, createParent: false },
      ...{ masked: { perm: 0o666 }, replication: 3, blockSize: 2 ** 27 },
    })
    const inode = fs?.fileId ?? 0
    const { block } = await this.#rpc.call(clientNamenodeProtocol, 'addBlock', {
      ...{ src, clientName: 'fuzz-writer', fileId: inode },
    })
    await this.#beginReplicas(block)
    return { inode, block }
  }

  /** Leaves replicas behind as a writer does that dies in mid-block. */
  async #beginReplicas({ b, locs }: LocatedBlock): Promise<void> {
    const [first, ...targets] = locs
    if (first === undefined) throw new Error('a block has no location')
    const connection = new DataConnection(first.id.xferPort)
    const { blockId, poolId, generationStamp: stamp } = b
    connection.startWrite({ blockId, poolId, stamp, targets, clientName: 'fuzz-writer' })
    const response = await connection.response()
    if (response?.status !== 'SUCCESS') throw new Error(`no pipeline: ${JSON.stringify(response)}`)
    connection.sendPacket({ seqno: 0, offset: 0, data: Buffer.alloc(replicaBytes, 'open') })
    await connection.ack()
    connection.close()
  }

  async close(): Promise<void> {
    this.#rpc.close()
    await this.#client.close()
  }

  /** What conversations with datanodes can be about. */
  targets(): DataTargets {
    return {
      poolId: this.#namespace.blockPoolID,
      blocks: () => this.#victims.map(({ b }) => b),
      datanodes: this.#datanodes,
    }
  }

  /** Messages that are nearly right, and wilder ones. A stranger poses as a datanode, never as one of ours. */
  messages(server: 'namenode' | 'datanode'): WildMessages[] {
    const hints = this.#hints(server)
    const calm = new WildMessages(hints, 12)
    return [calm, calm, calm, new WildMessages(hints, 1)]
  }

  #hints(server: 'namenode' | 'datanode'): Hints {
    const { blockPoolID, storageInfo } = this.#namespace
    const known = server === 'namenode' ? [] : this.#datanodes.map(({ id }) => id.datanodeUuid)
    const ports = this.#datanodes.map(({ id }) => id.xferPort)
    const names = ['file', 'second', 'open', 'open', 'open', 'new', 'directory', 'directory/new']
    const stranger = '00000000-0000-4000-8000-00000000f022'
    const fixed = <T>(field: RegExp, ...values: T[]): Hint<T> => ({ field, values: () => values })
    return {
      strings: [
        fixed(/pool/i, blockPoolID),
        fixed(/cluster/i, storageInfo.clusterID),
        fixed(/datanodeUuid/i, ...known, stranger),
        {
          field: /storage(uu)?ids?$/i,
          values: () => ['DS-f022', ...this.#victims.flatMap(({ storageIDs }) => storageIDs)],
        },
        fixed(/ipaddr|hostname|xferaddr/i, '127.0.0.1', 'localhost', ''),
        fixed(/client|holder/i, 'fuzz-writer', 'fuzz-writer', 'fuzz-other'),
        fixed(/^(user|owner|group)/i, 'fuzzer', 'root', ''),
        fixed(/version/i, '3.5.0', '0.1.0'),
        fixed(/policy/i, ''),
        fixed(/./, ...names.map((name) => `/fuzz/${name}`), '/fuzz'),
      ],
      numbers: [
        {
          field: /blockId|^id$/i,
          values: () => [2 ** 40 + 1, ...this.#victims.map(({ b }) => b.blockId)],
        },
        {
          field: /genstamp|generationstamp|recoveryid/i,
          values: () => {
            const stamps = this.#victims.map(({ b }) => b.generationStamp)
            return [1001, ...stamps, ...stamps, Math.max(...stamps) + 1]
          },
        },
        { field: /fileId|inode|parent/i, values: () => this.#inodes },
        fixed(/namespc?eid/i, storageInfo.namespceID),
        fixed(/layoutVersion/i, storageInfo.layoutVersion),
        fixed(/ctime/i, storageInfo.cTime),
        fixed(/port/i, ...ports, 0, 1, 65_535),
        fixed(/replication/i, 1, 2, 3),
        fixed(/blockSize/i, mebibyte, 2 ** 27),
        fixed(/createFlag/i, 1, 2, 3),
        fixed(/perm|mask/i, 0o777, 0o755, 0, 0o1777),
        fixed(/bytesPerChecksum/i, 512),
        fixed(/capacity|remaining/i, 0, 2 ** 30, 2 ** 40),
        fixed(/./, 0, 1, 2, 100, 512, 100_000),
      ],
    }
  }

  /** What every daemon holds after it has worked for a while. */
  async baseline(): Promise<Baseline> {
    for (let use = 0; use < 4; use += 1) await this.useCluster()
    return this.#holdings()
  }

  /** Throws unless every daemon is the same process, serves a client well and holds no more than it should. */
  async check(baseline: Baseline, connections: number): Promise<void> {
    this.#connections += connections
    this.#checkLogs(baseline)
    await this.useCluster()
    await this.refresh()
    for (const [role, { rssBytes, pid, logLines }] of this.#holdings()) {
      const before = baseline.get(role)
      if (before === undefined || before.pid !== pid) throw new Error(`${role} is another process`)
      const growth = rssBytes - before.rssBytes
      if (growth > rssGrowthBytesMax) {
        throw new Error(`${role} grew by ${Math.round(growth / mebibyte)} MiB`)
      }
      const lines = logLines - before.logLines
      if (lines > linesAnyway + linesPerConnection * this.#connections) {
        throw new Error(`${role} logged ${lines} lines for ${this.#connections} connections`)
      }
    }
  }

  /** A whole life of a file, as an innocent client leads it. */
  async useCluster(): Promise<void> {
    this.#uses += 1
    const directory = `/innocent-${this.#uses}`
    const data = Buffer.alloc(150_000, `${this.#uses} innocent `)
    await this.#client.safeMode('leave')
    await this.#client.mkdir(directory)
    await this.#client.writeFile(`${directory}/file`, data)
    if (!data.equals(await this.#client.readFile(`${directory}/file`))) {
      throw new Error(`"${directory}/file" reads otherwise than it was written`)
    }
    await this.#list('/')
    await this.#client.rm(directory, { recursive: true })
  }

  /** Lists everything, so that a row that cannot be told to clients shows. */
  async #list(path: string): Promise<void> {
    for (const entry of await this.#client.readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await this.#list(entry.path)
    }
  }

  /** Waits until every daemon has let go of what the bad connections held. */
  async settled(baseline: Baseline): Promise<void> {
    const deadline = Date.now() + settleMs
    for (;;) {
      const over = this.#leaks(baseline)
      if (over.length === 0) return
      if (Date.now() > deadline)
        throw new Error(`Not let go after ${settleMs} ms: ${over.join(', ')}`)
      await sleep(100)
    }
  }

  #leaks(baseline: Baseline): string[] {
    return [...this.#holdings()].flatMap(([role, { sockets, files }]) => {
      const before = baseline.get(role)
      if (before === undefined) return []
      const over: string[] = []
      if (sockets > before.sockets)
        over.push(`${role} has ${sockets} sockets, not ${before.sockets}`)
      if (files.length > before.files.length) {
        over.push(`${role} has open ${files.join(' ')}, not ${before.files.length} files`)
      }
      return over
    })
  }

  /** Growth of every daemon since the base line, for the report. */
  summary(baseline: Baseline): string {
    const daemons = [...this.#holdings()].map(([role, { rssBytes, logLines, logBytes }]) => {
      const before = baseline.get(role)
      const grown = Math.round((rssBytes - (before?.rssBytes ?? 0)) / mebibyte)
      return `${role} +${grown} MiB, +${logLines - (before?.logLines ?? 0)} lines, +${logBytes - (before?.logBytes ?? 0)} bytes of log`
    })
    return `after ${this.#connections} connections: ${daemons.join('; ')}`
  }

  #checkLogs(baseline: Baseline): void {
    for (const role of this.#roles()) {
      const skipped = baseline.get(role)?.logBytes ?? 0
      const fault = this.#log(role)
        .subarray(skipped)
        .toString()
        .split('\n')
        .find((line) => faultsInLog.test(line))
      if (fault !== undefined) throw new Error(`${role} logged ${fault}`)
    }
  }

  #roles(): Role[] {
    return ['namenode', ...this.#cluster.datanodeRoles]
  }

  #log(role: Role): Buffer {
    return readFileSync(join(this.#cluster.directory, 'logs', `${role}.log`))
  }

  #holdings(): Map<Role, Holdings> {
    return new Map(this.#roles().map((role) => [role, this.#holdingsOf(role)]))
  }

  #holdingsOf(role: Role): Holdings {
    const pid = this.#cluster.pid(role)
    const log = this.#log(role)
    try {
      const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      return {
        pid: pid ?? 0,
        sockets: targets.filter((target) => target.startsWith('socket:')).length,
        files: targets.filter((target) => target.includes('blk_')),
        rssBytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
        logLines: log.toString('latin1').split('\n').length,
        logBytes: log.length,
      }
    } catch {
      throw new Error(`${role} is gone:\n${log.toString().slice(-6000)}`)
    }
  }
}

/** Where a file descriptor leads; empty when it was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
