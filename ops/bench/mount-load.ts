/** The load of ops/bench/mount.ts, in a process of its own: `mount-load.js mount DIR` or `mount-load.js sdk URI`; JSON lines. */
import { mkdir, open, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DfsClient } from '../../client/index.ts'
import { report, rounded } from './figures.ts'

const mib = 1024 * 1024
const threads = 8
/** Longer than the kernel answers for attributes and names itself. */
const forgottenMs = 1200

/** What is measured, on a directory or through the SDK. */
interface Target {
  /** Durable when it returns. */
  writeLarge(path: string, megabytes: number): Promise<void>
  readLarge(path: string): Promise<number>
  mkdir(path: string): Promise<unknown>
  writeFile(path: string, content: Buffer): Promise<unknown>
  readFile(path: string): Promise<unknown>
  stat(path: string): Promise<unknown>
  rename(from: string, to: string): Promise<unknown>
  unlink(path: string): Promise<unknown>
}

function mountTarget(directory: string): Target {
  const at = (path: string): string => join(directory, path)
  return {
    async writeLarge(path, megabytes) {
      const file = await open(at(path), 'w')
      const piece = Buffer.alloc(mib, 'x')
      for (let index = 0; index < megabytes; index += 1) await file.write(piece)
      await file.sync()
      await file.close()
    },
    async readLarge(path) {
      const file = await open(at(path), 'r')
      const piece = Buffer.allocUnsafe(mib)
      let total = 0
      for (;;) {
        const { bytesRead } = await file.read(piece, 0, mib, total)
        if (bytesRead === 0) break
        total += bytesRead
      }
      await file.close()
      return total
    },
    mkdir: (path) => mkdir(at(path)),
    writeFile: (path, content) => writeFile(at(path), content),
    readFile: (path) => readFile(at(path)),
    stat: (path) => stat(at(path)),
    rename: (from, to) => rename(at(from), at(to)),
    unlink: (path) => unlink(at(path)),
  }
}

function sdkTarget(client: DfsClient): Target {
  return {
    async writeLarge(path, megabytes) {
      const file = await client.open(`/${path}`, 'w')
      const piece = Buffer.alloc(mib, 'x')
      for (let index = 0; index < megabytes; index += 1) await file.write(piece)
      await file.close()
    },
    async readLarge(path) {
      let total = 0
      for await (const piece of client.createReadStream(`/${path}`))
        total += (piece as Buffer).length
      return total
    },
    mkdir: (path) => client.mkdir(`/${path}`),
    writeFile: (path, content) => client.writeFile(`/${path}`, content),
    readFile: (path) => client.readFile(`/${path}`),
    stat: (path) => client.stat(`/${path}`),
    rename: (from, to) => client.rename(`/${from}`, `/${to}`),
    unlink: (path) => client.unlink(`/${path}`),
  }
}

/** What one of eight threads does with a file; the kernel changes a directory for one caller at a time, hence one for each thread. */
type Action = (index: number, thread: number) => Promise<unknown>

/** Calls `action` for every index below `count`, each thread with its share of them; returns how many a second. */
async function rateOf(count: number, action: Action): Promise<number> {
  const startedMs = performance.now()
  const run = async (thread: number): Promise<void> => {
    for (let index = thread; index < count; index += threads) await action(index, thread)
  }
  await Promise.all(Array.from({ length: threads }, (_, thread) => run(thread)))
  return count / ((performance.now() - startedMs) / 1000)
}

async function measure(
  name: string,
  target: Target,
  megabytes: number,
  files: number,
): Promise<void> {
  const tell = (op: string, rate: number, unit: string): void => {
    report({ op, target: name, rate: rounded(rate, 0), unit })
  }
  const startedMs = performance.now()
  await target.writeLarge(`${name}/large`, megabytes)
  const writtenMs = performance.now()
  tell('write', megabytes / ((writtenMs - startedMs) / 1000), 'MiB/s')
  // The second time a kernel may have it all.
  for (const op of ['read', 'read-again']) {
    const beganMs = performance.now()
    const bytes = await target.readLarge(`${name}/large`)
    if (bytes !== megabytes * mib) throw new Error(`read ${bytes} bytes of ${megabytes} MiB`)
    tell(op, megabytes / ((performance.now() - beganMs) / 1000), 'MiB/s')
  }
  await target.unlink(`${name}/large`)
  const small = Buffer.alloc(4096, 'y')
  const many = async (op: string, action: Action): Promise<void> => {
    await sleep(forgottenMs)
    tell(op, await rateOf(files, action), '/s')
  }
  const empty = Buffer.alloc(0)
  const path = (kind: string, index: number, thread: number): string =>
    `${name}/${thread}/${kind}${index}`
  // Who reads, renames or removes a file is the one who made it, so that each has a directory to himself.
  for (let thread = 0; thread < threads; thread += 1) await target.mkdir(`${name}/${thread}`)
  await many('create', (...of) => target.writeFile(path('c', ...of), empty))
  await many('write-4k', (...of) => target.writeFile(path('f', ...of), small))
  await many('stat', (...of) => target.stat(path('f', ...of)))
  await many('read-4k', (...of) => target.readFile(path('f', ...of)))
  await many('read-4k-again', (...of) => target.readFile(path('f', ...of)))
  await many('rename', (...of) => target.rename(path('f', ...of), path('g', ...of)))
  await many('unlink', (...of) => target.unlink(path('g', ...of)))
}

const [kind, where = '', megabytes = '256', files = '2000'] = process.argv.slice(2)
if (kind === 'mount') {
  await mkdir(join(where, 'mount'))
  await measure('mount', mountTarget(where), Number(megabytes), Number(files))
} else {
  const client = new DfsClient({ uri: where })
  await client.mkdir('/sdk')
  await measure('sdk', sdkTarget(client), Number(megabytes), Number(files))
  await client.close()
}
