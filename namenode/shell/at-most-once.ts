/** Calls that happen at most once: what is remembered of them, and what a repeated one gets. */
import { unreachable } from '../../base/assert.ts'
import { DfsError } from '../../protocol/errors.ts'
import { canAnswer, toCachedReply } from '../core/cached-replies.ts'
import type { RequestId, Transaction } from '../core/changes.ts'
import type { CachedReply, Caller, ReplyOf, Request } from '../core/requests.ts'

/** Calls that have not been answered; a repeated one joins the first. */
export class RunningCalls {
  readonly #running = new Map<string, { readonly kind: string; readonly reply: Promise<unknown> }>()

  /**
   * The reply that the first call under this id will get, or `undefined` when none runs.
   * @throws {@link DfsError} INVALID_ARGUMENT when that is a call of another method.
   */
  join<R extends Request>(id: RequestId, request: R): Promise<ReplyOf<R>> | undefined {
    const running = this.#running.get(keyOf(id))
    if (running === undefined) return undefined
    if (running.kind !== request.kind) throw reusedCallId(request)
    return running.reply as Promise<ReplyOf<R>>
  }

  /** Remembers a call until its reply settles. */
  add<R extends Request>(id: RequestId, request: R, reply: Promise<ReplyOf<R>>): void {
    const key = keyOf(id)
    this.#running.set(key, { kind: request.kind, reply })
    const forget = (): void => {
      this.#running.delete(key)
    }
    reply.then(forget, forget)
  }
}

function keyOf({ clientId, callId }: RequestId): string {
  return `${clientId}:${callId}`
}

/** The reply of a repeated call, unless that was a call of another method. */
export function fromCachedReply<R extends Request>(request: R, cached: CachedReply): ReplyOf<R> {
  if (!canAnswer(request.kind, cached)) throw reusedCallId(request)
  switch (cached.kind) {
    case 'void':
      return undefined as ReplyOf<R>
    case 'boolean':
      return cached.value as ReplyOf<R>
    case 'file-status':
      return cached.status as ReplyOf<R>
    case 'appended': {
      const { status, block } = cached
      return { status, block } as ReplyOf<R>
    }
    default:
      return unreachable(cached)
  }
}

export function reusedCallId({ kind }: Request): DfsError {
  return new DfsError(
    'INVALID_ARGUMENT',
    `Call of ${kind} must have a call id of its own, and another method was called under this one`,
  )
}

export function answeredBy<R extends Request>(
  caller: Caller,
  request: R,
  reply: ReplyOf<R>,
): Transaction['answered'] {
  if (caller.request === undefined) return undefined
  const cached = toCachedReply(request.kind, reply)
  return cached === undefined ? undefined : { request: caller.request, reply: cached }
}
