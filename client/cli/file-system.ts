import type { Readable, Writable } from 'node:stream'
import type { DfsClient, FollowOptions, ReadStreamOptions, WriteStreamOptions } from '../index.ts'

/** The verbs of the SDK that commands use; tests put a namespace in memory behind it. */
export interface FileSystem
  extends Pick<
    DfsClient,
    | 'stat'
    | 'lstat'
    | 'symlink'
    | 'link'
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
    | 'truncate'
    | 'concat'
    | 'recoverLease'
    | 'isFileClosed'
    | 'readableLength'
    | 'statfs'
    | 'blockLocations'
    | 'listWithLocations'
    | 'datanodes'
    | 'blockStats'
    | 'safeMode'
    | 'operator'
    | 'attributes'
    | 'serverDefaults'
    | 'close'
  > {
  createReadStream(path: string, options?: ReadStreamOptions): Readable
  /** Emits `truncate` with the new length when the file is cut. */
  follow(path: string, options?: FollowOptions): Readable
  createWriteStream(path: string, options?: WriteStreamOptions): Writable
}
