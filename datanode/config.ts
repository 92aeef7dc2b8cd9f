/** What a datanode takes from the settings, parsed and checked once. */
import { resolve } from 'node:path'
import { DfsError } from '../protocol/errors.ts'
import type { Settings } from '../protocol/settings.ts'

/** Port of the namenode's RPC when `fs.defaultFS` names none. */
const namenodePortDefault = 8020
/** dfs.datanode.balance.bandwidthPerSec of HDFS; told to administrators, no balancer runs yet. */
const balancerBandwidthBytesPerSecond = 100 * 1024 * 1024

/** Overrides that a command line gives beside the settings. */
export interface DatanodeConfigOverrides {
  /** Data directories; without them `dfs.datanode.data.dir`. */
  readonly directories?: readonly string[] | undefined
}

export interface DatanodeConfig {
  /** Absolute paths. */
  readonly directories: readonly string[]
  readonly namenode: { readonly host: string; readonly port: number }
  readonly bindHost: string
  readonly ports: { readonly transfer: number; readonly ipc: number; readonly http: number }
  readonly heartbeatIntervalMs: number
  readonly blockReportIntervalMs: number
  readonly reservedBytes: number
  readonly balancerBandwidthBytesPerSecond: number
}

/**
 * Parses a datanode's configuration.
 *
 * @throws {@link DfsError} INVALID_ARGUMENT when a setting cannot be used; the message names it
 */
export function datanodeConfig(
  settings: Settings,
  { directories }: DatanodeConfigOverrides = {},
): DatanodeConfig {
  return {
    directories: directoriesOf(settings, directories),
    namenode: namenodeOf(settings['fs.defaultFS']),
    bindHost: settings['dfs.datanode.bind-host'],
    ports: {
      transfer: settings['dfs.datanode.port'],
      ipc: settings['dfs.datanode.ipc-port'],
      http: settings['dfs.datanode.http-port'],
    },
    heartbeatIntervalMs: settings['dfs.heartbeat.interval'],
    blockReportIntervalMs: settings['dfs.blockreport.interval'],
    reservedBytes: settings['dfs.datanode.reserved-bytes'],
    balancerBandwidthBytesPerSecond,
  }
}

function directoriesOf(
  settings: Settings,
  overrides: readonly string[] | undefined,
): readonly string[] {
  const named = overrides ?? settings['dfs.datanode.data.dir'].split(',')
  const directories = named.map((name) => name.trim()).filter((name) => name !== '')
  if (directories.length === 0) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      'A datanode needs a data directory: give --dir DIR or set dfs.datanode.data.dir',
    )
  }
  const absolute = directories.map((name) => resolve(name))
  const twice = absolute.find((name, index) => absolute.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new DfsError('INVALID_ARGUMENT', `Data directory "${twice}" is given twice`, {
      path: twice,
    })
  }
  return absolute
}

function namenodeOf(uri: string): { host: string; port: number } {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  if (url?.protocol !== 'hdfs:' || url.hostname === '') {
    throw new DfsError('INVALID_ARGUMENT', `fs.defaultFS must be hdfs://host:port, got "${uri}"`)
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return { host, port: url.port === '' ? namenodePortDefault : Number(url.port) }
}
