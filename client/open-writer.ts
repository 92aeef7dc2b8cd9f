import { DfsError, isDfsError } from '../protocol/errors.ts'
import type { ClientContext } from './context.ts'
import { FileWriter } from './file-writer.ts'
import type { OpenForWriteOptions, WriteFlags } from './output-stream.ts'

const writeFlags: readonly string[] = ['w', 'wx', 'a', 'ax'] satisfies readonly WriteFlags[]

/** Narrows what a caller of `open` gave. */
export function isWriteFlags(flags: string): flags is WriteFlags {
  return writeFlags.includes(flags)
}

/**
 * Opens a file for writing as `options.flags` say, `w` by default.
 *
 * @throws {@link DfsError} FILE_EXISTS with `wx` and `ax`, INVALID_ARGUMENT for other flags, and as the namenode refuses
 */
export async function openWriter(
  context: ClientContext,
  path: string,
  options: OpenForWriteOptions = {},
): Promise<FileWriter> {
  const { flags = 'w' } = options
  switch (flags) {
    case 'w':
      return FileWriter.create(context, path, options)
    case 'wx':
    case 'ax':
      return FileWriter.create(context, path, { ...options, overwrite: false })
    case 'a':
      return appendOrCreate(context, path, options)
    default:
      throw new DfsError(
        'INVALID_ARGUMENT',
        `Cannot write with flags "${String(flags)}": need ${writeFlags.join(', ')}`,
        { path },
      )
  }
}

/** Another client may create or delete the file between our two calls: then the first is tried once more. */
async function appendOrCreate(
  context: ClientContext,
  path: string,
  options: OpenForWriteOptions,
): Promise<FileWriter> {
  try {
    return await FileWriter.append(context, path, options)
  } catch (error) {
    if (!isDfsError(error, 'FILE_NOT_FOUND')) throw error
  }
  try {
    return await FileWriter.create(context, path, { ...options, overwrite: false })
  } catch (error) {
    if (!isDfsError(error, 'FILE_EXISTS')) throw error
    return await FileWriter.append(context, path, options)
  }
}
