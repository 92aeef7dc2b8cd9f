import type { Readable, Writable } from 'node:stream'
import type { DfsClient, ReadStreamOptions, WriteStreamOptions } from '../index.ts'

/** The verbs of the SDK that commands use; tests put a namespace in memory behind it. */
export interface FileSystem
  extends Pick<
    DfsClient,
    | 'stat'
    | 'statWithLocations'
    | 'exists'
    | 'opendir'
    | 'mkdir'
    | 'rm'
    | 'rename'
    | 'chmod'
    | 'chown'
    | 'utimes'
    | 'setReplication'
    | 'contentSummary'
    | 'statfs'
    | 'blockLocations'
    | 'listWithLocations'
    | 'datanodes'
    | 'blockStats'
    | 'safeMode'
    | 'operator'
    | 'serverDefaults'
    | 'close'
  > {
  createReadStream(path: string, options?: ReadStreamOptions): Readable
  createWriteStream(path: string, options?: WriteStreamOptions): Writable
}
