/**
 * The `flag` of a pipeline acknowledgement, one number per datanode (HDFS: PipelineAck.combineHeader).
 *
 *     bits  field
 *      0-3  status, as in `reply`
 *        4  reserved
 *      5-6  congestion: 0 disabled
 *      7-8  speed: 0 says nothing, 1 normal, 2 slow
 */
import { type PipelineAck, type Status, statusEnum } from './messages/data-transfer.ts'

const statusMask = 15
const speedShift = 7
const speedMask = 3
const speeds = { normal: 1, slow: 2 } as const

/** The flag of a datanode with `status`. */
export function ackFlag(status: Status, isSlow: boolean): number {
  const speed = isSlow ? speeds.slow : speeds.normal
  return statusEnum.numberByName[status] | (speed << speedShift)
}

/** What an acknowledgement says of each datanode; the flags count where there are any, as for HDFS's clients. */
export function ackStatuses(ack: PipelineAck): readonly Status[] {
  if (ack.flag.length === 0) return ack.reply
  return ack.flag.map((flag) => statusEnum.nameOf(flag & statusMask) ?? 'ERROR')
}

/** Which datanodes an acknowledgement calls slow; empty when it says nothing of speed. */
export function ackSlowness(ack: PipelineAck): readonly boolean[] {
  return ack.flag.map((flag) => ((flag >>> speedShift) & speedMask) === speeds.slow)
}
