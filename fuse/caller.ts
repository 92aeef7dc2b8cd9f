import { readFile } from 'node:fs/promises'
import type { NodeCaller } from '../client/index.ts'
import type { Identities } from './identity.ts'

/** Who makes a request: a user of this machine, and where the driver says it, the group and the process. */
export interface Caller {
  readonly uid: number
  readonly gid?: number
  /** Process, or thread, that waits for the answer. */
  readonly pid?: number
}

const root = 0

/** Groups of a process, by their numbers; none when it is gone or not to be seen from here. */
export async function groupsOfProcess(pid: number): Promise<readonly number[]> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const line = /^Groups:[ \t]*([\d ]*)$/m.exec(status)?.[1] ?? ''
  return line
    .split(' ')
    .filter((part) => part !== '')
    .map(Number)
}

/**
 * What the namenode is told of a caller: the kernel has decided by the groups of the process, which the namenode's machine may
 * not know of. The superuser of this machine needs none.
 */
export async function nodeCallerOf(
  { uid, gid, pid }: Caller,
  identities: Identities,
): Promise<NodeCaller> {
  const group = gid === undefined ? undefined : identities.groupOf(gid)
  const groups = uid === root || pid === undefined || pid === 0 ? [] : await groupsOfProcess(pid)
  return { group, groups: groups.map((id) => identities.groupOf(id)) }
}
