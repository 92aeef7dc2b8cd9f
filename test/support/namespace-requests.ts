/** Requests, and questions about a namespace, as its tests write them. */
import t, { type Test } from 'tap'
import type {
  BlockReference,
  Caller,
  FileStatusView,
  Request,
} from '../../namenode/core/requests.ts'
import { DfsError, type ErrorCode } from '../../protocol/errors.ts'
import { clientName, type InodeId } from '../../protocol/ids.ts'
import { NamespaceWorld, replayed, superuser, user } from './namespace-world.ts'

export const mebibyte = 1024 * 1024
export const writer = clientName('client-1')
export const other = clientName('client-2')
export const alice = user('alice', 'staff')
export const bob = user('bob', 'students')

export function mkdirs(
  path: string,
  mode = 0o755,
  createParent = true,
): Request & { kind: 'mkdirs' } {
  return { kind: 'mkdirs', path, mode, createParent }
}

export function create(
  path: string,
  options: Partial<Request & { kind: 'create' }> = {},
): Request & { kind: 'create' } {
  return {
    kind: 'create',
    path,
    mode: 0o644,
    clientName: writer,
    overwrite: false,
    createIfMissing: true,
    createParent: true,
    replication: 3,
    blockSize: 128 * mebibyte,
    ...options,
  }
}

export function addBlock(path: string, previous?: BlockReference): Request & { kind: 'addBlock' } {
  return {
    kind: 'addBlock',
    path,
    clientName: writer,
    previous,
    excluded: [],
    favored: [],
    isLastTry: false,
  }
}

export function complete(path: string, last?: BlockReference): Request & { kind: 'complete' } {
  return { kind: 'complete', path, clientName: writer, last, isLastTry: false }
}

/** Writes a whole file of blocks with these lengths. */
export function write(
  world: NamespaceWorld,
  path: string,
  lengths: readonly number[],
  caller?: Caller,
): { id: InodeId; last: BlockReference | undefined } {
  const { inode } = world.run(create(path), caller)
  let previous: BlockReference | undefined
  for (const length of lengths) {
    const { block } = world.run(addBlock(path, previous), caller)
    previous = { ...block, length }
  }
  world.run(complete(path, previous), caller)
  return { id: inode.id, last: previous }
}

export function stat(
  world: NamespaceWorld,
  path: string,
  caller: Caller = superuser,
): FileStatusView | undefined {
  return world.run({ kind: 'getFileInfo', path }, caller)
}

/** Names on one page of a listing, and how many follow it. */
export function names(
  world: NamespaceWorld,
  path: string,
  startAfter = '',
  limit = 1000,
): (string | number)[] | undefined {
  const request = { kind: 'getListing', path, startAfter, needLocation: false, limit } as const
  const listing = world.run(request)
  return listing && [...listing.entries.map(({ name }) => name), listing.remainingEntries]
}

/** Asserts that `action` is refused with `code`, and that the message matches. */
export function refused(t: Test, code: ErrorCode, message: RegExp, action: () => unknown): void {
  try {
    action()
  } catch (error) {
    t.ok(error instanceof DfsError, String(error))
    if (!(error instanceof DfsError)) return
    t.equal(error.code, code, error.message)
    t.match(error.message, message)
    return
  }
  t.fail(`expected ${code} ${String(message)}`)
}

/** Declares a test that runs with all rows resident, and with none at the start of each request; then replays. */
export function eachWay(name: string, test: (t: Test, world: NamespaceWorld) => void): void {
  for (const isForgetful of [false, true]) {
    t.test(`${name} (${isForgetful ? 'nothing' : 'everything'} resident)`, async (t) => {
      const world = new NamespaceWorld({ isForgetful })
      test(t, world)
      world.namesystem.invariants()
      const again = replayed(new NamespaceWorld().emptyNamesystem(), world.journal)
      again.invariants()
      const { totals, openFiles } = world.namesystem.status()
      t.match(again.status(), { totals, openFiles }, 'a replay ends in the same state')
      t.strictSame(
        [...again.leases()].map(({ holder, files }) => [holder, [...files].sort()]).sort(),
        [...world.namesystem.leases()]
          .map(({ holder, files }) => [holder, [...files].sort()])
          .sort(),
      )
      t.strictSame(again.nextIds(), world.namesystem.nextIds())
    })
  }
}
