/** What changed in a cluster between two looks at it, in words. */
import type { AdminState, DatanodeLiveness, SafeModeState } from '../../protocol/states.ts'
import type { EventLevel } from './event-log.ts'
import type { Namenode } from './namenode.ts'

/** A datanode at one look. */
export interface SeenDatanode {
  readonly name: string
  readonly liveness: DatanodeLiveness
  readonly adminState: AdminState
  readonly isSteady: boolean
  readonly disks: number
  readonly failedDisks: number
}

/** A cluster at one look. */
export interface ClusterLook {
  readonly datanodes: ReadonlyMap<string, SeenDatanode>
  readonly safeMode: SafeModeState
  readonly isRepairPaused: boolean
  readonly isLowOnSpace: boolean
  readonly missingBlocks: number
  readonly corruptBlocks: number
}

export interface ClusterChange {
  readonly level: EventLevel
  readonly text: string
}

/** Looks at the cluster; costs a pass over the datanodes. */
export function lookAt({ blocks, isLowOnSpace }: Namenode): ClusterLook {
  const { missingBlocks, corruptBlocks, isRepairPaused } = blocks.stats()
  const datanodes = new Map<string, SeenDatanode>()
  for (const view of blocks.datanodes('all')) {
    const { uuid, hostName, transferPort, liveness, adminState, isSteady, storages } = view
    datanodes.set(uuid, {
      ...{ name: `${hostName}:${transferPort}`, liveness, adminState, isSteady },
      disks: storages.length,
      failedDisks: storages.filter(({ isFailed }) => isFailed).length,
    })
  }
  const { safeMode } = blocks
  return { datanodes, safeMode, isRepairPaused, isLowOnSpace, missingBlocks, corruptBlocks }
}

/** The datanodes' changes first, then those of the cluster as a whole. */
export function changesBetween(before: ClusterLook, now: ClusterLook): ClusterChange[] {
  const changes: ClusterChange[] = []
  for (const [uuid, node] of now.datanodes) {
    const known = before.datanodes.get(uuid)
    if (known !== undefined) changes.push(...changesOf(known, node))
    else changes.push({ level: 'info', text: `Datanode ${node.name} joined` })
  }
  if (before.isRepairPaused !== now.isRepairPaused) {
    changes.push(
      now.isRepairPaused
        ? { level: 'danger', text: 'Repair waits: many datanodes vanished together' }
        : { level: 'info', text: 'Repair goes on' },
    )
  }
  if ((before.safeMode === 'off') !== (now.safeMode === 'off')) {
    changes.push(
      now.safeMode === 'off'
        ? { level: 'info', text: 'Safe mode ended' }
        : { level: 'warning', text: 'Safe mode began: nothing can be changed' },
    )
  }
  if (before.isLowOnSpace !== now.isLowOnSpace) {
    changes.push(
      now.isLowOnSpace
        ? { level: 'danger', text: 'The disk of the namenode is nearly full: changes are refused' }
        : { level: 'info', text: 'The disk of the namenode has room again' },
    )
  }
  return [...changes, ...blockChanges(before, now)]
}

function blockChanges(before: ClusterLook, now: ClusterLook): ClusterChange[] {
  const changes: ClusterChange[] = []
  if (now.missingBlocks > before.missingBlocks) {
    changes.push({
      level: 'danger',
      text: `${counted(now.missingBlocks, 'block')} cannot be read: no datanode has a good replica`,
    })
  } else if (now.missingBlocks === 0 && before.missingBlocks > 0) {
    changes.push({ level: 'info', text: 'Every block can be read again' })
  }
  if (now.corruptBlocks > before.corruptBlocks) {
    const text = `${counted(now.corruptBlocks, 'block')} with a corrupt replica`
    changes.push({ level: 'warning', text })
  }
  return changes
}

const livenessChanges = {
  live: { level: 'info', text: 'is live' },
  disconnected: { level: 'warning', text: 'lost its connection' },
  stale: { level: 'warning', text: 'is not heard of' },
  dead: { level: 'danger', text: 'is dead: what it held is copied from the others' },
} as const satisfies Record<DatanodeLiveness, ClusterChange>

const adminWords = {
  normal: 'is in service',
  'decommission-in-progress': 'is being drained',
  decommissioned: 'is drained',
  'entering-maintenance': 'enters maintenance',
  'in-maintenance': 'is in maintenance',
} as const satisfies Record<AdminState, string>

function changesOf(before: SeenDatanode, now: SeenDatanode): ClusterChange[] {
  const changes: ClusterChange[] = []
  const say = (level: EventLevel, text: string): void => {
    changes.push({ level, text: `Datanode ${now.name} ${text}` })
  }
  if (before.liveness !== now.liveness) {
    const { level, text } = livenessChanges[now.liveness]
    say(level, text)
  }
  if (before.adminState !== now.adminState) say('info', adminWords[now.adminState])
  if (before.isSteady && !now.isSteady) say('warning', 'comes and goes')
  if (now.failedDisks > before.failedDisks) {
    say('warning', `has ${now.failedDisks} of ${counted(now.disks, 'disk')} failed`)
  }
  return changes
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
