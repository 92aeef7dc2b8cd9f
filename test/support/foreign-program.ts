import { spawn, spawnSync } from 'node:child_process'

/** A program of somebody else that a test drives. */
export interface ForeignProgram {
  readonly command: string
  /** Command line that proves it is there. */
  readonly probe: readonly string[]
  /** What a person types to install it. */
  readonly install: string
}

/**
 * `false` when the program is there; otherwise the reason for tap's `skip`, with the install command.
 * Under CI nothing is skipped: a missing program makes the test fail.
 */
export function skipWithout({ command, probe, install }: ForeignProgram): string | false {
  const { error, status } = spawnSync(command, probe, { stdio: 'ignore' })
  if (error === undefined && status === 0) return false
  const reason = `${command} is not installed: ${install}`
  if (process.env['CI'] === 'true') throw new Error(reason)
  return reason
}

/** What a program that ended left behind. */
export interface ProgramResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end without blocking the event loop. */
export async function run(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv
    readonly input?: string
    readonly cwd?: string
  } = {},
): Promise<ProgramResult> {
  const child = spawn(command, args, {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? -1))
  })
  return {
    status,
    stdout: Buffer.concat(stdout).toString('utf8'),
    stderr: Buffer.concat(stderr).toString('utf8'),
  }
}
