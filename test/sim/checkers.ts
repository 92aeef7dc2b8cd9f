import { assert } from '../../base/assert.ts'
import type { BlockRow } from '../../namenode/core/changes.ts'
import type { FoldBatch } from '../../namenode/shell/fold-batch.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { HdfsFileStatus, LocatedBlocks } from '../../protocol/messages/hdfs.ts'
import type { SimCluster } from './cluster.ts'
import type { FileSystemModel, Finding } from './model.ts'
import { lengthOf } from './replica-disk.ts'
import type { SimClient } from './sim-client.ts'
import { readFile } from './sim-files.ts'

/** Who found something wrong. */
export type Checker =
  /** What a client read or was answered, while things went wrong, is possible by the model. */
  | 'answers'
  /** What is there after the faults is possible by the model. */
  | 'content'
  /** The workload ends, and then everything becomes healthy: fsck would be clean. */
  | 'convergence'
  /** Stamps and lengths of the rows that are folded never go back. */
  | 'rows'
  /** No good replica is deleted that is needed. */
  | 'deletions'
  /** The store and the tail of the journal give the same namespace again. */
  | 'replay'
  /** So does the whole journal from its first transaction on. */
  | 'full-replay'
  /** Balancing ends with nothing left that it could do. */
  | 'balance'
  /** Nothing is left over: no open stream, writer, pending copy or deletion. */
  | 'leaks'
  /** An assertion or an unexpected error of the code under test. */
  | 'assertion'

export type Report = (checker: Checker, message: string) => void

/**
 * Watches every fold into the store, so every state of every block row: stamps only grow, a complete
 * block keeps its length as long as it keeps its stamp.
 */
export function watchRows(cluster: SimCluster, report: Report): void {
  const violation = (message: string): void => {
    report('rows', message)
  }
  const { store } = cluster.namenode
  const lastById = new Map<BlockId, BlockRow>()
  const fold = store.fold.bind(store)
  store.fold = async (batch: FoldBatch) => {
    await fold(batch)
    for (const row of batch.blocks.values()) {
      if (row === undefined) continue
      const last = lastById.get(row.id)
      lastById.set(row.id, row)
      if (last === undefined) continue
      if (row.generationStamp < last.generationStamp) {
        violation(`stamp of block ${row.id} fell to ${row.generationStamp}`)
      }
      const isComplete = row.state === 'complete' && last.state === 'complete'
      const isUnchanged = isComplete && row.generationStamp === last.generationStamp
      if (isUnchanged && row.length !== last.length) {
        violation(`complete block ${row.id} changed its length`)
      }
    }
  }
}

/**
 * Watches every deletion of a replica that the namenode ordered: while its block exists, as many good ones
 * stay on disks as are wanted, but for one that was damaged and not found out yet.
 */
export function watchDeletions(cluster: SimCluster, report: Report): void {
  for (const { name, disk } of cluster.datanodes) {
    disk.onRemove = ({ blockId, generationStamp, place }) => {
      const counts = cluster.namenode.serving?.blocks.replicaCounts(blockId)
      if (counts === undefined || place !== 'finalized' || !disk.isIntact(blockId)) return
      const others = cluster.datanodes.filter((other) => {
        return other.name !== name && other.disk.isIntact(blockId)
      })
      const stamps = others.map((other) => other.disk.files.get(blockId)?.generationStamp ?? 0)
      // A stale replica may go when a newer one is good.
      if (stamps.some((stamp) => stamp > generationStamp)) return
      const { replication, faults } = cluster.config
      const mayBeDamaged = faults.rot + faults.misdirect + faults['lose-disk'] > 0
      const needed = Math.max(1, mayBeDamaged ? replication - 1 : replication)
      if (others.length >= needed) return
      report(
        'deletions',
        `${name} was told to delete block ${blockId}_${generationStamp}, ${others.length} good replicas are left`,
      )
    }
  }
}

/** Says what is still there of work that is done. */
export function leftovers(cluster: SimCluster): readonly string[] {
  const found: string[] = []
  const stats = cluster.namenode.serving?.blocks.stats()
  if (stats !== undefined) {
    const { pendingCopies, pendingReplicationBlocks, pendingDeletionReplicas, postponedBlocks } =
      stats
    const movesOfBalancing = cluster.namenode.serving?.blocks.balance().movingBlocks ?? 0
    const counts = {
      pendingCopies,
      pendingReplicationBlocks,
      pendingDeletionReplicas,
      postponedBlocks,
      movesOfBalancing,
    }
    for (const [what, count] of Object.entries(counts)) {
      if (count > 0) found.push(`the namenode has ${count} ${what}`)
    }
  }
  for (const { name, writerCount } of cluster.datanodes) {
    if (writerCount > 0) found.push(`${name} has ${writerCount} writers`)
  }
  const { openEnds } = cluster.network
  if (openEnds.length > 0) found.push(`ends of streams are open at ${openEnds.join(', ')}`)
  return found
}

/**
 * Says which datanodes are fuller than they should be, by more than a block that every datanode below the average could
 * take. (The plan pairs datanodes without looking at their blocks: a target that has them all already gets none.)
 */
export function unbalanced(cluster: SimCluster): readonly string[] {
  const margin = cluster.settings['dfs.namenode.balance.threshold'] / 100
  const fills = cluster.datanodes.map(({ name, disk, capacityBytes: capacity }) => {
    let used = 0
    for (const { stretches } of disk.files.values()) used += lengthOf(stretches)
    return { name, disk, capacity, used }
  })
  const sum = (key: 'used' | 'capacity'): number =>
    fills.reduce((total, fill) => total + fill[key], 0)
  const average = sum('used') / sum('capacity')
  const surplusOf = (fill: { used: number; capacity: number }): number =>
    fill.used - average * fill.capacity
  const emptier = fills.filter((fill) => surplusOf(fill) < 0)
  return fills.flatMap((from) => {
    const spare = surplusOf(from) - margin * from.capacity
    const files = [...from.disk.files.values()].filter(({ stretches }) => {
      return lengthOf(stretches) > 0 && lengthOf(stretches) < spare
    })
    const isWanted = emptier.every((to) =>
      files.some(({ blockId, stretches }) => {
        return !to.disk.files.has(blockId) && surplusOf(to) < -lengthOf(stretches)
      }),
    )
    return files.length > 0 && isWanted ? [`${from.name} is too full by ${Math.round(spare)}`] : []
  })
}

interface ListedFile {
  readonly path: string
  readonly status: HdfsFileStatus
  readonly located: LocatedBlocks | undefined
}

/** Everything in the namespace, as a client sees it. @throws {@link DfsError} when it cannot be listed */
export async function listTree(client: SimClient, root = ''): Promise<readonly ListedFile[]> {
  const found: ListedFile[] = []
  let startAfter = new Uint8Array()
  for (;;) {
    const request = { src: root === '' ? '/' : root, startAfter, needLocation: true }
    const { dirList } = await client.call('getListing', request)
    if (dirList === undefined) return found
    for (const status of dirList.partialListing) {
      const path = `${root}/${Buffer.from(status.path).toString()}`
      found.push({ path, status, located: status.locations })
      if (status.fileType === 'IS_DIR') found.push(...(await listTree(client, path)))
      startAfter = Uint8Array.from(status.path)
    }
    if (dirList.remainingEntries === 0) return found
  }
}

export function isOpen({ located }: ListedFile): boolean {
  return located?.underConstruction === true
}

/** One line per file and directory: everything durable about it. */
export function describeTree(files: readonly ListedFile[]): string[] {
  return files.map(({ path, status, located }) => {
    const blocks = (located?.blocks ?? []).map(
      ({ b }) => `${b.blockId}_${b.generationStamp}:${b.numBytes}`,
    )
    const times = `${status.modification_time} ${status.access_time}`
    return `${path} ${status.fileType} ${status.fileId} ${status.length} ${times} ${blocks.join(',')}`
  })
}

/**
 * False while the disks alone show that something is still to be done: a block with too few or too many
 * replicas, or different ones. Cheap, to be asked before {@link unhealthy}.
 */
export function disksAgree(cluster: SimCluster): boolean {
  const stampsById = new Map<BlockId, GenerationStamp[]>()
  for (const { disk } of cluster.datanodes) {
    for (const { blockId, generationStamp } of disk.files.values()) {
      if (!disk.isIntact(blockId)) return false
      const stamps = stampsById.get(blockId) ?? []
      stampsById.set(blockId, stamps)
      stamps.push(generationStamp)
    }
  }
  const { replication } = cluster.config
  return [...stampsById.values()].every(
    (stamps) => stamps.length === replication && stamps.every((stamp) => stamp === stamps[0]),
  )
}

/** Says what still differs from a healthy, fully replicated cluster without garbage; empty when nothing does. */
export async function unhealthy(
  cluster: SimCluster,
  client: SimClient,
): Promise<readonly string[]> {
  const namenode = cluster.namenode.serving
  if (namenode === undefined) return ['the namenode does not serve']
  const found: string[] = []
  for (const { name, session } of cluster.datanodes) {
    if (session?.isUpToDate !== true) found.push(`${name} has not reported`)
  }
  const wanted = new Map<number, { stamp: number; length: number; path: string }>()
  for (const { path, located } of await listTree(client)) {
    const last = located?.underConstruction === true ? located.lastBlock?.b : undefined
    const isLost = last !== undefined && isNowhere(cluster, last.blockId)
    if (located?.underConstruction === true && !isLost) found.push(`${path} is open`)
    for (const { b } of located?.blocks ?? []) {
      if (isLost && b.blockId === last.blockId) continue
      wanted.set(b.blockId, { stamp: b.generationStamp, length: b.numBytes, path })
    }
  }
  if (found.length > 0) return found
  for (const [id, { stamp, length, path }] of wanted) {
    const good = cluster.datanodes.filter(({ disk }) => {
      const file = disk.files.get(id as BlockId)
      if (file?.place !== 'finalized') return false
      const isRight = file.generationStamp === stamp && lengthOf(file.stretches) === length
      return isRight && disk.isIntact(file.blockId)
    })
    if (good.length !== cluster.config.replication) {
      found.push(`block ${id}_${stamp} of ${path} has ${good.length} good replicas`)
    }
  }
  for (const { name, disk } of cluster.datanodes) {
    for (const [id, file] of disk.files) {
      if (!wanted.has(id))
        found.push(`${name} keeps block ${id}_${file.generationStamp} (${file.place})`)
    }
  }
  return found
}

/**
 * Nobody has anything of the block: it was never synced and went with its machines' power. Its file stays open
 * for somebody to decide; what was synced of it is judged nevertheless.
 */
function isNowhere(cluster: SimCluster, id: number): boolean {
  return cluster.datanodes.every(({ disk }) => !disk.files.has(id as BlockId))
}

/** What the namenode and the disks know of each block, for whoever looks into a cluster that does not heal. */
export function describeBlocks(cluster: SimCluster): readonly string[] {
  const { serving } = cluster.namenode
  const lines = [`namenode: ${JSON.stringify(serving?.blocks.stats())}`]
  for (const { name, session } of cluster.datanodes) {
    lines.push(`${name}: ${session?.phase ?? 'down'}, up to date: ${session?.isUpToDate ?? false}`)
  }
  const ids = new Set(cluster.datanodes.flatMap(({ disk }) => [...disk.files.keys()]))
  for (const id of ids) {
    const replicas = cluster.datanodes.flatMap(({ name, disk }) => {
      const file = disk.files.get(id)
      if (file === undefined) return []
      return [
        `${name} ${file.place} stamp ${file.generationStamp} length ${lengthOf(file.stretches)}`,
      ]
    })
    const counts = JSON.stringify(serving?.blocks.replicaCounts(id))
    lines.push(`block ${id}: ${counts} ${replicas.join(', ')}`)
  }
  return lines
}

/** Reads every path the model knows, and lists the tree for paths it does not. */
export async function compareWithModel(
  client: SimClient,
  model: FileSystemModel,
  report: Report,
): Promise<void> {
  const kindByPath = new Map(
    (await listTree(client)).map(({ path, status }) => [path, status.fileType]),
  )
  for (const path of model.paths) {
    const finding = await find(client, path, kindByPath.get(path))
    const wrong = model.judge(path, finding, 'healed')
    if (wrong !== undefined) report('content', wrong)
  }
  for (const path of kindByPath.keys()) {
    if (!model.paths.includes(path)) report('content', `${path} exists and nobody made it`)
  }
}

async function find(
  client: SimClient,
  path: string,
  kind: HdfsFileStatus['fileType'] | undefined,
): Promise<Finding> {
  if (kind === undefined) return { kind: 'absent' }
  if (kind === 'IS_DIR') return { kind: 'directory' }
  assert(kind === 'IS_FILE', 'the workload makes no symbolic links')
  try {
    return { kind: 'file', ...(await readFile(client, path)) }
  } catch (error) {
    if (!isDfsError(error)) throw error
    // Nothing can be read: judged as a file without content, which only an unfinished one may be.
    return { kind: 'file', content: [], isOpen: true }
  }
}
