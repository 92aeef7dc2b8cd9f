/** Calls of the gateway's API. */

/** What the gateway said when it refused. */
export class ApiError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'ApiError'
    this.code = code
  }
}

/** GET without a body, POST of JSON with one. */
export async function call<T>(path: string, body?: object): Promise<T> {
  const options: RequestInit =
    body === undefined
      ? {}
      : {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { 'Content-Type': 'application/json' },
        }
  const response = await fetch(path, options)
  if (!response.ok) throw await refusal(response)
  return (await response.json()) as T
}

/** The gateway's own words for a refused request. */
export async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text()
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } }
    return new ApiError(error.code, error.message)
  } catch {
    return new ApiError('INTERNAL', `The gateway answered ${response.status}`)
  }
}

/** Words for whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
