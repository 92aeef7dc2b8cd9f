import { DfsFsError } from '../../index.ts'

/** `undefined` where the namenode does not know the operator protocol, as Apache's does not. */
export async function optionalAnswer<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    const code = error instanceof DfsFsError ? error.dfsCode : undefined
    if (code === 'NO_SUCH_PROTOCOL' || code === 'NO_SUCH_METHOD') return undefined
    throw error
  }
}
