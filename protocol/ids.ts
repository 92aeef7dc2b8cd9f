/**
 * Identifiers that cross process borders, each a brand with one checked constructor.
 *
 * 64-bit quantities are numbers asserted safe (below 2^53): ids and stamps are allocated by our
 * namenode sequentially, so they stay far below. See docs/decisions/0003-safe-integers.md.
 */
import type { Brand } from '../base/brand.ts'
import { DfsError } from './errors.ts'

/** Identity of a file or directory; survives rename. */
export type InodeId = Brand<number, 'InodeId'>
/** Identity of a block, the namenode's unit of file data. */
export type BlockId = Brand<number, 'BlockId'>
/** Version of a block's replicas; only grows. */
export type GenerationStamp = Brand<number, 'GenerationStamp'>
/** Position of a transaction in the journal; gapless, the first is 1. */
export type TxId = Brand<number, 'TxId'>
/** Stable identity of a datanode, a UUID kept in its data directories. */
export type DatanodeUuid = Brand<string, 'DatanodeUuid'>
/** Stable identity of one data directory of a datanode, `DS-` and a UUID. */
export type StorageUuid = Brand<string, 'StorageUuid'>
/** The name under which a client holds leases. */
export type ClientName = Brand<string, 'ClientName'>

function checked(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `${what} must be an integer from 0 to 2^53-1, got ${value}`,
    )
  }
  return value
}

export function inodeId(value: number): InodeId {
  return checked(value, 'Inode id') as InodeId
}

export function blockId(value: number): BlockId {
  return checked(value, 'Block id') as BlockId
}

export function generationStamp(value: number): GenerationStamp {
  return checked(value, 'Generation stamp') as GenerationStamp
}

export function txId(value: number): TxId {
  return checked(value, 'Transaction id') as TxId
}

export function datanodeUuid(value: string): DatanodeUuid {
  return value as DatanodeUuid
}

export function storageUuid(value: string): StorageUuid {
  return value as StorageUuid
}

export function clientName(value: string): ClientName {
  return value as ClientName
}

/** First values of a new namespace, as HDFS chooses them. */
export const rootInodeId = 16385 as InodeId
/** Hidden directory that holds deleted trees until they are reaped; never listed, never resolved. */
export const orphanageInodeId = 16384 as InodeId
export const firstBlockId = 1073741825 as BlockId
export const firstGenerationStamp = 1001 as GenerationStamp
