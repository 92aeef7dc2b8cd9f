/**
 * Runs pjdfstest, the conformance tests of POSIX file systems (the rewrite on crates.io), on a cluster of this program
 * mounted by the kernel driver. Needs root, and `cargo install pjdfstest`.
 *
 *     npm run posix [-- PATTERN…]        only tests whose names contain one of the patterns
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { kernelDriverObstacle } from '../../fuse/kernel/kernel-driver.ts'
import { runMount } from '../../fuse/main.ts'
import { startCluster } from '../support/cluster.ts'

/** Two users whom every machine has, with their groups; times differ by more than the namenode's millisecond. */
const configuration = `
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.02
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
`

function program(): string | undefined {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), join(homedir(), '.cargo/bin')]
  return places.map((place) => join(place, 'pjdfstest')).find((path) => existsSync(path))
}

const suite = program()
const obstacle =
  kernelDriverObstacle() ?? (suite === undefined ? 'cargo install pjdfstest' : undefined)
if (suite === undefined || obstacle !== undefined) {
  process.stderr.write(`Cannot run the POSIX tests here: ${obstacle}\n`)
  process.exit(1)
}

const scratch = mkdtempSync(join(tmpdir(), 'trefoil-posix-'))
const directory = mkdtempSync(join(tmpdir(), 'trefoil-mount-'))
const file = join(scratch, 'pjdfstest.toml')
writeFileSync(file, configuration)
const cluster = await startCluster({ datanodes: 1 })
const mount = await runMount({ uri: cluster.uri, directory, driver: 'kernel' })
const status = await new Promise<number | null>((resolve, reject) => {
  const child = spawn(suite, ['-c', file, '-p', directory, ...process.argv.slice(2)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  child.once('error', reject)
  child.once('exit', resolve)
})
await mount.stop()
await cluster.stop()
rmSync(directory, { recursive: true })
rmSync(scratch, { recursive: true })
process.exitCode = status ?? 1
