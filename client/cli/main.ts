#!/usr/bin/env node
/** The `dfs` command: connects the command line to this process's streams, signals and exit code. */
import { setMaxListeners } from 'node:events'
import { createWriteStream, fstatSync } from 'node:fs'
import type { Writable } from 'node:stream'
import type { CommandIo } from './command.ts'
import { exitCodes } from './failures.ts'
import { waitUntilReachable } from './reachability.ts'
import { lastWords, runCli } from './run.ts'
import type { Connect } from './session.ts'

/** Time a command has to clean up after an interrupt before the process ends regardless. */
const interruptGraceMs = 5_000
const sameInterruptMs = 1_000

function isBrokenPipe(error: Error): boolean {
  return 'code' in error && error.code === 'EPIPE'
}

interface Interrupts {
  readonly signal: AbortSignal
  keepUntilDone(): void
}

/**
 * Aborts at the first signal; a second one, or a command that does not end, ends the process. What comes
 * right behind the first is the same Ctrl-C again, passed on by npm.
 */
function abortOnSignals(): Interrupts {
  const controller = new AbortController()
  // Every file that is being copied listens.
  setMaxListeners(0, controller.signal)
  const end = (): never => process.exit(exitCodes.interrupted)
  let isPatient = false
  let firstMs = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) {
        firstMs = performance.now()
        controller.abort(new Error(`received ${signal}`))
        if (!isPatient) setTimeout(end, interruptGraceMs).unref()
      } else if (performance.now() - firstMs > sameInterruptMs) end()
    })
  }
  return {
    signal: controller.signal,
    keepUntilDone: () => {
      isPatient = true
    },
  }
}

const connect: Connect = async ({ uri, user, settings }) => {
  const { DfsClient } = await import('../index.ts')
  await waitUntilReachable(uri, io)
  return new DfsClient({ uri, user, settings })
}

/** process.stdout writes files on the event loop; a stream of our own does not. */
function openBulkOutput(): Writable {
  if (!fstatSync(1).isFile()) return process.stdout
  return createWriteStream('', { fd: 1, autoClose: false })
}

/** process.exit() would drop what a slow reader of a pipe has not taken yet. */
async function flushOutput(): Promise<void> {
  if (process.stdout.writableLength === 0) return
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
}

process.stdout.on('error', (error: Error) => {
  if (isBrokenPipe(error)) process.exit(exitCodes.brokenPipe)
  throw error
})

const io: CommandIo = {
  // Getters, because Node sets each stream up at its first use, and few commands read their input.
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  get stderr() {
    return process.stderr
  },
  openBulkOutput,
  env: process.env,
  cwd: process.cwd(),
  ...abortOnSignals(),
}

try {
  process.exitCode = await runCli(process.argv.slice(2), io, connect)
} catch (error) {
  process.stderr.write(lastWords(error))
  process.exitCode = exitCodes.failed
}
await flushOutput()
process.exit()
