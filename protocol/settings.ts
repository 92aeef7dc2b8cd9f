/**
 * Every setting an operator may change: HDFS's own name where HDFS has one, its unit in the
 * description, and a default that is right for most. Configuration files and `--set` use these keys.
 */
import { limits } from './limits.ts'

interface IntegerSetting {
  readonly kind: 'integer'
  readonly default: number
  readonly min: number
  readonly description: string
}

interface TextSetting {
  readonly kind: 'text'
  readonly default: string
  readonly description: string
}

interface BooleanSetting {
  readonly kind: 'boolean'
  readonly default: boolean
  readonly description: string
}

/** One row of {@link settings}. */
export type Setting = IntegerSetting | TextSetting | BooleanSetting

export const settings = {
  'fs.defaultFS': text('hdfs://127.0.0.1:8020', 'Cluster that clients talk to'),
  'dfs.replication': integer(3, 1, 'Replicas of a new file'),
  'dfs.blocksize': integer(
    128 * 1024 * 1024,
    limits.blockSizeBytesMin,
    'Bytes per block of a new file',
  ),
  'dfs.bytes-per-checksum': integer(512, 1, 'Bytes per chunk checksum of a new block'),
  'dfs.client-write-packet-size': integer(65536, 1024, 'Bytes per write packet told to clients'),
  'fs.permissions.umask-mode': text('022', 'Octal umask our own client applies'),
  'fs.trash.interval': integer(
    1440,
    0,
    'Minutes a file removed by a shell stays in the trash; 0 is off',
  ),
  'fs.trash.checkpoint.interval': integer(
    60,
    0,
    'Minutes between two visits of the trash emptier; 0 is fs.trash.interval',
  ),
  'fs.protected.directories': text(
    '',
    'Directories, separated by commas, that nobody deletes or renames unless they are empty',
  ),
  'dfs.permissions.superusergroup': text('supergroup', 'Group whose members are superusers'),
  'dfs.namenode.bind-host': text('127.0.0.1', 'Address the namenode listens on'),
  'dfs.namenode.rpc-port': integer(8020, 0, 'RPC port of the namenode; 0 picks a free one'),
  'dfs.namenode.http-port': integer(9870, 0, 'HTTP port of the namenode; 0 picks a free one'),
  'dfs.namenode.name.dir': text('', 'Directory of the journal and the namespace database'),
  'dfs.namenode.resource.du.reserved': integer(
    100 * 1024 * 1024,
    0,
    "Bytes that must be free on the namenode's disk; with fewer, changes are refused. 0 is off",
  ),
  'dfs.namenode.resource.check.interval': integer(
    5000,
    10,
    "Milliseconds between two looks at the space on the namenode's disk",
  ),
  'dfs.namenode.journal.archive.bytes': integer(
    1024 * 1024 * 1024,
    0,
    'Bytes of journal kept for the next backup; older segments are deleted',
  ),
  'dfs.namenode.audit.log': boolean(true, 'Log every operation and every denied request'),
  'dfs.namenode.audit.log.file': text(
    '',
    "File for the audit log, in HDFS's format; empty puts it into the namenode's own log",
  ),
  'dfs.namenode.audit.log.file.bytes': integer(
    256 * 1024 * 1024,
    4096,
    'Bytes after which a new audit file begins; four older ones are kept',
  ),
  'dfs.namenode.audit.log.debug.cmdlist': text(
    'getfileinfo,listStatus,open,isFileClosed,checkAccess',
    "Commands, separated by commas, that are audited only when they are denied. HDFS's default is empty",
  ),
  'dfs.namenode.resident-inodes': integer(
    200_000,
    1000,
    'Inodes kept in memory beside those not yet in SQLite',
  ),
  'dfs.namenode.stale.datanode.interval': integer(
    10_000,
    100,
    'Milliseconds of silence after which a datanode is stale',
  ),
  'dfs.namenode.dead.datanode.interval': integer(
    60_000,
    100,
    'Milliseconds of silence after which a datanode is dead',
  ),
  'dfs.namenode.safemode.threshold-permille': integer(
    999,
    0,
    'Blocks out of 1000 with a replica that end safe mode at start',
  ),
  'dfs.namenode.safemode.wait': integer(
    60_000,
    0,
    'Milliseconds after which start-up safe mode ends in any case',
  ),
  'dfs.namenode.reports.wait': integer(
    1000,
    0,
    'Milliseconds complete and addBlock wait for datanode reports',
  ),
  'dfs.namenode.mass-failure.percent': integer(
    34,
    1,
    'Share of datanodes lost at once that stops repair until an operator or their return',
  ),
  'dfs.namenode.maintenance.replication.min': integer(
    1,
    0,
    'Live replicas elsewhere that each block of a datanode needs before it goes into maintenance',
  ),
  'dfs.namenode.replication.max-streams': integer(
    0,
    0,
    'Replica copies one datanode sends at a time; 0 derives it from its speed',
  ),
  'dfs.namenode.balance.enabled': boolean(
    true,
    'Move replicas from full datanodes to emptier ones',
  ),
  'dfs.namenode.balance.threshold': integer(
    10,
    1,
    'Percent by which the use of a datanode may differ from the average',
  ),
  'dfs.namenode.balance.bandwidth': integer(
    100 * 1024 * 1024,
    1024,
    'Bytes per second that balancing copies at most, all datanodes together',
  ),
  'dfs.namenode.lease.soft-limit': integer(
    limits.leaseSoftLimitMs,
    100,
    'Milliseconds without renewal after which a lease may be taken over',
  ),
  'dfs.namenode.lease.hard-limit': integer(
    limits.leaseHardLimitMs,
    100,
    'Milliseconds without renewal after which the file is closed',
  ),
  'net.topology.table.file.name': text(
    '',
    'File with lines "host /rack"; empty puts all in /default-rack',
  ),
  'dfs.datanode.bind-host': text('127.0.0.1', 'Address the datanode listens on'),
  'dfs.datanode.port': integer(0, 0, 'Data transfer port; 0 picks a free one'),
  'dfs.datanode.ipc-port': integer(0, 0, 'RPC port of the datanode; 0 picks a free one'),
  'dfs.datanode.http-port': integer(0, 0, 'HTTP port of the datanode; 0 picks a free one'),
  'dfs.datanode.data.dir': text('', 'Data directories of a datanode, separated by commas'),
  'dfs.datanode.reserved-bytes': integer(
    1024 * 1024 * 1024,
    0,
    "Bytes of each data directory's disk left to others",
  ),
  'dfs.datanode.failed.volumes.tolerated': integer(
    -1,
    -1,
    'Data directories that may fail before a datanode stops; -1: all but one',
  ),
  'dfs.datanode.disk.check.interval': integer(
    60_000,
    100,
    'Milliseconds between checks whether a data directory still works',
  ),
  'dfs.datanode.disk.check.timeout': integer(
    30_000,
    100,
    'Milliseconds without an answer after which a data directory has failed',
  ),
  'dfs.datanode.scan.period.hours': integer(
    336,
    0,
    'Hours within which every stored byte is verified; 0 is never',
  ),
  'dfs.datanode.directoryscan.interval': integer(
    21_600_000,
    0,
    'Milliseconds between comparisons of files with replicas; 0 is never',
  ),
  'dfs.datanode.max.transfer.threads': integer(
    limits.transfersPerDatanodeMax,
    1,
    'Concurrent transfers of a datanode',
  ),
  'dfs.datanode.direct-io': boolean(
    true,
    'Write bulk data around the page cache where the file system allows it',
  ),
  'dfs.gateway.bind-host': text('127.0.0.1', 'Address the HTTP gateway listens on'),
  'dfs.gateway.http-port': integer(9880, 0, 'Port of the HTTP gateway; 0 picks a free one'),
  'dfs.gateway.redirect': text(
    'gateway',
    'Where WebHDFS sends data: gateway (itself) or datanode (the HTTP port of one)',
  ),
  'dfs.gateway.cors-origins': text(
    '',
    'Origins, separated by commas, whose pages may use the gateway from a browser; empty: none',
  ),
  'dfs.gateway.body.rate.min': integer(
    64,
    0,
    'Bytes per second that a body has to come with, or its sender is cut off; 0 never',
  ),
  'dfs.gateway.body.rate.window': integer(
    60_000,
    1000,
    'Milliseconds of waiting for a sender over which that rate is taken',
  ),
  'dfs.gateway.shutdown.grace': integer(
    20_000,
    0,
    'Milliseconds that running transfers get when the gateway is stopped',
  ),
  'dfs.webhdfs.enabled': boolean(
    true,
    "Serve WebHDFS's data operations on the HTTP port of datanodes",
  ),
  'dfs.heartbeat.interval': integer(1000, 50, 'Milliseconds between heartbeats of a datanode'),
  'dfs.blockreport.interval': integer(21_600_000, 1000, 'Milliseconds between full block reports'),
  'dfs.client.socket-timeout': integer(
    60_000,
    100,
    'Milliseconds a client waits for bytes from a server',
  ),
  'dfs.client.block.write.replace-datanode-on-failure.policy': text(
    'DEFAULT',
    'Whether a datanode lost in mid-block is replaced: NEVER, DEFAULT or ALWAYS',
  ),
  'dfs.client.block.write.replace-datanode-on-failure.best-effort': boolean(
    true,
    'Go on with fewer datanodes when none can take the place of a lost one',
  ),
  'dfs.client.mark.slownode.as.badnode.threshold': integer(
    10,
    0,
    'Acknowledgements in a row that call a datanode slow before it is replaced; 0 never',
  ),
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof settings

type ValueOf<S> = S extends { kind: 'integer' }
  ? number
  : S extends { kind: 'boolean' }
    ? boolean
    : string

/** A complete, validated configuration: every setting has a value of its kind. */
export type Settings = { readonly [Name in SettingName]: ValueOf<(typeof settings)[Name]> }

/** The default of every setting. */
export const defaultSettings = Object.fromEntries(
  Object.entries(settings).map(([name, setting]) => [name, setting.default]),
) as unknown as Settings

/** Fills in the defaults. */
export function withSettings(overrides: Partial<Settings>): Settings {
  return { ...defaultSettings, ...overrides }
}

function integer(value: number, min: number, description: string): IntegerSetting {
  return { kind: 'integer', default: value, min, description }
}

function text(value: string, description: string): TextSetting {
  return { kind: 'text', default: value, description }
}

function boolean(value: boolean, description: string): BooleanSetting {
  return { kind: 'boolean', default: value, description }
}
