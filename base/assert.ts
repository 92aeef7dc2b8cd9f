/** Thrown when our own code broke an invariant. Never caught to continue: the process stops. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Stops with an {@link AssertionError} unless `condition` holds. For our bugs only, never for bad input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (condition !== true) throw new AssertionError(message)
}

/** Returns `value`, asserting that it is neither `undefined` nor `null`. */
export function defined<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionError(`${what} must be present`)
  return value
}

/** Closes an exhaustive `switch`: adding a member to the union makes the call fail to compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable case: ${JSON.stringify(value)}`)
}
