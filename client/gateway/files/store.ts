import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { DfsClient } from '../../index.ts'
import { temporaryName } from '../temporary-name.ts'
import { DigestCheck, type ExpectedDigest } from './digest.ts'

/** How a body becomes a file. */
export interface StoreOptions {
  /** Checksums the body must have. */
  readonly digests?: readonly ExpectedDigest[]
  /** Puts the complete file in its place; by default over an existing one. */
  readonly place?: (temporary: string) => Promise<void>
}

/**
 * Stores a stream under a temporary name beside `path` and renames it when it is complete and verified: no half file ever
 * has the final name. When the stream fails, because its sender is gone for instance, file and lease are given up.
 *
 * @returns the bytes stored
 */
export async function store(
  client: DfsClient,
  path: string,
  source: Readable,
  { digests = [], place }: StoreOptions = {},
): Promise<number> {
  const directory = dirname(path)
  await client.mkdir(directory, { recursive: true })
  const temporary = `${directory === '/' ? '' : directory}/${temporaryName('.uploading-')}`
  const check = new DigestCheck(digests)
  const target = client.createWriteStream(temporary, { flags: 'wx' })
  let bytes = 0
  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    check.update(chunk)
  })
  try {
    await pipeline(source, target)
    check.verify()
    await (place?.(temporary) ?? client.rename(temporary, path, { overwrite: true }))
    return bytes
  } catch (error) {
    await client.rm(temporary, { force: true })
    throw error
  }
}
