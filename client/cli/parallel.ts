/** Runs tasks with at most `limit` of them unfinished; `submit` is the back-pressure. */
export class TaskPool {
  readonly #limit: number
  readonly #running = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Starts `task` as soon as fewer than `limit` run. Throws what an earlier task threw, so that a caller's
   * loop ends at the first failure that its tasks let out.
   */
  async submit(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#limit) await Promise.race(this.#running)
    this.#throwFailure()
    const running = task().then(
      () => {
        this.#running.delete(running)
      },
      (error: unknown) => {
        this.#running.delete(running)
        this.#failure ??= { error }
      },
    )
    this.#running.add(running)
  }

  /** Resolves when every task has ended; throws the first failure. */
  async finish(): Promise<void> {
    await Promise.all(this.#running)
    this.#throwFailure()
  }

  /** Resolves when every task has ended, whether well or not. */
  async settle(): Promise<void> {
    await Promise.all(this.#running)
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** Calls `action` for each item, at most `limit` at a time, in the order of the items. */
export async function forEachBounded<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  action: (item: T) => Promise<void>,
): Promise<void> {
  const pool = new TaskPool(limit)
  try {
    for await (const item of items) await pool.submit(() => action(item))
  } finally {
    await pool.finish()
  }
}
