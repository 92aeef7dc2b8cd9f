import type { IncomingMessage } from 'node:http'
import type { DfsClient } from '../index.ts'
import type { Clients } from './clients.ts'
import { HttpError } from './http-error.ts'

/** What a caller wants to do with a path. */
export type Right = 'read' | 'write'

/** Who sent a request, and what the request may touch. Every face asks before it calls the SDK. */
export interface Caller {
  readonly user: string
  /** Acts as {@link user}. */
  readonly client: DfsClient
  /** Whether the caller's token covers an absolute, normalized path; the namenode checks permissions beside that. */
  allows(path: string, right: Right): boolean
  /** @throws {@link HttpError} 403 unless {@link allows} */
  require(path: string, right: Right): void
}

/** Users' names as HDFS allows them in `user.name`. */
const userPattern = /^[A-Za-z_][A-Za-z0-9._-]{0,63}\$?$/

/** Decides who sends a request; the one place for all faces. */
export class Authentication {
  readonly #clients: Clients

  constructor(clients: Clients) {
    this.#clients = clients
  }

  /**
   * Names the caller of a request: by `user.name`, HDFS's simple authentication, else the user who runs the gateway.
   *
   * @throws {@link HttpError} 400 for a name that is none
   */
  identify(request: IncomingMessage): Promise<Caller> {
    const named = new URLSearchParams(/\?(.*)$/.exec(request.url ?? '')?.[1]).get('user.name')
    if (named !== null && !userPattern.test(named)) {
      throw new HttpError(400, 'INVALID_ARGUMENT', `Cannot act as "${named}": that is no user name`)
    }
    const user = named ?? this.#clients.own.user
    return Promise.resolve(callerOf(user, this.#clients.as(user), () => true))
  }
}

/** Nobody reaches the gateway's own files through it, whatever else the caller may do. */
const ownDirectory = '/.trefoil'

function callerOf(
  user: string,
  client: DfsClient,
  covers: (path: string, right: Right) => boolean,
): Caller {
  const allows = (path: string, right: Right): boolean =>
    !isIn(path, ownDirectory) && covers(path, right)
  return {
    user,
    client,
    allows,
    require(path, right) {
      if (allows(path, right)) return
      throw new HttpError(403, 'PERMISSION_DENIED', `The caller may not ${right} "${path}" here`)
    },
  }
}

/** Whether a path is a directory or below it; a path that climbs counts as below everything it names. */
export function isIn(path: string, directory: string): boolean {
  if (path.split('/').includes('..')) return false
  return directory === '/' || path === directory || path.startsWith(`${directory}/`)
}
