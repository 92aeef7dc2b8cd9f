/** A backup directory: its manifest, and files that are written whole, durably and verified. */
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createXxh64 } from '../../base/checksum.ts'
import {
  type BackupFile,
  type BackupManifest,
  decodeManifest,
  encodeManifest,
  manifestName,
} from '../../namenode/format/backup-manifest.ts'
import { DfsError } from '../../protocol/errors.ts'

const pieceBytes = 4 * 1024 * 1024

/** The manifest, or `undefined` when the directory has none. */
export async function readManifest(directory: string): Promise<BackupManifest | undefined> {
  const path = join(directory, manifestName)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  return text === undefined ? undefined : decodeManifest(text, path)
}

/** Makes the directory when it is missing, and refuses one that holds something else. */
export async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const foreign = (await readdir(directory)).find((name) => !isBackupFile(name))
  if (foreign === undefined) return
  throw new DfsError(
    'INVALID_ARGUMENT',
    `"${directory}" holds "${foreign}", which is no part of a backup; give an empty directory or one ` +
      'that an earlier backup made',
    { path: directory },
  )
}

function isBackupFile(name: string): boolean {
  return (
    name.startsWith(manifestName) || /^(base-\d{16}\.sqlite|journal-\d{16})(\.part)?$/.test(name)
  )
}

/** Replaces the manifest; from then on it is the one that counts, whatever happens. */
export async function writeManifest(directory: string, manifest: BackupManifest): Promise<void> {
  const part = join(directory, `${manifestName}.part`)
  const file = await open(part, 'w', 0o600)
  try {
    await file.writeFile(encodeManifest(manifest))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(part, join(directory, manifestName))
  await syncDirectory(directory)
}

/** Deletes what no manifest names. */
export async function removeLeftovers(directory: string, manifest: BackupManifest): Promise<void> {
  const named = new Set([...manifest.bases, ...manifest.segments].map(({ file }) => file))
  for (const name of await readdir(directory)) {
    if (name !== manifestName && !named.has(name)) await rm(join(directory, name), { force: true })
  }
}

/** Where the bytes of a file come from: fewer than asked for at its end. */
export type ReadPiece = (offset: number, length: number) => Promise<Uint8Array>

/**
 * Writes `name` from `read`, `bytes` in all; it is there, whole and durable, or not at all.
 * @throws {@link DfsError} IO_ERROR when the source ends early.
 */
export async function writeFileWhole(
  directory: string,
  { name, bytes }: { readonly name: string; readonly bytes: number },
  read: ReadPiece,
): Promise<BackupFile> {
  const part = join(directory, `${name}.part`)
  const digest = createXxh64()
  const file = await open(part, 'w', 0o600)
  try {
    for (let offset = 0; offset < bytes; ) {
      const piece = await read(offset, Math.min(pieceBytes, bytes - offset))
      if (piece.length === 0) {
        throw new DfsError(
          'IO_ERROR',
          `"${name}" ended at ${offset}, ${bytes} bytes were announced`,
        )
      }
      digest.update(piece)
      await file.write(piece, 0, piece.length)
      offset += piece.length
    }
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(part, join(directory, name))
  await syncDirectory(directory)
  return { file: name, bytes, xxh64: hex(digest.digest()) }
}

/**
 * Reads a file of the backup to its end and compares it with the manifest.
 * @throws {@link DfsError} CORRUPTION naming file, expected and found.
 */
export async function verifyFile(directory: string, expected: BackupFile): Promise<void> {
  const path = join(directory, expected.file)
  const found = await digestOf(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  if (found === undefined) throw damaged(path, 'it is missing')
  if (found.bytes !== expected.bytes) {
    throw damaged(path, `expected ${expected.bytes} bytes, found ${found.bytes}`)
  }
  if (found.xxh64 !== expected.xxh64) {
    throw damaged(path, `expected XXH64 ${expected.xxh64}, found ${found.xxh64}`)
  }
}

function damaged(path: string, what: string): DfsError {
  return new DfsError('CORRUPTION', `File "${path}" of the backup is damaged: ${what}`, { path })
}

async function digestOf(path: string): Promise<{ bytes: number; xxh64: string }> {
  const { size } = await stat(path)
  const file = await open(path, 'r')
  try {
    const digest = createXxh64()
    for (let offset = 0; offset < size; ) {
      const piece = await readPiece(file, offset, pieceBytes)
      if (piece.length === 0) break
      digest.update(piece)
      offset += piece.length
    }
    return { bytes: size, xxh64: hex(digest.digest()) }
  } finally {
    await file.close()
  }
}

/** Up to `length` bytes at `offset`. */
export async function readPiece(
  file: FileHandle,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset)
  return buffer.subarray(0, bytesRead)
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function hex(digest: bigint): string {
  return digest.toString(16).padStart(16, '0')
}
