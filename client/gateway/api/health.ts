import type { HealthView, OverviewView } from './views.ts'

type Facts = Omit<OverviewView, 'health'>

/** Part of the capacity that is used when it becomes worth saying. */
const nearlyFull = 0.9

/** Puts the state of a cluster into one sentence; the most serious fact wins, the others become details. */
export function healthOf(facts: Facts): HealthView {
  const dangers = dangersOf(facts)
  const warnings = warningsOf(facts)
  const [sentence, ...details] = [...dangers, ...warnings]
  if (sentence !== undefined) {
    return { level: dangers.length > 0 ? 'danger' : 'warning', sentence, details }
  }
  const { live } = facts.nodes
  return {
    level: 'good',
    sentence: `Everything is well: ${counted(live, 'datanode')} live, and every block has all of its replicas.`,
    details: [],
  }
}

function dangersOf({ blocks, nodes, repair }: Facts): string[] {
  const found: string[] = []
  if (blocks.missing > 0) {
    found.push(
      `${counted(blocks.missing, 'block')} cannot be read: no datanode has a good replica.`,
    )
  }
  if (nodes.live === 0) found.push('No datanode is live: nothing can be read or written.')
  if (repair.isPaused) {
    const lost = counted(repair.lost.length, 'datanode')
    found.push(`Repair waits for an operator: ${lost} vanished together.`)
  }
  if ((blocks.lastReplica ?? 0) > 0) {
    found.push(`${counted(blocks.lastReplica ?? 0, 'block')} hang on the last good replica.`)
  }
  return found
}

function warningsOf({ blocks, nodes, space, isSafeMode }: Facts): string[] {
  const found: string[] = []
  if (isSafeMode) found.push('Safe mode is on: files can be read, nothing can be changed.')
  if (nodes.dead > 0) found.push(`${counted(nodes.dead, 'datanode')} dead.`)
  if (blocks.lowRedundancy > 0) {
    found.push(`${counted(blocks.lowRedundancy, 'block')} with fewer replicas than wanted.`)
  }
  if (blocks.corrupt > 0) found.push(`${counted(blocks.corrupt, 'block')} with a corrupt replica.`)
  if (nodes.stale > 0) found.push(`${counted(nodes.stale, 'datanode')} not heard of lately.`)
  const whole = space.used + space.remaining
  if (whole > 0 && space.used / whole >= nearlyFull) {
    found.push(`The cluster is ${Math.floor((space.used / whole) * 100)} % full.`)
  }
  return found
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
