import { chmodSync, writeFileSync } from 'node:fs'
import { CommandError } from './failures.ts'

/** Where mount(8) looks for the type `trefoil`. */
const helperPath = '/sbin/mount.trefoil'

/**
 * The program that mount(8) runs as `mount.trefoil SOURCE DIR [-fnrsvw] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.
 *
 * @param node absolute path of Node
 * @param program absolute path of `dfs`
 */
export function mountHelper(node: string, program: string): string {
  return `#!/bin/sh
# Mounts a Trefoil or HDFS cluster: mount -t trefoil hdfs://HOST:PORT DIR. Made by: dfs mount --install-helper
[ $# -ge 2 ] || { echo "usage: mount.trefoil hdfs://HOST:PORT DIR [-o OPTIONS]" >&2; exit 1; }
source=$1
directory=$2
shift 2
options=defaults
while getopts fnrsvwN:o:t: option; do
  case $option in
    f) exit 0 ;;
    r) options=$options,ro ;;
    o) options=$options,$OPTARG ;;
    N) echo "mount.trefoil: cannot mount in another namespace" >&2; exit 1 ;;
    n | s | v | w | t) ;;
    *) exit 1 ;;
  esac
done
case $source in *://*) ;; *) source=hdfs://$source ;; esac
exec ${quoted(node)} ${quoted(program)} mount --detach --log "/var/log/trefoil-mount$(echo "$directory" | tr / -).log" -o "$options" "$source" "$directory"
`
}

/** Makes the helper; returns what to tell. */
export function installMountHelper(program: string, path = helperPath): string {
  try {
    writeFileSync(path, mountHelper(process.execPath, program))
    chmodSync(path, 0o755)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(`Cannot make ${path}: ${why}; only root can`)
  }
  return `made ${path}: mount -t trefoil hdfs://HOST:PORT DIR`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
