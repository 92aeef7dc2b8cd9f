/**
 * The checking process of a chaos run, on a machine of its own: answers questions of its parent about the cluster and
 * compares files with what was promised of them.
 */
import { DfsClient, DfsFsError } from '../../../client/index.ts'
import { type CheckedFile, type Finding, type FoundFile, judge, mayLackItsEnd } from './verdict.ts'

export type Question =
  | { readonly kind: 'live' }
  | { readonly kind: 'health' }
  | { readonly kind: 'check' | 'close'; readonly files: readonly CheckedFile[] }

export interface Health {
  readonly lowRedundancy: number
  readonly corrupt: number
  readonly missing: number
  readonly pendingDeletion: number
}

const readsAtOnce = 8
/** A file whose writer is gone is closed within this time on a cluster that is whole. */
const closeMsMax = 60_000

const client = new DfsClient({
  uri: process.argv[2] ?? '',
  retry: { totalMs: 20_000 },
  settings: { 'dfs.client.socket-timeout': 5_000 },
})

function isMissing(error: unknown): boolean {
  return error instanceof DfsFsError && error.code === 'ENOENT'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Content of the file under each of its names; of one whose end may be nowhere, what must be there. */
async function find(file: CheckedFile): Promise<FoundFile[]> {
  const found: FoundFile[] = []
  for (const path of file.paths) {
    try {
      found.push({ path, content: await client.readFile(path).catch(() => mustRead(file, path)) })
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return found
}

async function mustRead(file: CheckedFile, path: string): Promise<Buffer> {
  if (!mayLackItsEnd(file)) return client.readFile(path)
  return client.readFile(path, { end: file.syncedLength - 1 })
}

async function check(file: CheckedFile): Promise<Finding | undefined> {
  try {
    return judge(file, await find(file))
  } catch (error) {
    return { kind: 'unreadable', path: file.paths.join(' or '), detail: messageOf(error) }
  }
}

/** Has files closed whose writers are gone; a finding for each that stays open and need not. */
async function closeFile(file: CheckedFile): Promise<Finding | undefined> {
  for (const path of file.paths) {
    const signal = AbortSignal.timeout(closeMsMax)
    try {
      await client.recoverLease(path, { wait: true, signal })
    } catch (error) {
      if (isMissing(error) || mayLackItsEnd(file)) continue
      return { kind: 'open', path, detail: messageOf(error) }
    }
  }
  return undefined
}

async function forAll(
  files: readonly CheckedFile[],
  look: (file: CheckedFile) => Promise<Finding | undefined>,
): Promise<Finding[]> {
  const findings: Finding[] = []
  const queue = files.values()
  const lane = async (): Promise<void> => {
    for (const file of queue) {
      const finding = await look(file)
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
      return await forAll(question.files, check)
    case 'close':
      return await forAll(question.files, closeFile)
  }
}

process.on('disconnect', () => process.exit(1))
process.on('message', ({ id, question }: { id: number; question: Question }) => {
  answer(question).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})
