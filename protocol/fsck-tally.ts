/** Judges files by where their replicas are, as HDFS's fsck does: for the shell, and for the namenode's `/fsck`. */

/** What the namenode plans with the datanode of a replica (DatanodeInfo.AdminStates). */
type AdminState =
  | 'NORMAL'
  | 'DECOMMISSION_INPROGRESS'
  | 'DECOMMISSIONED'
  | 'ENTERING_MAINTENANCE'
  | 'IN_MAINTENANCE'

/** A replica and the datanode that has it. */
export interface FsckReplica {
  /** `host:port` of data transfer. */
  readonly address: string
  readonly storageId: string | undefined
  readonly rack: string
  readonly adminState: AdminState
}

/** A block and where it is. */
export interface FsckBlock {
  readonly blockPoolId: string
  readonly blockId: number
  readonly generationStamp: number
  /** Where it begins in the file. */
  readonly offset: number
  readonly length: number
  /** Replicas are known, and all of them are corrupt. */
  readonly isCorrupt: boolean
  readonly datanodes: readonly FsckReplica[]
}

/** A file and its blocks. */
export interface FsckFile {
  readonly path: string
  readonly size: number
  readonly replication: number
  readonly isOpen: boolean
  readonly blocks: readonly FsckBlock[]
}

/** One block as fsck judges it. */
export interface BlockHealth {
  /** `BP-…:blk_1073741825_1001`. */
  readonly name: string
  /** Where it begins in the file. */
  readonly offset: number
  readonly length: number
  /** Good replicas on datanodes that stay. */
  readonly liveReplicas: number
  readonly isReadable: boolean
  readonly isMisReplicated: boolean
  readonly datanodes: readonly FsckReplica[]
}

/** One file as fsck judges it. */
export interface FileHealth {
  readonly path: string
  readonly size: number
  readonly replication: number
  readonly isOpen: boolean
  readonly blocks: readonly BlockHealth[]
  /** One line each, in HDFS's words. */
  readonly problems: readonly string[]
  /** Some block has no readable replica. */
  readonly isCorrupt: boolean
}

/** Sums over the replicas of blocks, in HDFS's words where it has any. */
export interface FsckCounts {
  files: number
  bytes: number
  openFiles: number
  openBytes: number
  blocks: number
  liveReplicas: number
  wantedReplicas: number
  missingReplicas: number
  underReplicated: number
  overReplicated: number
  misReplicated: number
  missing: number
  corrupt: number
  corruptFiles: number
  missingBytes: number
  corruptBytes: number
  decommissionedReplicas: number
  decommissioningReplicas: number
  enteringMaintenanceReplicas: number
  inMaintenanceReplicas: number
}

const problemsKeptMax = 1000

/** Judges the files of one fsck, and sums up. */
export class FsckTally {
  readonly path: string
  directories = 0
  symlinks = 0
  readonly counts: FsckCounts = {
    ...{ files: 0, bytes: 0, openFiles: 0, openBytes: 0, blocks: 0 },
    ...{ liveReplicas: 0, wantedReplicas: 0, missingReplicas: 0 },
    ...{ underReplicated: 0, overReplicated: 0, misReplicated: 0 },
    ...{ missing: 0, corrupt: 0, corruptFiles: 0, missingBytes: 0, corruptBytes: 0 },
    ...{ decommissionedReplicas: 0, decommissioningReplicas: 0 },
    ...{ enteringMaintenanceReplicas: 0, inMaintenanceReplicas: 0 },
  }
  readonly #racks: number
  readonly #withOpen: boolean
  readonly #problems: { readonly path: string; readonly problem: string }[] = []

  /** @param cluster `racks`: how many live datanodes are on; `withOpen`: judge files being written as well */
  constructor(
    path: string,
    { racks, withOpen }: { readonly racks: number; readonly withOpen: boolean },
  ) {
    this.path = path
    this.#racks = racks
    this.#withOpen = withOpen
  }

  get isHealthy(): boolean {
    return this.counts.missing === 0 && this.counts.corrupt === 0
  }

  /** Judges a file; undefined for one that is being written and not to be judged. */
  addFile(status: FsckFile): FileHealth | undefined {
    const { counts } = this
    const { path, size, replication, isOpen } = status
    if (isOpen) {
      counts.openFiles += 1
      counts.openBytes += size
      if (!this.#withOpen) return undefined
    }
    counts.files += 1
    counts.bytes += size
    const problems: string[] = []
    const blocks = status.blocks.map((location, index) => {
      // The last block of an open file is still in its pipeline: it has no replicas to miss.
      const isBeingWritten = isOpen && index === status.blocks.length - 1
      return this.#addBlock(status, location, { problems, isBeingWritten })
    })
    for (const problem of problems) {
      if (this.#problems.length < problemsKeptMax) this.#problems.push({ path, problem })
    }
    const isCorrupt = blocks.some(({ isReadable }) => !isReadable)
    if (isCorrupt) counts.corruptFiles += 1
    return { path, size, replication, isOpen, blocks, problems, isCorrupt }
  }

  #addBlock(
    { replication }: FsckFile,
    location: FsckBlock,
    { problems, isBeingWritten }: { problems: string[]; isBeingWritten: boolean },
  ): BlockHealth {
    const { counts } = this
    const { blockPoolId, blockId, generationStamp, datanodes, offset, length } = location
    const name = `${blockPoolId}:blk_${blockId}_${generationStamp}`
    const good = location.isCorrupt ? [] : datanodes
    const liveReplicas = good.filter(({ adminState }) => countsAsLive(adminState)).length
    for (const { adminState } of good) this.#countState(adminState)
    counts.blocks += 1
    counts.liveReplicas += liveReplicas
    counts.wantedReplicas += replication
    const isMisReplicated = !isBeingWritten && this.#isMisReplicated(good, replication)
    const health = { name, offset, length, liveReplicas, isMisReplicated, datanodes }
    if (isBeingWritten) return { ...health, isReadable: true }
    counts.missingReplicas += Math.max(replication - liveReplicas, 0)
    if (location.isCorrupt) {
      counts.corrupt += 1
      counts.corruptBytes += length
      problems.push(`CORRUPT block ${name}: every replica is corrupt`)
    } else if (good.length === 0) {
      counts.missing += 1
      counts.missingBytes += length
      problems.push(`MISSING block ${name} of ${length} B: no datanode has a replica`)
    } else if (liveReplicas < replication) {
      counts.underReplicated += 1
      problems.push(
        `Under replicated ${name}. Target Replicas is ${replication} but found ${liveReplicas} live replica(s)${others(good)}`,
      )
    } else if (liveReplicas > replication) counts.overReplicated += 1
    if (isMisReplicated) {
      counts.misReplicated += 1
      problems.push(
        `Replica placement policy is violated for ${name}. All replicas are on rack ${good[0]?.rack ?? '?'}, and there are ${this.#racks} racks`,
      )
    }
    return { ...health, isReadable: good.length > 0 }
  }

  /** Several replicas on one rack where there is another one to choose. */
  #isMisReplicated(good: readonly FsckReplica[], replication: number): boolean {
    const racks = new Set(good.map(({ rack }) => rack))
    return replication > 1 && good.length > 1 && this.#racks > 1 && racks.size === 1
  }

  #countState(state: AdminState): void {
    const { counts } = this
    if (state === 'DECOMMISSIONED') counts.decommissionedReplicas += 1
    else if (state === 'DECOMMISSION_INPROGRESS') counts.decommissioningReplicas += 1
    else if (state === 'ENTERING_MAINTENANCE') counts.enteringMaintenanceReplicas += 1
    else if (state === 'IN_MAINTENANCE') counts.inMaintenanceReplicas += 1
  }

  /** What `--json` shows. */
  record(): Record<string, unknown> {
    const { counts } = this
    return {
      path: this.path,
      status: this.isHealthy ? 'HEALTHY' : 'CORRUPT',
      directories: this.directories,
      symlinks: this.symlinks,
      files: counts.files,
      bytes: counts.bytes,
      openFiles: counts.openFiles,
      blocks: counts.blocks,
      liveReplicas: counts.liveReplicas,
      missingReplicas: counts.missingReplicas,
      underReplicatedBlocks: counts.underReplicated,
      overReplicatedBlocks: counts.overReplicated,
      misReplicatedBlocks: counts.misReplicated,
      missingBlocks: counts.missing,
      corruptBlocks: counts.corrupt,
      corruptFiles: counts.corruptFiles,
      decommissionedReplicas: counts.decommissionedReplicas,
      decommissioningReplicas: counts.decommissioningReplicas,
      enteringMaintenanceReplicas: counts.enteringMaintenanceReplicas,
      inMaintenanceReplicas: counts.inMaintenanceReplicas,
      problems: this.#problems,
    }
  }
}

/** A datanode that leaves, or is away for a while, does not count towards the wanted replicas. */
function countsAsLive(state: AdminState): boolean {
  return state === 'NORMAL'
}

function others(good: readonly FsckReplica[]): string {
  const leaving = good.filter(({ adminState }) => !countsAsLive(adminState)).length
  return leaving === 0 ? '' : `, and ${leaving} on datanodes that leave or are in maintenance`
}
