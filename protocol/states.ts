/**
 * States that more than one process speaks of, as closed unions in HDFS's words
 * (org.apache.hadoop.hdfs.server.common.HdfsServerConstants, DatanodeInfo.AdminStates).
 */

/** State of one datanode's copy of a block. The wire numbers follow this order. */
export const replicaStates = ['finalized', 'rbw', 'rwr', 'rur', 'temporary'] as const
/**
 * - `finalized`: complete and immutable until reopened
 * - `rbw`: being written
 * - `rwr`: was being written when its datanode restarted; waiting to be recovered
 * - `rur`: under recovery
 * - `temporary`: being copied between datanodes; dropped at restart
 */
export type ReplicaState = (typeof replicaStates)[number]

/**
 * State of a block in the namenode.
 * - `under-construction`: allocated or reopened, a client writes it
 * - `under-recovery`: its writer is gone, datanodes agree on a length
 * - `committed`: the client said how long it is
 * - `complete`: enough finalized replicas of that length and stamp are reported
 */
export type BlockState = 'under-construction' | 'under-recovery' | 'committed' | 'complete'

/** Whether a datanode may be used, from silence and closed connections (design: three levels). */
export type DatanodeLiveness = 'live' | 'disconnected' | 'stale' | 'dead'

/** What an operator asked of a datanode. The wire numbers follow this order. */
export const adminStates = [
  'normal',
  'decommission-in-progress',
  'decommissioned',
  'entering-maintenance',
  'in-maintenance',
] as const
export type AdminState = (typeof adminStates)[number]

/** Safe mode: no mutation and no replication. */
export type SafeModeState = 'off' | 'pending-threshold' | 'manual'

/** Algorithm of the per-chunk checksums; the wire numbers follow this order. */
export const checksumTypes = ['null', 'crc32', 'crc32c'] as const
export type ChecksumType = (typeof checksumTypes)[number]
