import type { BlockLocation, FileStatus } from '../index.ts'

/** One block as fsck judges it. */
export interface BlockHealth {
  /** `BP-…:blk_1073741825_1001`. */
  readonly name: string
  readonly length: number
  readonly liveReplicas: number
  readonly isReadable: boolean
  readonly datanodes: BlockLocation['datanodes']
}

/** One file as fsck judges it. */
export interface FileHealth {
  readonly path: string
  readonly size: number
  readonly replication: number
  readonly blocks: readonly BlockHealth[]
  /** One line each, in HDFS's words. */
  readonly problems: readonly string[]
}

const problemsKeptMax = 1000

/** Sums over the files of one fsck. */
export class FsckTally {
  readonly path: string
  directories = 0
  symlinks = 0
  #files = 0
  #bytes = 0
  #blocks = 0
  #liveReplicas = 0
  #wantedReplicas = 0
  #underReplicated = 0
  #overReplicated = 0
  #missing = 0
  #corrupt = 0
  #missingReplicas = 0
  readonly #problems: { readonly path: string; readonly problem: string }[] = []

  constructor(path: string) {
    this.path = path
  }

  get isHealthy(): boolean {
    return this.#missing === 0 && this.#corrupt === 0
  }

  addFile(status: FileStatus, locations: readonly BlockLocation[]): FileHealth {
    this.#files += 1
    this.#bytes += status.size
    const problems: string[] = []
    const blocks = locations.map((location) => this.#addBlock(status, location, problems))
    for (const problem of problems) {
      if (this.#problems.length < problemsKeptMax)
        this.#problems.push({ path: status.path, problem })
    }
    const { path, size, replication } = status
    return { path, size, replication, blocks, problems }
  }

  #addBlock(status: FileStatus, location: BlockLocation, problems: string[]): BlockHealth {
    const { blockPoolId, blockId, generationStamp, datanodes, length, isCorrupt } = location
    const name = `${blockPoolId}:blk_${blockId}_${generationStamp}`
    const liveReplicas = isCorrupt ? 0 : datanodes.length
    this.#blocks += 1
    this.#liveReplicas += liveReplicas
    this.#wantedReplicas += status.replication
    this.#missingReplicas += Math.max(status.replication - liveReplicas, 0)
    if (isCorrupt) {
      this.#corrupt += 1
      problems.push(`CORRUPT block ${name}: every replica is corrupt`)
    } else if (liveReplicas === 0) {
      this.#missing += 1
      problems.push(`MISSING block ${name} of ${length} B: no datanode has a replica`)
    } else if (liveReplicas < status.replication) {
      this.#underReplicated += 1
      problems.push(
        `Under replicated ${name}. Target Replicas is ${status.replication} but found ${liveReplicas} live replica(s)`,
      )
    } else if (liveReplicas > status.replication) this.#overReplicated += 1
    return { name, length, liveReplicas, isReadable: liveReplicas > 0, datanodes }
  }

  /** What `--json` shows. */
  record(): Record<string, unknown> {
    return {
      path: this.path,
      status: this.isHealthy ? 'HEALTHY' : 'CORRUPT',
      directories: this.directories,
      symlinks: this.symlinks,
      files: this.#files,
      bytes: this.#bytes,
      blocks: this.#blocks,
      liveReplicas: this.#liveReplicas,
      missingReplicas: this.#missingReplicas,
      underReplicatedBlocks: this.#underReplicated,
      overReplicatedBlocks: this.#overReplicated,
      missingBlocks: this.#missing,
      corruptBlocks: this.#corrupt,
      problems: this.#problems,
    }
  }

  summaryLines(cluster: { readonly datanodes: number; readonly racks: number }): string[] {
    const blocks = this.#blocks
    const of = (count: number, whole: number): string =>
      `${count} (${whole === 0 ? '0.0' : ((count / whole) * 100).toFixed(1)} %)`
    const readable = blocks - this.#missing - this.#corrupt
    const average = blocks === 0 ? 0 : this.#liveReplicas / blocks
    const averageBytes = blocks === 0 ? 0 : Math.floor(this.#bytes / blocks)
    return [
      '',
      `Status: ${this.isHealthy ? 'HEALTHY' : 'CORRUPT'}`,
      ` Number of data-nodes:\t${cluster.datanodes}`,
      ` Number of racks:\t\t${cluster.racks}`,
      ` Total dirs:\t\t\t${this.directories}`,
      ` Total symlinks:\t\t${this.symlinks}`,
      '',
      'Replicated Blocks:',
      ` Total size:\t${this.#bytes} B`,
      ` Total files:\t${this.#files}`,
      ` Total blocks (validated):\t${blocks} (avg. block size ${averageBytes} B)`,
      ` Minimally replicated blocks:\t${of(readable, blocks)}`,
      ` Over-replicated blocks:\t${of(this.#overReplicated, blocks)}`,
      ` Under-replicated blocks:\t${of(this.#underReplicated, blocks)}`,
      ` Average block replication:\t${average.toFixed(1)}`,
      ` Missing blocks:\t\t${this.#missing}`,
      ` Corrupt blocks:\t\t${this.#corrupt}`,
      ` Missing replicas:\t\t${of(this.#missingReplicas, this.#wantedReplicas)}`,
    ]
  }
}
