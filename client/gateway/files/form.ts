import { once } from 'node:events'
import { extname } from 'node:path'
import type { Readable } from 'node:stream'
import busboy from 'busboy'
import type express from 'express'
import { type DfsClient, DfsFsError } from '../../index.ts'
import { answerTo, HttpError } from '../http-error.ts'
import { single } from './listing.ts'
import { whyNoName } from './request-path.ts'
import { store } from './store.ts'

/** What becomes of a file whose name is taken: `?duplicates=`. */
type DuplicatePolicy = 'refuse' | 'replace' | 'rename'

/** What became of one file of a form. */
interface UploadResult {
  /** As the form says it. */
  readonly name: string
  readonly path?: string
  readonly bytes?: number
  readonly error?: { readonly code: string; readonly message: string }
}

/** Parts of a form, files and fields together. */
const partsMax = 10_000
/** Files of one form that are written at a time. */
const concurrentMax = 8
/** How many names beside the wanted one are tried. */
const renamesMax = 1000

/**
 * Answers POST of a form: stores each of its files by itself and says what became of each, 201 when all are stored, 207
 * when some are not. A form that breaks off gets 400, one with too many parts 413, both with the results so far: a file
 * is stored if its part was complete, and not at all if not.
 */
export async function postForm(
  client: DfsClient,
  directory: string,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const policy = policyOf(single(request.query['duplicates'], 'duplicates') ?? 'refuse')
  const form = openForm(request)
  const upload = new FormUpload(client, directory, policy)
  const count = { parts: 0 }
  form.on('field', () => {
    count.parts += 1
  })
  form.on('file', (_field, part, { filename }) => {
    count.parts += 1
    if (count.parts > partsMax) part.resume()
    else upload.take(filename, part)
  })
  form.on('partsLimit', () => {
    count.parts = partsMax + 1
  })
  const broken = await feed(request, form, upload)
  const files = await upload.results()
  if (broken !== undefined) {
    const message = `The form breaks off: ${broken.message}`
    response.status(400).json({ error: { code: 'INVALID_ARGUMENT', message }, files })
  } else if (count.parts > partsMax) {
    const message = `A form has at most ${partsMax} parts; what came after them is not stored`
    response.status(413).json({ error: { code: 'LIMIT_EXCEEDED', message }, files })
  } else {
    const isComplete = files.every(({ error }) => error === undefined)
    response.status(isComplete ? 201 : 207).json({ files })
  }
}

function policyOf(text: string): DuplicatePolicy {
  if (text === 'refuse' || text === 'replace' || text === 'rename') return text
  throw new HttpError(
    400,
    'INVALID_ARGUMENT',
    `Cannot use duplicates=${text}: need refuse, replace or rename`,
  )
}

function openForm(request: express.Request): busboy.Busboy {
  try {
    // The parser counts the end of the form as a part.
    const limits = { parts: partsMax + 1, fieldSize: 65_536, headerPairs: 100 }
    return busboy({ headers: request.headers, defParamCharset: 'utf8', limits })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HttpError(400, 'INVALID_ARGUMENT', `Cannot read the form: ${reason}`)
  }
}

/** Hands the body to the parser as fast as files are stored; returns why it broke off, if it did. */
async function feed(
  request: Readable,
  form: busboy.Busboy,
  upload: FormUpload,
): Promise<Error | undefined> {
  const closed = new Promise<Error | undefined>((resolve) => {
    form.once('error', (error) => {
      resolve(error instanceof Error ? error : new Error(String(error)))
    })
    form.once('close', () => {
      resolve(undefined)
    })
  })
  try {
    for await (const chunk of request) {
      await upload.hasRoom()
      if (form.destroyed) break
      if (!form.write(chunk)) await Promise.race([once(form, 'drain'), closed])
    }
    form.end()
  } catch (error) {
    form.destroy(error instanceof Error ? error : new Error(String(error)))
  }
  return closed
}

/** The files of one form: some are written, the others wait, all in the order of the form. */
class FormUpload {
  readonly #client: DfsClient
  readonly #directory: string
  readonly #policy: DuplicatePolicy
  readonly #results: Promise<UploadResult>[] = []
  readonly #active = new Set<Promise<UploadResult>>()
  readonly #waiting: (() => void)[] = []
  #runningCount = 0

  constructor(client: DfsClient, directory: string, policy: DuplicatePolicy) {
    this.#client = client
    this.#directory = directory
    this.#policy = policy
  }

  take(name: string | undefined, part: Readable): void {
    // A part that breaks off while it waits for its turn must not end the process.
    part.on('error', () => undefined)
    const result = this.#inTurn(name ?? '', part)
    this.#results.push(result)
    this.#active.add(result)
    void result.finally(() => this.#active.delete(result))
  }

  /** Resolves when another piece of the body may be read. All active files but the last have all their bytes. */
  async hasRoom(): Promise<void> {
    while (this.#active.size >= concurrentMax) await Promise.race(this.#active)
  }

  results(): Promise<UploadResult[]> {
    return Promise.all(this.#results)
  }

  async #inTurn(name: string, part: Readable): Promise<UploadResult> {
    if (this.#runningCount === concurrentMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#runningCount += 1
    try {
      return await this.#store(name, part)
    } catch (error) {
      part.resume()
      const { code, message } = answerTo(error)
      return { name, error: { code, message } }
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#runningCount -= 1
      else next()
    }
  }

  async #store(name: string, part: Readable): Promise<UploadResult> {
    const clean = sanitized(name)
    const base = this.#directory === '/' ? '' : this.#directory
    const reason = whyNoName(clean)
    if (reason !== undefined) {
      throw new HttpError(400, 'INVALID_PATH', `Cannot store a file named "${clean}": ${reason}`)
    }
    if (part.errored) throw part.errored
    let path = `${base}/${clean}`
    if (this.#policy === 'refuse' && (await this.#client.exists(path))) {
      throw new HttpError(409, 'FILE_EXISTS', `"${path}" exists already`)
    }
    const bytes = await store(this.#client, path, part, {
      place: async (temporary) => {
        path = await this.#place(temporary, base, clean)
      },
    })
    return { name, path, bytes }
  }

  async #place(temporary: string, base: string, name: string): Promise<string> {
    const overwrite = this.#policy === 'replace'
    for (let count = 0; ; count += 1) {
      const path = `${base}/${count === 0 ? name : numbered(name, count)}`
      try {
        await this.#client.rename(temporary, path, { overwrite })
        return path
      } catch (error) {
        const isTaken = error instanceof DfsFsError && error.dfsCode === 'FILE_EXISTS'
        if (!isTaken || this.#policy !== 'rename' || count === renamesMax) throw error
      }
    }
  }
}

/** What senders put around a name is dropped: directories of theirs (the parser does), control characters, spaces. */
function sanitized(name: string): string {
  return name
    .normalize('NFC')
    .replace(/\p{Cc}/gu, '')
    .trim()
}

/** `report.pdf` becomes `report (1).pdf`. */
function numbered(name: string, count: number): string {
  const extension = extname(name)
  const stem = name.slice(0, name.length - extension.length)
  return `${stem} (${count})${extension}`
}
