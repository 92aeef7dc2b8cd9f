import { DfsError, isDfsError } from '../protocol/errors.ts'
import type { ClientContext } from './context.ts'
import { hasCode } from './errors.ts'
import { find, type VerbOptions } from './namespace.ts'

/** Links followed on the way of one path (HDFS: FsConstants.MAX_PATH_LINKS). */
const linksMax = 32

/** Makes an absolute path of this cluster of what a link says. */
type Resolve = (path: string) => string

/** True for the namenode's answer, whose message is the path without that link; by whichever verb it comes. */
function isLinkOnTheWay(error: unknown): error is Error {
  return isDfsError(error, 'UNRESOLVED_LINK') || hasCode(error, 'UNRESOLVED_LINK')
}

/** Follows links one by one, as the namenode finds them on the way. */
export class LinkWalk {
  readonly #start: string
  readonly #resolve: Resolve
  #at: string
  #count = 0

  constructor(start: string, resolve: Resolve) {
    this.#start = this.#at = start
    this.#resolve = resolve
  }

  /** The path to ask for now. */
  get at(): string {
    return this.#at
  }

  /**
   * Goes on behind the link that `error` tells of.
   * @throws `error` when it is about something else; {@link DfsError} UNRESOLVED_LINK after 32 links
   */
  follow(error: unknown): void {
    if (!isLinkOnTheWay(error)) throw error
    if (this.#count >= linksMax) {
      throw new DfsError(
        'UNRESOLVED_LINK',
        `There are more than ${linksMax} symbolic links on the way to "${this.#start}"`,
        { path: this.#start },
      )
    }
    this.#count += 1
    this.#at = this.#resolve(error.message)
  }
}

/** Runs `action` on a path without links on the way, and none at its end where the call follows one. */
export async function followingLinks<T>(
  path: string,
  resolve: Resolve,
  action: (at: string) => Promise<T>,
): Promise<T> {
  const walk = new LinkWalk(path, resolve)
  for (;;) {
    try {
      return await action(walk.at)
    } catch (error) {
      walk.follow(error)
    }
  }
}

/**
 * Runs `action` on paths whose last components are meant themselves. Only when that meets a link on the way, the directories
 * of all of them are looked up.
 */
export async function followingParents<T>(
  context: ClientContext,
  paths: readonly string[],
  parts: { readonly resolve: Resolve; readonly options: VerbOptions | undefined },
  action: (paths: readonly string[]) => Promise<T>,
): Promise<T> {
  try {
    return await action(paths)
  } catch (error) {
    if (!isLinkOnTheWay(error)) throw error
  }
  const { resolve, options } = parts
  const real = await Promise.all(
    paths.map(async (path) => {
      const slash = path.lastIndexOf('/')
      const parent = await followingLinks(path.slice(0, slash) || '/', resolve, async (at) => {
        await find(context, at, options)
        return at
      })
      return `${parent === '/' ? '' : parent}${path.slice(slash)}`
    }),
  )
  return action(real)
}
