import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { messageOf } from './api.ts'
import { signIn } from './session.ts'

/** Asks for a token, in place of everything else. */
export function SignIn({ refusal }: { readonly refusal: string | null }): JSX.Element {
  const [token, setToken] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState(refusal)
  const submit = async (): Promise<void> => {
    setBusy(true)
    setFailure(null)
    try {
      await signIn(token)
    } catch (error) {
      setFailure(messageOf(error))
      setBusy(false)
    }
  }
  return (
    <form
      class="card sign-in"
      onSubmit={(event) => {
        event.preventDefault()
        void submit()
      }}
    >
      <h1>Sign in</h1>
      <label>
        Token
        <input
          type="password"
          required
          autocomplete="current-password"
          spellcheck={false}
          value={token}
          aria-describedby="token-help"
          onInput={(event) => setToken(event.currentTarget.value)}
        />
      </label>
      <p class="note" id="token-help">
        An operator makes one with <code>dfs token create</code>. It stays in this browser until you
        sign out or close it.
      </p>
      {failure !== null && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      <div class="buttons">
        <button type="submit" class="primary" disabled={isBusy}>
          Sign in
        </button>
      </div>
    </form>
  )
}
