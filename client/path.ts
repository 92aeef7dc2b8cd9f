import { DfsError } from '../protocol/errors.ts'

/** Where a cluster is. */
export interface ClusterAddress {
  readonly host: string
  readonly port: number
}

/** Port of a namenode that a URI does not name. */
export const defaultNamenodePort = 8020

/** Reads `hdfs://host:port`, `host:port` or `host`; a path behind it is ignored. */
export function parseClusterUri(uri: string): ClusterAddress {
  const authority = uri.replace(/^hdfs:\/\//, '').split('/', 1)[0] ?? ''
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+)(?::(\d{1,5}))?$/.exec(authority)
  const port = match?.[2] === undefined ? defaultNamenodePort : Number(match[2])
  if (match?.[1] === undefined || port > 65_535) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Cannot read cluster address "${uri}": need hdfs://host:port`,
    )
  }
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}

/** `hdfs://host:port` of an address. */
export function clusterUri({ host, port }: ClusterAddress): string {
  return `hdfs://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/**
 * Turns what a user calls a path into an absolute path of one cluster: takes `hdfs://host:port/path` when it
 * names this cluster, lets a relative path start at the user's home, and drops empty, `.` and `..` components.
 *
 * @throws {@link DfsError} INVALID_ARGUMENT when the URI names another cluster or the path is empty
 */
export function resolvePath(path: string, cluster: ClusterAddress, home: string): string {
  if (path === '') throw new DfsError('INVALID_ARGUMENT', 'Cannot use "" as a path')
  if (path.includes('\0')) {
    throw new DfsError('INVALID_PATH', `Cannot use ${JSON.stringify(path)}: it has a zero byte`)
  }
  const absolute = path.startsWith('hdfs://') ? pathOfUri(path, cluster) : path
  return normalized(absolute.startsWith('/') ? absolute : `${home}/${absolute}`)
}

/** The last component, `''` for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Joins a directory and an entry name. */
export function joinPath(directory: string, name: string): string {
  if (name === '') return directory
  return directory === '/' ? `/${name}` : `${directory}/${name}`
}

function pathOfUri(uri: string, cluster: ClusterAddress): string {
  const slash = uri.indexOf('/', 'hdfs://'.length)
  const path = slash === -1 ? '/' : uri.slice(slash)
  if (uri.startsWith('hdfs:///')) return path
  const { host, port } = parseClusterUri(uri)
  if (host !== cluster.host || port !== cluster.port) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Cannot use "${uri}" here: this client is connected to ${clusterUri(cluster)}`,
    )
  }
  return path
}

function normalized(path: string): string {
  if (!/\/(\/|\.|$)/.test(path)) return path
  const components: string[] = []
  for (const component of path.split('/')) {
    if (component === '..') components.pop()
    else if (component !== '' && component !== '.') components.push(component)
  }
  return `/${components.join('/')}`
}
