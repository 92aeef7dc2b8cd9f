/** What fsck prints: HDFS's lines (NamenodeFsck), which scripts read, and a verdict that people read. */
import type { FileHealth, FsckTally } from './fsck-tally.ts'

/** How much to say of each block. */
export interface BlockDetail {
  readonly locations: boolean
  readonly racks: boolean
  readonly replicaDetails: boolean
}

/** Words of `-replicaDetails`. */
const replicaStates = {
  NORMAL: 'LIVE',
  DECOMMISSION_INPROGRESS: 'DECOMMISSIONING',
  DECOMMISSIONED: 'DECOMMISSIONED',
  ENTERING_MAINTENANCE: 'ENTERING MAINTENANCE',
  IN_MAINTENANCE: 'IN MAINTENANCE',
} as const

/** The line of `-files` for a directory. */
export function directoryLine(path: string): string {
  return `${path} <dir>`
}

/** The line of `-files` for a file. */
export function fileLine({
  path,
  size,
  replication,
  blocks,
  problems,
  isOpen,
}: FileHealth): string {
  const verdict = problems.length === 0 ? ' OK' : ''
  const open = isOpen ? ', OPENFORWRITE' : ''
  return `${path} ${size} bytes, replicated: replication=${replication}, ${blocks.length} block(s)${open}: ${verdict}`
}

/** The lines of `-blocks` for a file, and an empty one. */
export function blockLines({ blocks }: FileHealth, detail: BlockDetail): string[] {
  const lines = blocks.map(({ name, length, liveReplicas, datanodes }, index) => {
    const places = datanodes.map((datanode) => {
      const { address, storageId, rack, adminState } = datanode
      if (detail.racks) return `${rack}/${address}`
      const place = `DatanodeInfoWithStorage[${address},${storageId ?? '?'},DISK]`
      return detail.replicaDetails ? `${place}(${replicaStates[adminState]})` : place
    })
    const isDetailed = detail.locations || detail.racks || detail.replicaDetails
    const locations = isDetailed ? `  [${places.join(', ')}]` : ''
    return `${index}. ${name} len=${length} Live_repl=${liveReplicas}${locations}`
  })
  return [...lines, '']
}

/** From `Status:` to the last count. */
export function summaryLines(
  tally: FsckTally,
  cluster: {
    readonly datanodes: number
    readonly racks: number
    readonly replication?: number | undefined
  },
): string[] {
  const { counts } = tally
  const { blocks } = counts
  const of = (count: number, whole: number): string =>
    `${count} (${whole === 0 ? '0.0' : ((count / whole) * 100).toFixed(1)} %)`
  const readable = blocks - counts.missing - counts.corrupt
  const average = blocks === 0 ? 0 : counts.liveReplicas / blocks
  const averageBytes = blocks === 0 ? 0 : Math.floor(counts.bytes / blocks)
  const open =
    counts.openFiles === 0
      ? []
      : [` Files currently being written:\t${counts.openFiles} (${counts.openBytes} B)`]
  return [
    '',
    `Status: ${tally.isHealthy ? 'HEALTHY' : 'CORRUPT'}`,
    ` Number of data-nodes:\t${cluster.datanodes}`,
    ` Number of racks:\t\t${cluster.racks}`,
    ` Total dirs:\t\t\t${tally.directories}`,
    ` Total symlinks:\t\t${tally.symlinks}`,
    '',
    'Replicated Blocks:',
    ` Total size:\t${counts.bytes} B`,
    ` Total files:\t${counts.files}`,
    ` Total blocks (validated):\t${blocks} (avg. block size ${averageBytes} B)`,
    ...open,
    ...(tally.isHealthy ? [] : lossLines(tally, of)),
    ` Minimally replicated blocks:\t${of(readable, blocks)}`,
    ` Over-replicated blocks:\t${of(counts.overReplicated, blocks)}`,
    ` Under-replicated blocks:\t${of(counts.underReplicated, blocks)}`,
    ` Mis-replicated blocks:\t\t${of(counts.misReplicated, blocks)}`,
    ...(cluster.replication === undefined
      ? []
      : [` Default replication factor:\t${cluster.replication}`]),
    ` Average block replication:\t${average.toFixed(1)}`,
    ` Missing blocks:\t\t${counts.missing}`,
    ` Corrupt blocks:\t\t${counts.corrupt}`,
    ` Missing replicas:\t\t${of(counts.missingReplicas, counts.wantedReplicas)}`,
    ...leavingLines(tally),
  ]
}

const stars = '  ********************************'

/** What stands out when something cannot be read. */
function lossLines(
  { counts }: FsckTally,
  of: (count: number, whole: number) => string,
): readonly string[] {
  const { missing, corrupt, missingBytes, corruptBytes } = counts
  return [
    stars,
    `  UNDER MIN REPL'D BLOCKS:\t${of(missing + corrupt, counts.blocks)}`,
    '  MINIMAL BLOCK REPLICATION:\t1',
    `  CORRUPT FILES:\t${counts.corruptFiles}`,
    ...(missing === 0
      ? []
      : [`  MISSING BLOCKS:\t${missing}`, `  MISSING SIZE:\t\t${missingBytes} B`]),
    ...(corrupt === 0
      ? []
      : [`  CORRUPT BLOCKS: \t${corrupt}`, `  CORRUPT SIZE:\t\t${corruptBytes} B`]),
    stars,
  ]
}

/** Replicas on datanodes that are being drained or maintained, where there are any. */
function leavingLines({ counts }: FsckTally): string[] {
  const lines: string[] = []
  const add = (title: string, count: number): void => {
    if (count > 0) lines.push(` ${title}:\t${count}`)
  }
  add('DecommissionedReplicas', counts.decommissionedReplicas)
  add('DecommissioningReplicas', counts.decommissioningReplicas)
  add('EnteringMaintenanceReplicas', counts.enteringMaintenanceReplicas)
  add('InMaintenanceReplicas', counts.inMaintenanceReplicas)
  return lines
}

/** HDFS's last line, and what it means. */
export function verdictLines(tally: FsckTally, isList: boolean): string[] {
  const { path, counts } = tally
  if (isList)
    return [`The filesystem under path '${path}' has ${counts.corruptFiles} CORRUPT files`]
  const last = `The filesystem under path '${path}' is ${tally.isHealthy ? 'HEALTHY' : 'CORRUPT'}`
  if (!tally.isHealthy) {
    const lost = counted(counts.missing + counts.corrupt, 'block')
    const files = counted(counts.corruptFiles, 'file')
    return [
      `${lost} of ${files} cannot be read from any datanode that answers: \`dfs explain FILE\` says what is`,
      'known of them; -move salvages what can be read, -delete gives the files up.',
      last,
    ]
  }
  const short = counts.underReplicated + counts.misReplicated
  if (short === 0) return [last]
  const blocks = counted(short, 'block')
  return [
    `${blocks} can be read but would survive less than they should; the cluster repairs them by itself.`,
    last,
  ]
}

function counted(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : `${noun}s`}`
}
