/**
 * Runs one operation as often as it is asked for, one run at a time. Who asks while one runs gets the next, together with all who
 * ask until that begins: the running one may not cover what they ask for.
 */
export class JoinedRuns {
  readonly #operate: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(operate: () => Promise<void>) {
    this.#operate = operate
  }

  /** Resolves, or rejects, as the first run does that begins after this call, or with it. */
  run(): Promise<void> {
    if (this.#next !== undefined) return this.#next
    if (this.#running === undefined) return this.#start()
    const start = (): Promise<void> => {
      this.#next = undefined
      return this.#start()
    }
    this.#next = this.#running.then(start, start)
    return this.#next
  }

  /** Resolves when no run is under way or asked for; how they ended, their callers hear. */
  async settled(): Promise<void> {
    while (this.#running !== undefined || this.#next !== undefined) {
      await Promise.allSettled([this.#running, this.#next])
    }
  }

  #start(): Promise<void> {
    const running = this.#operate()
    this.#running = running
    const done = (): void => {
      if (this.#running === running) this.#running = undefined
    }
    running.then(done, done)
    return running
  }
}
