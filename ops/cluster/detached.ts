import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { LaunchError } from './launch-error.ts'

/** What a detached launcher sends to whoever started it. */
export interface UpMessage {
  readonly kind: 'up'
  readonly lines: readonly string[]
}

/** A program to leave running. */
export interface DetachedProgram<T> {
  /** What it is called in an error. */
  readonly what: string
  /** Its log; it is appended to. */
  readonly file: string
  readonly entry: string
  readonly args: readonly string[]
  /** What a message of it means: undefined when it is not the one waited for. */
  readonly whenReady: (message: object) => T | undefined
}

/** The lines of an {@link UpMessage}. */
export function linesOfUp(message: object): readonly string[] | undefined {
  return 'kind' in message && message.kind === 'up' && 'lines' in message
    ? (message.lines as readonly string[])
    : undefined
}

/**
 * Starts our program in a session of its own, and resolves with its report when it is ready. It lives on when this process
 * ends.
 *
 * @throws LaunchError with what it wrote, when it ends before that
 */
export async function startDetached<T>(program: DetachedProgram<T>): Promise<T> {
  const { what, file, entry, args, whenReady } = program
  const log = openSync(file, 'a')
  const startBytes = statSync(file).size
  const child = spawn(process.execPath, [entry, ...args], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.on('message', (message: unknown) => {
        const report =
          typeof message === 'object' && message !== null ? whenReady(message) : undefined
        if (report !== undefined) resolve(report)
      })
      child.once('exit', () => {
        const written = readFileSync(file).subarray(startBytes).toString('utf8').trimEnd()
        reject(new LaunchError(`${what} ended; it said (in ${file}):\n${written}`))
      })
    })
  } finally {
    if (child.connected) child.disconnect()
    child.unref()
  }
}
