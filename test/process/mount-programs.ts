/**
 * What other people's programs do on a mount, larger and with faults:
 *
 *     npm run mount:programs -- [--scale N] [--only NAME] [--disturb datanode|namenode] [--fsx PATH --minutes N]
 *
 * runs the scripts of test/support/mount-programs.ts at N (10) times the size that the tests have. With `--disturb` a daemon is killed
 * and started again every few seconds meanwhile. `--fsx` names the program of that name (`cargo install fsx`), which then does
 * random operations on a file for so many minutes. One line for each; the status is 1 when any failed.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { run } from '../support/foreign-program.ts'
import { startMountProcess } from '../support/mount-process.ts'
import { mountPrograms, runMountProgram } from '../support/mount-programs.ts'

const quietMs = 8_000
const downMs = 1_500

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '10' },
    only: { type: 'string' },
    disturb: { type: 'string' },
    fsx: { type: 'string' },
    minutes: { type: 'string', default: '60' },
  },
})

/** Kills and restarts a daemon in turns, until `signal`. */
async function disturb(cluster: RealCluster, signal: AbortSignal): Promise<number> {
  const roles = values.disturb === 'namenode' ? ['namenode' as const] : cluster.datanodeRoles
  for (let count = 0; ; count += 1) {
    const isOver = await sleep(quietMs, false, { signal }).catch(() => true)
    const role = roles[count % roles.length]
    if (isOver || role === undefined) return count
    await cluster.kill(role)
    await sleep(downMs)
    cluster.start(role)
  }
}

const fsxConfiguration = `flen = 4000000
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 5
fsync = 1
posix_fallocate = 3
punch_hole = 3
copy_file_range = 3
`

async function fsx(program: string, directory: string, local: string): Promise<string | undefined> {
  const configuration = join(local, 'fsx.toml')
  writeFileSync(configuration, fsxConfiguration)
  const seconds = Number(values.minutes) * 60
  const args = [String(seconds), program, '-f', configuration, '-P', local, join(directory, 'fsx')]
  const { status, stdout, stderr } = await run('timeout', args)
  // It goes on until it finds something: ended by the clock is what we want.
  return status === 124 ? undefined : `${stdout}${stderr}`
}

const cluster = await startCluster({ datanodes: 3 })
const directory = mkdtempSync(join(tmpdir(), 'trefoil-programs-'))
const local = mkdtempSync(join(tmpdir(), 'trefoil-programs-local-'))
const mount = await startMountProcess(cluster.uri, directory)
const end = new AbortController()
const disturbing = values.disturb === undefined ? undefined : disturb(cluster, end.signal)
let failures = 0
const check = async (name: string, action: () => Promise<string | undefined>): Promise<void> => {
  const startedMs = performance.now()
  const failure = await action()
  const seconds = Math.round((performance.now() - startedMs) / 1000)
  process.stdout.write(`${failure === undefined ? 'ok' : 'FAILED'} ${name} ${seconds} s\n`)
  if (failure === undefined) return
  failures += 1
  process.stdout.write(`${failure}\n`)
}
for (const program of mountPrograms) {
  if (values.fsx !== undefined || (values.only ?? program.name) !== program.name) continue
  await check(program.name, () =>
    runMountProgram(program, { directory, local }, Number(values.scale)),
  )
}
const { fsx: fsxProgram } = values
if (fsxProgram !== undefined) await check('fsx', () => fsx(fsxProgram, directory, local))
end.abort()
const disturbances = await disturbing
if (disturbances !== undefined)
  process.stdout.write(`${values.disturb} killed ${disturbances} times\n`)
await mount.end('SIGTERM')
await cluster.stop()
for (const place of [directory, local]) rmSync(place, { recursive: true })
process.exit(failures === 0 ? 0 : 1)
