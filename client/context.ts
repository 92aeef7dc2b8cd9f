import type { Clock, Timers } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { FsServerDefaults } from '../protocol/messages/hdfs.ts'
import type { Settings } from '../protocol/settings.ts'
import type { RpcClient } from '../transport/rpc-client.ts'
import type { Suspects } from './core/read-plan.ts'
import type { DatanodeAddress, DatanodeConnectionPool } from './datanode-connection.ts'
import type { ReportEvent } from './events.ts'
import type { LeaseRenewer } from './lease-renewer.ts'
import type { NamenodeProxy } from './namenode-proxy.ts'

/** What the parts of one client share. */
export interface ClientContext {
  /** Name under which this client holds leases. */
  readonly clientName: string
  readonly user: string
  readonly settings: Settings
  readonly namenode: NamenodeProxy
  readonly datanodes: DatanodeConnectionPool
  readonly suspects: Suspects
  readonly leases: LeaseRenewer
  readonly clock: Clock
  readonly timers: Timers
  readonly logger: Logger
  readonly report: ReportEvent
  /** What the namenode proposes for new files; asked once an hour at most. */
  serverDefaults(signal?: AbortSignal): Promise<FsServerDefaults>
  /** A new RPC connection to a datanode; the caller closes it. */
  connectDatanodeRpc(address: DatanodeAddress): RpcClient
}
