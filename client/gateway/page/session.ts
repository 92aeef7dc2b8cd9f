/** Who the visitor is for the gateway, and what the visitor's token allows. */
import type { SessionCaller, SessionView } from '../api/views.ts'
import { ApiError, call, messageOf } from './api.ts'
import { createStore } from './store.ts'

interface SessionState {
  /** undefined until the gateway has answered. */
  readonly session: SessionView | undefined
  /** Why it does not answer. */
  readonly failure: string | undefined
}

const store = createStore<SessionState>({ session: undefined, failure: undefined })

export const useSession = store.use

/** Asks the gateway who the visitor is. */
export async function loadSession(): Promise<void> {
  try {
    store.update({ session: await call<SessionView>('/api/v1/session'), failure: undefined })
  } catch (error) {
    store.update({ failure: messageOf(error) })
  }
}

/** Has the browser keep a token where no script reads it. @throws {@link ApiError} with the gateway's words for a bad one */
export async function signIn(token: string): Promise<void> {
  store.update({ session: await call<SessionView>('/api/v1/session', { token }) })
}

export async function signOut(): Promise<void> {
  await call('/api/v1/session', undefined, 'DELETE')
  await loadSession()
}

/** For calls that were refused: when the token does not count any more the visitor is asked for another. */
export function noteRefusal(error: unknown): void {
  if (error instanceof ApiError && error.code === 'UNAUTHORIZED') void loadSession()
}

/** Why the visitor may not do something with a path, `undefined` for what is allowed; `/` stands for the whole cluster. */
export function whyNot(path: string, right: 'read' | 'write'): string | undefined {
  const caller = store.get().session?.caller
  if (caller === undefined || caller === null) return 'Sign in first'
  if (!caller.paths.some((root) => isIn(path, root))) return `Your token is for ${listed(caller)}`
  return right === 'write' && caller.right === 'read' ? 'Your token may only read' : undefined
}

/** The paths of a token as text. */
export function listed({ paths }: Pick<SessionCaller, 'paths'>): string {
  return `${paths.join(', ')} alone`
}

function isIn(path: string, root: string): boolean {
  return root === '/' || path === root || path.startsWith(`${root}/`)
}
