/** What a namenode takes from the settings, parsed and checked once. */
import { join, resolve } from 'node:path'
import { DfsError } from '../protocol/errors.ts'
import type { Settings } from '../protocol/settings.ts'

/** Overrides that a command line gives beside the settings. */
export interface NamenodeConfigOverrides {
  /** Directory of journal and database; without it `dfs.namenode.name.dir`. */
  readonly directory?: string | undefined
}

export interface NamenodeConfig {
  /** Absolute paths. */
  readonly directory: string
  readonly database: string
  readonly journal: string
  /** Segments kept for the next backup. */
  readonly journalArchive: string
  readonly journalArchiveBytes: number
  readonly lock: string
  readonly pidFile: string
  /** Room set aside for a full disk; see `DiskSpace`. */
  readonly spareFile: string
  /** Says that the last process found the database damaged, and how. */
  readonly damageFile: string
  readonly reservedBytes: number
  readonly spaceCheckIntervalMs: number
  readonly bindHost: string
  readonly ports: { readonly rpc: number; readonly http: number }
  /** Rack table; empty when there is none. */
  readonly topologyFile: string
  readonly superuserGroup: string
  readonly audit: {
    readonly isOn: boolean
    /** Empty: the namenode's own log. */
    readonly file: string
    readonly fileBytesMax: number
    /** Commands that are left out unless they are denied. */
    readonly quietCommands: readonly string[]
  }
}

/**
 * Parses a namenode's configuration.
 * @throws {@link DfsError} INVALID_ARGUMENT when a setting cannot be used; the message names it.
 */
export function namenodeConfig(
  settings: Settings,
  { directory: override }: NamenodeConfigOverrides = {},
): NamenodeConfig {
  const named = override ?? settings['dfs.namenode.name.dir']
  if (named === '') {
    throw new DfsError(
      'INVALID_ARGUMENT',
      'A namenode needs a directory: give --dir DIR or set dfs.namenode.name.dir',
    )
  }
  const directory = resolve(named)
  return {
    directory,
    database: join(directory, 'namespace.sqlite'),
    journal: join(directory, 'journal'),
    journalArchive: join(directory, 'journal-archive'),
    journalArchiveBytes: settings['dfs.namenode.journal.archive.bytes'],
    lock: join(directory, 'in_use.lock'),
    pidFile: join(directory, 'in_use.pid'),
    spareFile: join(directory, 'spare'),
    damageFile: join(directory, 'damaged'),
    reservedBytes: settings['dfs.namenode.resource.du.reserved'],
    spaceCheckIntervalMs: settings['dfs.namenode.resource.check.interval'],
    bindHost: settings['dfs.namenode.bind-host'],
    ports: {
      rpc: settings['dfs.namenode.rpc-port'],
      http: settings['dfs.namenode.http-port'],
    },
    topologyFile: settings['net.topology.table.file.name'],
    superuserGroup: settings['dfs.permissions.superusergroup'],
    audit: {
      isOn: settings['dfs.namenode.audit.log'],
      file: settings['dfs.namenode.audit.log.file'],
      fileBytesMax: settings['dfs.namenode.audit.log.file.bytes'],
      quietCommands: settings['dfs.namenode.audit.log.debug.cmdlist']
        .split(',')
        .map((command) => command.trim()),
    },
  }
}
