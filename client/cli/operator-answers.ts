/** Answers of OperatorProtocol where a command can do without them. */

/** `undefined` where the namenode does not know the operator protocol, as Apache's does not. */
export async function optionalAnswer<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    const isUnknown =
      error instanceof Error &&
      'dfsCode' in error &&
      (error.dfsCode === 'NO_SUCH_PROTOCOL' || error.dfsCode === 'NO_SUCH_METHOD')
    if (isUnknown) return undefined
    throw error
  }
}
