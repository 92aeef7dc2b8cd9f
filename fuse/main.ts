import { localIdentities, shownAs } from './identity.ts'
import { kernelDriverObstacle, mountKernel } from './kernel/kernel-driver.ts'
import { defaultMountSettings, type MountSettings } from './mount-settings.ts'
import { MountedTree, type TreeOptions } from './mounted-tree.ts'
import type { mountNative } from './native-driver.ts'

/** Who speaks to the kernel: we ourselves, or libfuse 2 through the package `fuse-native`. */
export type DriverName = 'kernel' | 'fuse-native'

/** Parameters of {@link runMount}. */
export interface MountOptions {
  readonly uri: string
  readonly user?: string
  /** Existing empty directory. */
  readonly directory: string
  /** The kernel's where this machine and user can have it, unless given. */
  readonly driver?: DriverName
  readonly settings?: Partial<MountSettings>
}

/** A running mount. */
export interface RunningMount {
  readonly driver: DriverName
  /** Resolves when the mount is gone, whoever took it away. */
  readonly ended: Promise<void>
  /**
   * Publishes what is open and takes the mount away.
   * @throws MountError EIO with the names of files that did not get to the cluster
   */
  stop(): Promise<void>
}

/**
 * Mounts a cluster at a directory; see `dfs help mount` and docs/decisions/0007-mount-drivers.md for what the drivers carry.
 *
 * @throws Error when the driver is not to be had here, or the directory cannot be mounted on
 */
export async function runMount(options: MountOptions): Promise<RunningMount> {
  const obstacle = kernelDriverObstacle()
  const driver = options.driver ?? (obstacle === undefined ? 'kernel' : 'fuse-native')
  if (driver === 'fuse-native') return runNative(options)
  if (obstacle !== undefined) throw new Error(`Cannot mount with the kernel driver: ${obstacle}`)
  return runKernel(options)
}

async function runKernel(options: MountOptions): Promise<RunningMount> {
  const tree = new MountedTree(treeOptions(options))
  return running('kernel', tree, () => {
    const { uri, directory } = options
    return mountKernel(directory, tree, { uri, settings: settingsOf(options) })
  })
}

async function runNative(options: MountOptions): Promise<RunningMount> {
  const mountDirectory = await loadDriver()
  const tree = new MountedTree({ ...treeOptions(options), isForOneUser: true })
  const uid = process.getuid?.() ?? 0
  return running('fuse-native', tree, () =>
    mountDirectory(options.directory, tree, { uid, settings: settingsOf(options) }),
  )
}

async function running(
  driver: DriverName,
  tree: MountedTree,
  start: () => Promise<{ readonly ended: Promise<void>; unmount(): Promise<void> }>,
): Promise<RunningMount> {
  try {
    const mount = await start()
    return {
      driver,
      ended: mount.ended,
      async stop() {
        await tree.publishAll()
        await mount.unmount()
        await tree.close()
      },
    }
  } catch (error) {
    await tree.close()
    throw error
  }
}

function settingsOf({ settings }: MountOptions): MountSettings {
  return { ...defaultMountSettings, ...settings }
}

function treeOptions(options: MountOptions): TreeOptions {
  const { uri, user } = options
  const settings = settingsOf(options)
  return {
    ...{ uri, cacheBytes: settings.cacheBytes, attributesMs: settings.attributesMs },
    identities: shownAs(localIdentities(), settings),
    ...(user === undefined ? {} : { user }),
  }
}

type Driver = typeof mountNative

async function loadDriver(): Promise<Driver> {
  try {
    const driver = await import('./native-driver.ts')
    return driver.mountNative
  } catch (cause) {
    throw new Error(driverAdvice(cause), { cause })
  }
}

/** What to install, by what loading the native module said. */
function driverAdvice(cause: unknown): string {
  const said = cause instanceof Error ? cause.message : String(cause)
  const start = 'Cannot mount through libfuse:'
  if (said.includes('libfuse.so'))
    return `${start} the library libfuse.so.2 is missing; on Debian it is in the package "libfuse2"`
  if (said.includes("'fuse-native'"))
    return `${start} the package fuse-native is missing; run npm install again, with a compiler ("build-essential")`
  return `${start} ${said}`
}
