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

/**
 * Watches every fold into the store, so every state of every block row: stamps only grow, a complete
 * block keeps its length, and no block belongs to two files.
 */
export function watchRows(cluster: SimCluster, violation: (message: string) => void): void {
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
      if (row.inode !== last.inode) violation(`block ${row.id} moved to another file`)
      const isComplete = row.state === 'complete' && last.state === 'complete'
      if (isComplete && row.length !== last.length) {
        violation(`complete block ${row.id} changed its length`)
      }
    }
  }
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

/** One line per file and directory: everything durable about it. */
export function describeTree(files: readonly ListedFile[]): string {
  return files
    .map(({ path, status, located }) => {
      const blocks = (located?.blocks ?? []).map(
        ({ b }) => `${b.blockId}_${b.generationStamp}:${b.numBytes}`,
      )
      const times = `${status.modification_time} ${status.access_time}`
      return `${path} ${status.fileType} ${status.fileId} ${status.length} ${times} ${blocks.join(',')}`
    })
    .join('\n')
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
  const { openFiles } = namenode.namesystem.status()
  if (openFiles > 0) found.push(`${openFiles} files are open`)
  if (found.length > 0) return found
  const wanted = new Map<number, { stamp: number; length: number; path: string }>()
  for (const { path, located } of await listTree(client)) {
    for (const { b } of located?.blocks ?? []) {
      wanted.set(b.blockId, { stamp: b.generationStamp, length: b.numBytes, path })
    }
  }
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
  violation: (message: string) => void,
): Promise<void> {
  const kindByPath = new Map(
    (await listTree(client)).map(({ path, status }) => [path, status.fileType]),
  )
  for (const path of model.paths) {
    const wrong = model.judge(path, await find(client, path, kindByPath.get(path)))
    if (wrong !== undefined) violation(`after the faults: ${wrong}`)
  }
  for (const path of kindByPath.keys()) {
    if (!model.paths.includes(path)) violation(`${path} exists and nobody made it`)
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
