/** Explanations of blocks and datanodes, in sentences an operator can act on. */
import type { BlockExplanation, DatanodeExplanation, NodeStatus } from '../index.ts'
import { counted, duration, humanSize } from './format.ts'

type Block = NonNullable<BlockExplanation['block']>
type Replica = Block['replicas'][number]
type Node = NonNullable<DatanodeExplanation['datanode']>

const pauses: Readonly<Record<string, string>> = {
  'safe-mode':
    'Nothing is repaired: the namenode is in safe mode (`dfs report` says why, `dfs safemode leave` ends it).',
  'mass-failure':
    'Nothing is repaired: many datanodes vanished at once, and copying everything would do more harm than waiting ' +
    '(`dfs report` names them and the command that goes on without them).',
}

/** What keeps all repair waiting; no line when nothing does. */
export function pauseText(paused: string | undefined): string[] {
  return paused === undefined ? [] : [pauses[paused] ?? `Nothing is repaired: ${paused}.`]
}

/**
 * One block in a few lines.
 * @param nowMs wall-clock milliseconds, for "3 s ago"
 */
export function blockText(block: Block, where: string, nowMs: number): string[] {
  const name = `blk_${block.blockId}_${block.generationStamp}`
  const lines = [`${name} (${where}, ${humanSize(block.length)}B): ${verdictOf(block)}`]
  for (const replica of block.replicas) lines.push(`  ${replicaText(replica, block)}`)
  for (const { from, to, bytes, sinceMs, sentMs, untilMs } of block.copies) {
    const what =
      from === undefined
        ? `${to} is about to report its replica from the write pipeline`
        : `being copied from ${from} to ${to} (${humanSize(bytes)}B)`
    const sent = from !== undefined && sentMs === undefined ? ', waits for its heartbeat' : ''
    lines.push(`  ${what}, since ${ago(nowMs, sinceMs)}${sent}; given up ${ahead(nowMs, untilMs)}`)
  }
  lines.push(...plansOf(block, nowMs).map((plan) => `  ${plan}`))
  return lines
}

function verdictOf(block: Block): string {
  const { state, good, wanted } = block
  if (state === 'under-construction') return 'being written'
  if (state === 'under-recovery') {
    return 'its writer is gone; its datanodes agree on its length, then the file is closed'
  }
  if (state === 'committed') return `written; the namenode waits for its datanodes' reports`
  if (state === 'unverified') return 'reported by datanodes, and no file is known to have it yet'
  if (block.isHealthy) return `healthy, ${counted(good, 'good replica')} of ${wanted}`
  const replicas = counted(wanted, 'replica')
  if (good === 0) return `LOST for now: none of ${replicas} can be read`
  if (good < wanted) return `under-replicated: ${good} of ${replicas} good`
  if (good > wanted) return `over-replicated: ${good} good replicas, ${wanted} wanted`
  return block.queue === 'badly-distributed'
    ? 'all replicas are on one rack'
    : `${good} good replicas, and something left to do`
}

const worthText: Readonly<Record<Replica['worth'], string>> = {
  GOOD: 'good',
  UNCONFIRMED: 'counts, and waits to be confirmed by a full report',
  BEING_WRITTEN: 'being written',
  WAITING: 'unfinished since its datanode restarted; waits for recovery',
  TO_BE_DELETED: 'surplus or replaced: told to go',
  UNREACHABLE: 'does not count: ',
  LEAVING: 'readable, does not count: its datanode is being drained',
  IN_MAINTENANCE: 'its datanode is in maintenance',
  REPORTED_CORRUPT: 'CORRUPT: a reader or the scrubber found wrong bytes',
  STALE_STAMP: 'STALE: it missed later writes, ',
  FUTURE_STAMP: 'UNUSABLE: written under a later stamp than the block has, ',
  WRONG_LENGTH: 'CORRUPT: it has the wrong length, ',
  NOT_FINALIZED: 'CORRUPT: unfinished, and the block is complete',
  DIVERGENT: 'CORRUPT: its bytes are not those of the other replicas',
  UNDECIDED: 'DOUBTFUL: the replicas differ, and none of them has a majority',
}

function replicaText(replica: Replica, block: Block): string {
  const { name, rack, worth, liveness, generationStamp, length } = replica
  const details: Partial<Record<Replica['worth'], string>> = {
    UNREACHABLE: liveness === 'live' ? 'its disk failed' : `its datanode is ${liveness}`,
    STALE_STAMP: `stamp ${generationStamp} instead of ${block.generationStamp}`,
    FUTURE_STAMP: `stamp ${generationStamp} instead of ${block.generationStamp}`,
    WRONG_LENGTH: `${length} bytes instead of ${block.length}`,
  }
  return `${name} ${rack}: ${worthText[worth]}${details[worth] ?? ''}`
}

/** What will happen, or why nothing does. */
function plansOf(block: Block, nowMs: number): string[] {
  const plans: string[] = []
  if (block.queue === 'lost') {
    plans.push('nothing can be copied until a datanode with a good replica comes back')
  } else if (block.queue !== undefined) {
    const next = block.nextTryMs
    const when = next === undefined || next <= nowMs ? 'at the next round' : ahead(nowMs, next)
    plans.push(`queued for repair as "${block.queue}", tried ${when}`)
  }
  if (block.hindrance === 'waits') {
    plans.push(
      'not copied yet: its replicas may still be reported, the namenode or a node has just started',
    )
  } else if (block.hindrance === 'no-source') {
    plans.push('not copied yet: no datanode with a good replica can send at the moment')
  } else if (block.hindrance === 'no-target') {
    plans.push('not copied yet: no datanode can take another replica:')
    for (const { datanode, reason } of block.refusals) plans.push(`  ${datanode} ${reason}`)
  }
  if (block.isDeletionPostponed) {
    plans.push(
      'something is deleted as soon as enough other replicas are confirmed by full reports',
    )
  }
  return plans
}

/** A datanode in a few lines. */
export function datanodeText(node: Node, status: NodeStatus): string[] {
  const admin = node.adminState === 'normal' ? 'in service' : node.adminState.replaceAll('-', ' ')
  const free = `${humanSize(status.remaining)}B of ${humanSize(status.capacity)}B free`
  const lines = [
    `${node.name} (${node.uuid}): ${node.liveness}, ${admin}, last heard of ${duration(node.silenceMs)} ago`,
    `  holds ${counted(node.replicas, 'replica')} on ${counted(node.storages, 'storage')}, ${free}`,
  ]
  if (node.failedStorages > 0) {
    lines.push(
      `  ${counted(node.failedStorages, 'storage')} FAILED: its replicas are copied elsewhere`,
    )
  }
  if (node.unconfirmedStorages > 0) {
    const storages = counted(node.unconfirmedStorages, 'storage')
    lines.push(
      `  ${storages} not fully reported since it registered: nothing is deleted because of them`,
    )
  }
  const out = flow('sends', node.copiesOut, node.copyBytesOut, node.outBytesPerSecond)
  const into = flow('receives', node.copiesIn, node.copyBytesIn, node.inBytesPerSecond)
  lines.push(...out, ...into)
  if (node.queuedTransfers > 0)
    lines.push(
      `  ${counted(node.queuedTransfers, 'copy order', 'copy orders')} wait for its heartbeat`,
    )
  const deletions = node.queuedDeletions + node.sentDeletions
  if (deletions > 0) {
    lines.push(`  ${counted(deletions, 'deletion')} to do, ${node.sentDeletions} of them ordered`)
  }
  return lines
}

function flow(verb: string, count: number, bytes: number, speed: number | undefined): string[] {
  if (count === 0) return []
  const pace = speed === undefined ? '' : `, at ${humanSize(speed)}B/s when last measured`
  return [`  ${verb} ${counted(count, 'replica')} for repair (${humanSize(bytes)}B)${pace}`]
}

function ago(nowMs: number, thenMs: number): string {
  return duration(Math.max(nowMs - thenMs, 0))
}

function ahead(nowMs: number, thenMs: number): string {
  return thenMs <= nowMs ? 'any moment' : `in ${duration(thenMs - nowMs)}`
}
