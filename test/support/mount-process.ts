import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Compiled entry of the `dfs` command, beside the compiled tests. */
export const dfsEntry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')

/** `dfs mount` in a process of its own. */
export interface MountProcess {
  readonly child: ChildProcess
  /** What it wrote so far. */
  said(): string
  /** Ends it; resolves with its status. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

/** Starts `dfs mount` with these arguments; resolves when it serves. */
export async function startMountProcess(...args: string[]): Promise<MountProcess> {
  const child = spawn(process.execPath, [dfsEntry, 'mount', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
      if (stderr.includes('serving on')) resolve()
    })
    child.once('exit', () => {
      reject(new Error(stderr))
    })
  })
  child.removeAllListeners('exit')
  return {
    child,
    said: () => stderr,
    async end(signal) {
      const exit = once(child, 'exit')
      child.kill(signal)
      return (await exit)[0] as number | null
    },
  }
}
