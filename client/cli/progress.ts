import type { SingleBar } from 'cli-progress'
import type { CommandIo } from './command.ts'
import { duration, humanSize } from './format.ts'

/** What a copy tells about itself while it runs. */
export interface Progress {
  /** More work has been found. */
  expect(files: number, bytes: number): void
  add(bytes: number): void
  fileDone(): void
  stop(): void
}

const silent: Progress = {
  expect: () => undefined,
  add: () => undefined,
  fileDone: () => undefined,
  stop: () => undefined,
}

/** Copies that end sooner show nothing. */
const showAfterMs = 500
const redrawsPerSecond = 5

/** A bar on stderr with bytes, files, rate and time left; nothing when stderr is not a terminal. */
export async function createProgress(io: CommandIo, isQuiet: boolean): Promise<Progress> {
  if (isQuiet || io.stderr.isTTY !== true) return silent
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar({
    stream: io.stderr,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false,
    fps: redrawsPerSecond,
    format: '{bar} {percentage}%  {size} of {total}  {done}/{files} files  {rate}/s  {left} left',
  })
  return new BarProgress(bar)
}

class BarProgress implements Progress {
  readonly #bar: SingleBar
  readonly #startedMs = performance.now()
  #isShown = false
  #filesExpected = 0
  #filesDone = 0
  #bytesExpected = 0
  #bytesDone = 0

  constructor(bar: SingleBar) {
    this.#bar = bar
  }

  expect(files: number, bytes: number): void {
    this.#filesExpected += files
    this.#bytesExpected += bytes
    if (this.#isShown) this.#bar.setTotal(this.#bytesExpected)
  }

  add(bytes: number): void {
    this.#bytesDone += bytes
    this.#draw()
  }

  fileDone(): void {
    this.#filesDone += 1
    this.#draw()
  }

  stop(): void {
    if (this.#isShown) this.#bar.stop()
  }

  #draw(): void {
    const elapsedMs = performance.now() - this.#startedMs
    if (elapsedMs < showAfterMs) return
    const bytesPerSecond = (this.#bytesDone * 1000) / elapsedMs
    const missing = Math.max(this.#bytesExpected - this.#bytesDone, 0)
    const payload = {
      size: humanSize(this.#bytesDone),
      total: humanSize(this.#bytesExpected),
      done: this.#filesDone,
      files: this.#filesExpected,
      rate: humanSize(Math.round(bytesPerSecond)),
      left: bytesPerSecond > 0 ? duration((missing / bytesPerSecond) * 1000) : '?',
    }
    if (this.#isShown) this.#bar.update(this.#bytesDone, payload)
    else this.#bar.start(this.#bytesExpected, this.#bytesDone, payload)
    this.#isShown = true
  }
}
