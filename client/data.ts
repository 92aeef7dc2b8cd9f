import { DfsError } from '../protocol/errors.ts'
import { onAbort, unlessAborted } from './abort.ts'
import { type BlockLocation, toBlockLocation } from './block-location.ts'
import type { ClientContext } from './context.ts'
import { toFsError } from './errors.ts'
import { FileReader } from './file-reader.ts'
import type { FileWriter } from './file-writer.ts'
import { locate } from './located-file.ts'
import type { VerbOptions } from './namespace.ts'
import { openWriter } from './open-writer.ts'
import type { OpenForWriteOptions } from './output-stream.ts'
import { PlaceConsumer } from './place-consumer.ts'

/** What a file can be written from. */
export type FileContent =
  | string
  | Uint8Array
  | Iterable<string | Uint8Array>
  | AsyncIterable<string | Uint8Array>

/** Options of `readFile`. */
export interface ReadFileOptions extends VerbOptions {
  /** First byte, 0 by default. */
  readonly start?: number | undefined
  /** Last byte, inclusive; the end of the file by default. */
  readonly end?: number | undefined
}

/** Options of `writeFile` and `appendFile`. */
export interface WriteFileOptions extends OpenForWriteOptions {
  /** Encoding of strings, UTF-8 by default. */
  readonly encoding?: BufferEncoding | undefined
}

/** Bytes of a file in memory; meant for files that fit there. */
export async function readFile(
  context: ClientContext,
  path: string,
  { start = 0, end = Number.POSITIVE_INFINITY, signal }: ReadFileOptions = {},
): Promise<Buffer> {
  const reader = await FileReader.open(context, path, { signal })
  const stop = Math.min(reader.file.length, end + 1)
  const length = Math.max(0, stop - start)
  if (length > readFileBytesMax) {
    throw new DfsError(
      'LIMIT_EXCEEDED',
      `Cannot read ${length} bytes of "${path}" into memory: the limit is ${readFileBytesMax}, use a stream`,
      { path },
    )
  }
  const content = Buffer.allocUnsafeSlow(length)
  if (length > 0) {
    await reader.read({ start, end: stop, signal }, new PlaceConsumer(content, start))
  }
  return content
}

/** Largest Buffer that Node promises on every platform. */
const readFileBytesMax = 2 ** 31 - 1

/**
 * Writes a whole file, or with the flags for it at the end of one; when it returns, the file is complete and on disk on
 * every datanode of its pipelines.
 */
export async function writeFile(
  context: ClientContext,
  path: string,
  content: FileContent,
  options: WriteFileOptions = {},
): Promise<void> {
  const { signal, encoding = 'utf8' } = options
  const whole = wholeContent(content, encoding)
  const writer = await openWriter(context, path, {
    ...options,
    // Nobody else sees the bytes before this call returns, and then they are not needed any more.
    givesChunksAway: whole !== undefined || options.givesChunksAway === true,
  })
  const removeAbort = onAbort(signal, (error) => {
    giveUp(context, writer, error)
  })
  try {
    const writing =
      whole === undefined ? writeChunks(writer, content, encoding) : writeWhole(writer, whole)
    await unlessAborted(writing, signal, () => undefined)
  } catch (error) {
    giveUp(context, writer, toFsError(error, path))
    throw error
  } finally {
    removeAbort()
  }
}

/** Bytes of a file that may be read now: of one that is being written as far as its datanodes acknowledged. */
export async function readableLength(
  context: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
): Promise<number> {
  const reader = await FileReader.open(context, path, { signal, from: Number.MAX_SAFE_INTEGER })
  return reader.file.length
}

/** Where the bytes of a range of a file are. */
export async function blockLocations(
  context: ClientContext,
  path: string,
  { start = 0, end = Number.MAX_SAFE_INTEGER, signal }: ReadFileOptions = {},
): Promise<BlockLocation[]> {
  const length = Math.max(1, end - start + 1)
  const { blocks } = await locate(context, path, { offset: start, length, signal })
  return blocks.map(toBlockLocation)
}

async function writeWhole(writer: FileWriter, content: Uint8Array): Promise<void> {
  await writer.write(content)
  await writer.close()
}

async function writeChunks(
  writer: FileWriter,
  content: FileContent,
  encoding: BufferEncoding,
): Promise<void> {
  for await (const chunk of content as AsyncIterable<string | Uint8Array>) {
    await writer.write(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk)
  }
  await writer.close()
}

function wholeContent(content: FileContent, encoding: BufferEncoding): Uint8Array | undefined {
  if (typeof content === 'string') return Buffer.from(content, encoding)
  return content instanceof Uint8Array ? content : undefined
}

/** The caller has its error already; what cannot be given back now falls to the namenode's lease recovery. */
function giveUp({ logger }: ClientContext, writer: FileWriter, error: Error): void {
  writer.abort(error).catch((cause: unknown) => {
    logger.warn('abandoned-file-left-open', { path: writer.path, error: cause })
  })
}
