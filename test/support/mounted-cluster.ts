import { existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { kernelDriverObstacle } from '../../fuse/kernel/kernel-driver.ts'
import { type DriverName, type RunningMount, runMount } from '../../fuse/main.ts'
import { type RealCluster, startCluster } from './cluster.ts'
import { run, skipWithout } from './foreign-program.ts'

/** A cluster that is a directory of this machine. */
export interface MountedCluster {
  readonly cluster: RealCluster
  readonly directory: string
  readonly mount: RunningMount
  /** Runs a script inside the mount; it must succeed. */
  readonly shell: (script: string) => Promise<string>
}

const fusermount = {
  command: 'fusermount',
  probe: ['-V'],
  install: 'apt-get install fuse libfuse2',
}

/** Why a driver cannot be tested here, or false. */
export function driverObstacle(driver: DriverName): string | false {
  if (driver === 'kernel') return kernelDriverObstacle() ?? false
  return existsSync('/dev/fuse') ? skipWithout(fusermount) : 'this machine has no /dev/fuse'
}

/** Starts a cluster and mounts it; both go with the test. */
export async function mountCluster(
  t: Test,
  driver: DriverName,
  datanodes = 3,
): Promise<MountedCluster> {
  const cluster = await startCluster({ datanodes })
  const directory = mkdtempSync(join(tmpdir(), `trefoil-${driver}-`))
  const mount = await runMount({ uri: cluster.uri, directory, driver })
  t.teardown(async () => {
    await mount.stop()
    rmdirSync(directory)
    await cluster.stop()
  })
  return { cluster, directory, mount, shell: shellIn(t, directory) }
}

/** Runs scripts in a directory of a mount; they must succeed. */
export function shellIn(t: Test, directory: string): (script: string) => Promise<string> {
  return async (script) => {
    // Not as `cwd` of the child: starting it would wait for the mount, and the mount for this process.
    const { status, stdout, stderr } = await run('sh', ['-ec', `cd ${directory}; ${script}`])
    t.equal(status, 0, `${script}${status === 0 ? '' : `\n${stderr}`}`)
    return stdout
  }
}
