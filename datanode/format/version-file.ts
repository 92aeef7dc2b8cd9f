/**
 * The VERSION file of a data directory: `key=value` lines, in HDFS's words
 * (org.apache.hadoop.hdfs.server.common.StorageInfo). See docs/formats/block-files.md.
 *
 *     storageType=DATA_NODE
 *     layoutVersion=1                  version of the files under current/; ours, not HDFS's
 *     storageID=DS-<uuid>              this directory
 *     datanodeUuid=<uuid>              the datanode all its directories belong to
 *     clusterID=CID-<uuid>
 *     namespaceID=<integer>
 *     blockpoolID=BP-<random>-<address>-<ms>
 *
 * Lines that start with `#` and unknown keys are skipped. The file is replaced by rename, never edited.
 */
import { DfsError } from '../../protocol/errors.ts'
import {
  type DatanodeUuid,
  datanodeUuid,
  type StorageUuid,
  storageUuid,
} from '../../protocol/ids.ts'
import { checkLayout, type LayoutRange } from '../../protocol/layout.ts'

export const blockLayoutVersion = 1
/** A data directory of any other layout is refused. */
export const blockLayouts: LayoutRange = { oldest: 1, newest: blockLayoutVersion }

/** Which cluster and datanode a directory belongs to. */
export interface DatanodeIdentity {
  readonly clusterId: string
  readonly namespaceId: number
  readonly blockPoolId: string
  readonly datanodeUuid: DatanodeUuid
}

export interface VersionFile extends DatanodeIdentity {
  readonly storage: StorageUuid
}

export function encodeVersionFile(version: VersionFile): string {
  return [
    '# Written by Trefoil; see docs/formats/block-files.md',
    'storageType=DATA_NODE',
    `layoutVersion=${blockLayoutVersion}`,
    `storageID=${version.storage}`,
    `datanodeUuid=${version.datanodeUuid}`,
    `clusterID=${version.clusterId}`,
    `namespaceID=${version.namespaceId}`,
    `blockpoolID=${version.blockPoolId}`,
    '',
  ].join('\n')
}

/**
 * Reads a VERSION file; `path` is for messages.
 *
 * @throws {@link DfsError} UNSUPPORTED_LAYOUT for another version or kind of directory, CORRUPTION when
 * a key is missing or malformed
 */
export function decodeVersionFile(text: string, path: string): VersionFile {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=')
    if (equals > 0 && !line.startsWith('#'))
      values.set(line.slice(0, equals), line.slice(equals + 1))
  }
  const value = (key: string): string => {
    const found = values.get(key)
    if (found === undefined || found === '') {
      throw new DfsError('CORRUPTION', `Cannot read "${path}": key "${key}" is missing`, { path })
    }
    return found
  }
  const kind = value('storageType')
  if (kind !== 'DATA_NODE') {
    throw new DfsError(
      'UNSUPPORTED_LAYOUT',
      `Cannot use "${path}": it belongs to a directory of kind ${kind}, not DATA_NODE`,
      { path },
    )
  }
  checkLayout('Data directory with', path, Number(value('layoutVersion')), blockLayouts)
  const namespaceId = Number(value('namespaceID'))
  if (!Number.isSafeInteger(namespaceId)) {
    throw new DfsError('CORRUPTION', `Cannot read "${path}": key "namespaceID" is no integer`, {
      path,
    })
  }
  return {
    storage: storageUuid(value('storageID')),
    datanodeUuid: datanodeUuid(value('datanodeUuid')),
    clusterId: value('clusterID'),
    namespaceId,
    blockPoolId: blockPoolId(value('blockpoolID'), path),
  }
}

function blockPoolId(value: string, path: string): string {
  if (/^[\w.:-]+$/.test(value) && !value.startsWith('.')) return value
  throw new DfsError('CORRUPTION', `Cannot read "${path}": "${value}" is no block pool id`, {
    path,
  })
}
