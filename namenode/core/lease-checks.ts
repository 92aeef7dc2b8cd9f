/** Checks that stand at the start of every operation of a lease holder (FSNamesystem.checkLease). */
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId, ClientName } from '../../protocol/ids.ts'
import type { BlockRow, InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import type { BlockReference } from './requests.ts'
import { writtenFile } from './resolve.ts'

/** How a lease holder names a file. */
export interface WriterAddress {
  readonly path: string
  readonly inodeId?: number | undefined
  readonly clientName: ClientName
}

/**
 * The open file that `request` may write.
 * @throws {@link DfsError} FILE_NOT_FOUND when it is gone; LEASE_EXPIRED when the caller may not write it.
 */
export function leasedFile(
  context: Context,
  request: Parameters<typeof writtenFile>[1] & WriterAddress,
): InodeRow {
  const file = writtenFile(context, request)
  if (file === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${leaseText(request)}`, {
      path: request.path,
    })
  }
  requireLease(file, request)
  return file
}

/** @throws {@link DfsError} LEASE_EXPIRED unless `request.clientName` holds the lease of `file`. */
export function requireLease(file: InodeRow, request: WriterAddress): void {
  if (file.kind !== 'file') {
    throw expired(`INode is not a regular file: ${leaseText(request)}`, request.path)
  }
  if (file.lease === undefined) {
    throw expired(`File is not open for writing: ${leaseText(request)}`, request.path)
  }
  if (file.lease.holder !== request.clientName) {
    throw expired(
      `Client (=${request.clientName}) is not the lease owner (=${file.lease.holder}: ${leaseText(request)}`,
      request.path,
    )
  }
}

function expired(message: string, path: string): DfsError {
  return new DfsError('LEASE_EXPIRED', message, { path })
}

function leaseText({ path, inodeId, clientName }: WriterAddress): string {
  return `${path} (inode ${inodeId ?? 0}) Holder ${clientName} does not have the file open`
}

/** True when both are absent, or name the same block with the same stamp. */
export function isSameBlock(
  row: BlockRow | undefined,
  named: Pick<BlockReference, 'id' | 'generationStamp'> | undefined,
): boolean {
  return row?.id === named?.id && row?.generationStamp === named?.generationStamp
}

/**
 * The block that a writer is about to repair its pipeline for, with its file (FSNamesystem.checkUCBlock).
 * @throws {@link DfsError} IO_ERROR unless it exists and is under construction; LEASE_EXPIRED for another client.
 */
export function blockUnderConstruction(
  context: Context,
  id: BlockId,
  clientName: ClientName,
): { readonly block: BlockRow; readonly file: InodeRow } {
  const found = context.rows.block(id)
  if (found === undefined) throw new DfsError('IO_ERROR', `Block ${id} does not exist`)
  const { block, file } = found
  if (block.state !== 'under-construction') {
    throw new DfsError(
      'IO_ERROR',
      `Unexpected state of block ${id}: it is ${block.state} and must be under-construction`,
    )
  }
  if (file.lease === undefined || context.rows.ancestors(file) === undefined) {
    throw new DfsError(
      'IO_ERROR',
      `The file of block ${id} does not exist or is not under construction`,
    )
  }
  if (file.lease.holder !== clientName) {
    throw new DfsError(
      'LEASE_EXPIRED',
      `Lease mismatch: block ${id} is accessed by a non lease holder ${clientName}`,
    )
  }
  return found
}
