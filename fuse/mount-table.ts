import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { MountError } from './errno.ts'

/** Debian's packages of the programs that mounting needs. */
const packageOf: Readonly<Record<string, string>> = {
  mount: 'mount',
  umount: 'mount',
  fusermount: 'fuse',
}

/**
 * A mount whose process died answers ENOTCONN for ever; it can only be taken away, which `unmount` does.
 * @throws what stat(2) says of a directory that is not there
 */
export async function repairStale(
  directory: string,
  unmount: readonly [string, ...string[]],
): Promise<void> {
  try {
    if (!statSync(directory).isDirectory())
      throw new MountError('ENOTDIR', `Cannot mount on "${directory}": it is no directory`)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT')
      throw new MountError('ENOENT', `Cannot mount on "${directory}": make the directory first`)
    if (code !== 'ENOTCONN' && code !== 'ECONNABORTED') throw error
    const [name, ...parameters] = unmount
    await command(name, [...parameters, directory])
  }
}

/** Whether something is mounted at `directory`; on Linux, elsewhere it is taken for true. */
export function isMounted(directory: string): boolean {
  if (process.platform !== 'linux') return true
  return mountinfo().includes(` ${spelled(directory)} `)
}

/** The device number of what was mounted at `directory` last, as `MAJOR:MINOR`; undefined when nothing is. */
export function deviceOf(directory: string): string | undefined {
  const lines = mountinfo().split('\n').toReversed()
  const fields = lines.map((line) => line.split(' '))
  return fields.find(([, , , , mountPoint]) => mountPoint === spelled(directory))?.[2]
}

function mountinfo(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8')
}

/** As `mountinfo` writes it. */
function spelled(path: string): string {
  return path.replace(/[ \t\n\\]/g, (character) => {
    return `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`
  })
}

/**
 * Runs a program, `device` being its descriptor 3.
 * @throws MountError EIO with what it wrote when it fails, or the package it comes with when it is not there
 */
export function command(
  name: string,
  parameters: readonly string[],
  device?: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, parameters, {
      stdio: ['ignore', 'ignore', 'pipe', device ?? 'ignore'],
    })
    let text = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    child.once('error', (cause) => {
      const from = packageOf[name] ?? name
      const text = `Cannot run ${name} (${cause.message}): on Debian it is in the package "${from}"`
      reject(new MountError('ENOENT', text))
    })
    child.once('close', (status) => {
      if (status === 0) resolve()
      else reject(new MountError('EIO', `${name} failed: ${text.trim()}`))
    })
  })
}
