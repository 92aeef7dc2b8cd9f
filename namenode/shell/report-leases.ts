import { type Millis, millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { DatanodeUuid } from '../../protocol/ids.ts'

/** Datanodes that may send full reports at the same time (dfs.namenode.max.full.block.report.leases). */
const leasesMax = 6
/** Time to send it (dfs.namenode.full.block.report.lease.length.ms). */
const leaseMs = 300_000

interface ReportLease {
  readonly id: bigint
  readonly until: Millis
}

/**
 * Permission to send a full block report, so that a restart of a large cluster does not bring all of
 * them at once. A report without a lease (id 0) is taken, too.
 */
export class ReportLeases {
  readonly #leases = new Map<DatanodeUuid, ReportLease>()
  #nextId: bigint

  /** @param wall makes ids differ from those before a restart */
  constructor(wall: Millis) {
    this.#nextId = BigInt(wall) << 16n
  }

  /** A lease for `datanode`, or 0 when too many are given out. */
  grant(now: Millis, datanode: DatanodeUuid): bigint {
    for (const [other, { until }] of this.#leases) {
      if (until <= now || other === datanode) this.#leases.delete(other)
    }
    if (this.#leases.size >= leasesMax) return 0n
    this.#nextId += 1n
    this.#leases.set(datanode, { id: this.#nextId, until: millis(now + leaseMs) })
    return this.#nextId
  }

  /** @throws {@link DfsError} IO_ERROR (InvalidBlockReportLeaseException) for a lease that is over. */
  check(now: Millis, datanode: DatanodeUuid, id: bigint): void {
    if (id === 0n) return
    const lease = this.#leases.get(datanode)
    if (lease?.id === id && lease.until > now) return
    throw new DfsError(
      'IO_ERROR',
      `Full block report lease ${id.toString(16)} of datanode ${datanode} is not valid any more`,
      {
        datanode,
        javaClass: 'org.apache.hadoop.hdfs.server.protocol.InvalidBlockReportLeaseException',
      },
    )
  }

  /** The report is complete. */
  release(datanode: DatanodeUuid, id: bigint): void {
    if (this.#leases.get(datanode)?.id === id) this.#leases.delete(datanode)
  }

  /** The datanode starts over. */
  forget(datanode: DatanodeUuid): void {
    this.#leases.delete(datanode)
  }
}
