import type { ComponentChildren, JSX } from 'preact'
import { whyNot } from './session.ts'

/**
 * A button for a change. Where the visitor's token does not allow it the button stays where it is, can be reached with
 * the keyboard, and says why.
 */
export function Action({
  path,
  label,
  class: name,
  isDisabled = false,
  onAct,
  children,
}: {
  /** What is changed; `/` for the cluster as a whole. */
  readonly path: string
  /** What a screen reader says when the text alone is ambiguous. */
  readonly label?: string
  readonly class?: string
  readonly isDisabled?: boolean
  readonly onAct: () => void
  readonly children: ComponentChildren
}): JSX.Element {
  const reason = whyNot(path, 'write')
  return (
    <button
      type="button"
      class={name}
      aria-label={label}
      aria-disabled={reason === undefined ? undefined : 'true'}
      title={reason}
      disabled={isDisabled}
      onClick={() => {
        if (reason === undefined) onAct()
      }}
    >
      {children}
    </button>
  )
}
