import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterLayout, RunningProcess } from './layout.ts'

const pollMs = 50
const graceMs = 30_000

/**
 * Stops whatever runs in a cluster's directory. A launcher stops its own daemons; daemons without one are
 * stopped gateway first and namenode last. What does not end within 30 s is killed.
 *
 * @returns the processes that were stopped
 */
export async function stopCluster(layout: ClusterLayout): Promise<readonly RunningProcess[]> {
  const found = layout.running()
  const launcher = found.filter(({ name }) => name === 'up')
  const gateway = found.filter(({ name }) => name === 'gateway')
  const datanodes = found.filter(({ name }) => name.startsWith('datanode-'))
  const namenode = found.filter(({ name }) => name === 'namenode')
  await end(layout, launcher)
  await end(layout, gateway)
  await end(layout, datanodes)
  await end(layout, namenode)
  return found
}

async function end(layout: ClusterLayout, processes: readonly RunningProcess[]): Promise<void> {
  const isRunning = ({ pid }: RunningProcess): boolean =>
    layout.running().some((running) => running.pid === pid)
  const deadlineMs = performance.now() + graceMs
  for (const { pid } of processes.filter(isRunning)) process.kill(pid, 'SIGTERM')
  let left = processes.filter(isRunning)
  while (left.length > 0 && performance.now() < deadlineMs) {
    await delay(pollMs)
    left = left.filter(isRunning)
  }
  for (const { pid } of left) process.kill(pid, 'SIGKILL')
  for (const { name, pid } of processes) layout.removePid(name, pid)
}
