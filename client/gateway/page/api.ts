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

type Refused = (error: ApiError) => void
let whenRefused: Refused = () => undefined

/** Has every refusal of a call told to `listener`. */
export function onRefusal(listener: Refused): void {
  whenRefused = listener
}

/** GET without a body, POST of JSON with one, unless `method` says otherwise; `undefined` for an answer without content. */
export async function call<T>(path: string, body?: object, method?: string): Promise<T> {
  const options: RequestInit =
    body === undefined
      ? { method: method ?? 'GET' }
      : {
          method: method ?? 'POST',
          body: JSON.stringify(body),
          headers: { 'Content-Type': 'application/json' },
        }
  const response = await fetch(path, options)
  if (!response.ok) throw await refusal(response)
  return (response.status === 204 ? undefined : await response.json()) as T
}

/** The gateway's own words for a refused request. */
export async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text()
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } }
    const refused = new ApiError(error.code, error.message)
    whenRefused(refused)
    return refused
  } catch {
    return new ApiError('INTERNAL', `The gateway answered ${response.status}`)
  }
}

/** Words for whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
