import { PassThrough, Readable } from 'node:stream'
import type { CommandIo } from '../../client/cli/command.ts'
import type { FileSystem } from '../../client/cli/file-system.ts'
import { runCli } from '../../client/cli/run.ts'

/** What a command left behind. */
export interface CommandResult {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** What a command finds around it. */
export interface CommandSetting {
  readonly input?: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** Runs `dfs ARGS` in this process, as user alice, on `fs`. */
export async function runCommand(
  fs: FileSystem,
  args: readonly string[],
  setting: CommandSetting = {},
): Promise<CommandResult> {
  const stdout = new PassThrough({ highWaterMark: 2 ** 24 })
  const stderr = new PassThrough({ highWaterMark: 2 ** 24 })
  const io: CommandIo = {
    stdin: Readable.from([Buffer.from(setting.input ?? '')]),
    stdout,
    stderr,
    openBulkOutput: () => stdout,
    env: { HADOOP_USER_NAME: 'alice', ...setting.env },
    cwd: setting.cwd ?? '/nonexistent',
    signal: setting.signal ?? new AbortController().signal,
    keepUntilDone: () => undefined,
  }
  const code = await runCli([...args], io, () => Promise.resolve(fs))
  return { code, out: await textOf(stdout), err: await textOf(stderr) }
}

async function textOf(stream: PassThrough): Promise<string> {
  stream.end()
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
