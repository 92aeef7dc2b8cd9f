/**
 * The checking process of a chaos run, on a machine of its own: answers questions of its parent about the cluster and
 * compares files with what was promised of them.
 */
import { DfsClient, DfsFsError } from '../../../client/index.ts'
import { firstDifference } from './content.ts'
import type { FilePromise } from './ledger.ts'

export type Question =
  | { readonly kind: 'live' }
  | { readonly kind: 'health' }
  | { readonly kind: 'check'; readonly files: readonly CheckedFile[] }

/** A promise, and whether bytes that were only flushed are part of it. */
export interface CheckedFile extends FilePromise {
  readonly isFlushHeld: boolean
}

/** What is wrong with a file. */
export interface Finding {
  readonly kind: 'lost' | 'corrupt' | 'unreadable'
  readonly path: string
  readonly detail: string
}

export interface Health {
  readonly lowRedundancy: number
  readonly corrupt: number
  readonly missing: number
  readonly pendingDeletion: number
}

const readsAtOnce = 8

const client = new DfsClient({
  uri: process.argv[2] ?? '',
  retry: { totalMs: 20_000 },
  settings: { 'dfs.client.socket-timeout': 5_000 },
})

function isMissing(error: unknown): boolean {
  return error instanceof DfsFsError && error.code === 'ENOENT'
}

/** Content of the file under the first of its names; undefined when there is none. */
async function find(paths: readonly string[]): Promise<{ path: string; content: Buffer }[]> {
  const found: { path: string; content: Buffer }[] = []
  for (const path of paths) {
    try {
      found.push({ path, content: await client.readFile(path) })
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return found
}

async function check(file: CheckedFile): Promise<Finding | undefined> {
  const path = file.paths.join(' or ')
  let found: { path: string; content: Buffer }[]
  try {
    found = await find(file.paths)
  } catch (error) {
    return {
      kind: 'unreadable',
      path,
      detail: error instanceof Error ? error.message : String(error),
    }
  }
  const [first, second] = found
  if (first === undefined) {
    if (!file.isPresent) return undefined
    return { kind: 'lost', path, detail: 'the file is not there' }
  }
  if (file.isAbsent) return { kind: 'corrupt', path, detail: 'it was deleted and is there again' }
  if (second !== undefined) return { kind: 'corrupt', path, detail: 'it is there under both names' }
  return compare(file, first)
}

function compare(
  file: CheckedFile,
  { path, content }: { readonly path: string; readonly content: Buffer },
): Finding | undefined {
  const lengthMin = file.isFlushHeld
    ? Math.max(file.syncedLength, file.flushedLength)
    : file.syncedLength
  const where = `${content.length} bytes of [${lengthMin}, ${file.lengthMax}]`
  const difference = firstDifference(file.seed, 0, content)
  if (difference !== undefined)
    return { kind: 'corrupt', path, detail: `${where}: wrong from byte ${difference}` }
  if (content.length < lengthMin) return { kind: 'lost', path, detail: where }
  if (content.length > file.lengthMax) return { kind: 'corrupt', path, detail: where }
  return undefined
}

async function checkAll(files: readonly CheckedFile[]): Promise<Finding[]> {
  const findings: Finding[] = []
  const queue = files.values()
  const lane = async (): Promise<void> => {
    for (const file of queue) {
      const finding = await check(file)
      if (finding !== undefined) findings.push(finding)
    }
  }
  await Promise.all(Array.from({ length: readsAtOnce }, lane))
  return findings
}

async function answer(question: Question): Promise<unknown> {
  switch (question.kind) {
    case 'live':
      return (await client.datanodes('live')).length
    case 'health': {
      const { lowRedundancy, corrupt, missing, pendingDeletion } = await client.blockStats()
      return { lowRedundancy, corrupt, missing, pendingDeletion } satisfies Health
    }
    case 'check':
      return await checkAll(question.files)
  }
}

process.on('disconnect', () => process.exit(1))
process.on('message', ({ id, question }: { id: number; question: Question }) => {
  answer(question).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})
