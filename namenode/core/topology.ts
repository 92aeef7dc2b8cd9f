/**
 * Racks: which hosts share a switch, from a table of lines `host /rack` (HDFS:
 * net.topology.table.file.name, TableMapping). Everything not listed is in one default rack, so that
 * a cluster without a table is a cluster of one rack.
 */
import { DfsError } from '../../protocol/errors.ts'

/** Maps a host name or address to the path of its rack. */
export type Topology = (host: string) => string

/** Rack of every host that the table does not name. */
export const defaultRack = '/default-rack'

/**
 * Parses a rack table. Empty lines and lines starting with `#` are skipped; a host listed twice keeps
 * its last rack.
 *
 * @throws {@link DfsError} INVALID_ARGUMENT when a line is not a host and a rack path.
 */
export function parseTopology(text: string): Topology {
  const rackByHost = new Map<string, string>()
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const [host, rack, ...rest] = trimmed.split(/\s+/)
    if (host === undefined || rack === undefined || rest.length > 0 || !/^(\/[^/]+)+$/.test(rack)) {
      throw new DfsError(
        'INVALID_ARGUMENT',
        `Line ${index + 1} of the rack table must be "host /rack", got "${trimmed}"`,
      )
    }
    rackByHost.set(host.toLowerCase(), rack)
  }
  return (host) => rackByHost.get(host.toLowerCase()) ?? defaultRack
}

/** How far apart two places are, for ordering: same host, same rack, elsewhere. */
export function distance(
  here: { readonly host: string; readonly rack: string },
  there: { readonly hosts: readonly string[]; readonly rack: string },
): 0 | 1 | 2 {
  if (there.hosts.includes(here.host)) return 0
  return here.rack === there.rack ? 1 : 2
}
