import { localIdentities } from './identity.ts'
import { kernelDriverObstacle, mountKernel } from './kernel/kernel-driver.ts'
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
}

/** A running mount. */
export interface RunningMount {
  readonly driver: DriverName
  /** Resolves when the mount is gone because somebody else took it away. */
  readonly ended?: Promise<void>
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
  try {
    const mount = await mountKernel(options.directory, tree)
    return {
      driver: 'kernel',
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

async function runNative(options: MountOptions): Promise<RunningMount> {
  const mountDirectory = await loadDriver()
  const tree = new MountedTree({ ...treeOptions(options), isForOneUser: true })
  try {
    const mount = await mountDirectory(options.directory, tree, process.getuid?.() ?? 0)
    return {
      driver: 'fuse-native',
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

function treeOptions({ uri, user }: MountOptions): TreeOptions {
  return { uri, identities: localIdentities(), ...(user === undefined ? {} : { user }) }
}

type Driver = typeof mountNative

async function loadDriver(): Promise<Driver> {
  try {
    const driver = await import('./native-driver.ts')
    return driver.mountNative
  } catch (cause) {
    const text =
      'Cannot load the FUSE driver: install Debian\'s "fuse" and "libfuse2", then run npm install again'
    throw new Error(text, { cause })
  }
}
