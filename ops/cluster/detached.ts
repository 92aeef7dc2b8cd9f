import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { LaunchError } from './launch-error.ts'
import type { ClusterLayout } from './layout.ts'

/** What a detached launcher sends to whoever started it. */
export interface UpMessage {
  readonly kind: 'up'
  readonly lines: readonly string[]
}

function isUpMessage(message: unknown): message is UpMessage {
  return (
    typeof message === 'object' && message !== null && 'kind' in message && message.kind === 'up'
  )
}

/**
 * Starts a launcher in a session of its own, and resolves with its report when its cluster is ready. It
 * writes to logs/up.log and lives on when this process ends.
 *
 * @throws LaunchError with what it wrote, when it ends before that
 */
export async function startDetached(launch: {
  readonly layout: ClusterLayout
  readonly entry: string
  readonly args: readonly string[]
}): Promise<readonly string[]> {
  const { layout, entry, args } = launch
  layout.prepare()
  const file = layout.log('up')
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
        if (isUpMessage(message)) resolve(message.lines)
      })
      child.once('exit', () => {
        const written = readFileSync(file).subarray(startBytes).toString('utf8').trimEnd()
        reject(new LaunchError(`the launcher ended; it said (in ${file}):\n${written}`))
      })
    })
  } finally {
    if (child.connected) child.disconnect()
    child.unref()
  }
}
