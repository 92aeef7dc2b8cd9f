import { DfsError, type ErrorCode } from '../protocol/errors.ts'
import type { BlockOpResponse } from '../protocol/messages/data-transfer.ts'
import { addressName, type DatanodeAddress } from './datanode-connection.ts'

/** The error that a refusing answer stands for; data transfer has no exception classes, only a status and a text. */
export function responseError(
  { status, message, firstBadLink }: BlockOpResponse,
  address: DatanodeAddress,
  verb: 'read' | 'write' | 'copy' | 'checksum',
): DfsError {
  const datanode =
    firstBadLink === undefined || firstBadLink === '' ? addressName(address) : firstBadLink
  const text = message === undefined || message === '' ? '' : `: ${message}`
  return new DfsError(
    codeOf(status, message ?? ''),
    `Datanode ${datanode} refused to ${verb} a block with ${status}${text}`,
    { datanode },
  )
}

function codeOf(status: BlockOpResponse['status'], message: string): ErrorCode {
  if (/ReplicaNotFound|Replica not found|Replica gen stamp/i.test(message))
    return 'REPLICA_NOT_FOUND'
  if (/exceeds the limit of concurrent|xceiver/i.test(message)) return 'BUSY'
  if (status === 'ERROR_CHECKSUM') return 'CHECKSUM_MISMATCH'
  if (status === 'ERROR_ACCESS_TOKEN') return 'REPLICA_NOT_FOUND'
  return 'IO_ERROR'
}
