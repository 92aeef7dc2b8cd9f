import { DfsClient } from '../client/index.ts'
import { localIdentities } from './identity.ts'
import type { mountNative } from './native-driver.ts'
import { MountOperations } from './operations.ts'

/** Parameters of {@link runMount}. */
export interface MountOptions {
  readonly uri: string
  readonly user?: string
  /** Existing empty directory. */
  readonly directory: string
}

/** A running mount. */
export interface RunningMount {
  stop(): Promise<void>
}

/**
 * Mounts a cluster at a directory with the package `fuse-native`, for the user who runs it.
 * Files are read at any offset and written from start to end; see `dfs help mount`.
 *
 * @throws Error when the package or libfuse 2 is not installed, or the directory cannot be mounted on
 */
export async function runMount(options: MountOptions): Promise<RunningMount> {
  const mountDirectory = await loadDriver()
  const client = new DfsClient({
    uri: options.uri,
    ...(options.user === undefined ? {} : { user: options.user }),
  })
  const operations = new MountOperations(client, localIdentities())
  const mount = await mountDirectory(options.directory, operations)
  return {
    async stop() {
      await mount.unmount()
      await client.close()
    },
  }
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
