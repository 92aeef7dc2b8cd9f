import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DfsError } from '../../protocol/errors.ts'
import type { Namenode } from './namenode.ts'

/** Blocks and copies listed at most of each kind. */
const listedMax = 10_000

/** What `dfsadmin -metasave` writes: the queues of repair and every datanode, in HDFS's words (BlockManager.metaSave). */
export function metaSaveLines({ namesystem, blocks }: Namenode): readonly string[] {
  const stats = blocks.stats()
  const { files, directories } = namesystem.status().totals
  const inodes = files + directories
  const missing = blocks.missingBlocks(listedMax)
  const copies = blocks.copiesUnderWay(listedMax)
  const waiting = Object.entries(stats.queueLengths)
  return [
    `${inodes} files and directories, ${stats.blocks} blocks = ${inodes + stats.blocks} total filesystem objects`,
    `Live Datanodes: ${stats.datanodes.live}`,
    `Dead Datanodes: ${stats.datanodes.dead}`,
    `Metasave: Blocks waiting for reconstruction: ${waiting.reduce((sum, [, count]) => sum + count, 0)}`,
    ...waiting.map(([danger, count]) => `  ${danger}: ${count}`),
    `Metasave: Blocks currently missing: ${stats.missingBlocks}`,
    ...missing.map((id) => `  blk_${id}`),
    `Mis-replicated blocks that have been postponed: ${stats.postponedBlocks}`,
    `Metasave: Blocks being reconstructed: ${stats.pendingReplicationBlocks}`,
    ...copies.map(({ blockId, source, target }) => `  blk_${blockId} from ${source} to ${target}`),
    `Metasave: Blocks ${stats.pendingDeletionReplicas} waiting deletion`,
    `Corrupt Blocks: ${stats.corruptBlocks}`,
    `Metasave: Number of datanodes: ${blocks.datanodes('all').length}`,
    ...blocks.datanodes('all').map((view) => {
      const { ipAddress, transferPort, liveness, adminState, capacity, used, remaining } = view
      return `${ipAddress}:${transferPort} ${liveness}, ${adminState}: capacity ${capacity}, used ${used}, remaining ${remaining}`
    }),
  ]
}

/**
 * Writes a file into the log directory, over one of that name.
 * @throws DfsError INVALID_ARGUMENT for anything but the name of a file; IO_ERROR when it cannot be written
 */
export async function writeMetaSave(
  directory: string,
  name: string,
  lines: readonly string[],
): Promise<void> {
  if (!/^[\w.-]+$/.test(name) || /^\.+$/.test(name)) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `"${name}" is not a name for a file in the log directory: use letters, digits, ".", "-" and "_"`,
    )
  }
  try {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, name), `${lines.join('\n')}\n`)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new DfsError('IO_ERROR', `Cannot write ${join(directory, name)}: ${message}`, { cause })
  }
}
