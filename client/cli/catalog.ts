/** The table of commands: what each is for, and where it is, without loading it. */
import type { Command } from './command.ts'

export interface CatalogEntry {
  readonly summary: string
  readonly load: () => Promise<{ readonly command: Command }>
}

export const catalog: Readonly<Record<string, CatalogEntry>> = {
  up: {
    summary: 'start a namenode and datanodes on this machine',
    load: () => import('./commands/up.ts'),
  },
  down: { summary: 'stop what `dfs up` started', load: () => import('./commands/down.ts') },
  namenode: { summary: 'run a namenode', load: () => import('./commands/namenode.ts') },
  datanode: { summary: 'run a datanode', load: () => import('./commands/datanode.ts') },
  ls: { summary: 'list files and directories', load: () => import('./commands/ls.ts') },
  mkdir: { summary: 'make directories', load: () => import('./commands/mkdir.ts') },
  put: {
    summary: 'copy local files and trees into the cluster',
    load: () => import('./commands/put.ts'),
  },
  get: {
    summary: 'copy files and trees out of the cluster',
    load: () => import('./commands/get.ts'),
  },
  append: {
    summary: 'write local files at the end of a file',
    load: () => import('./commands/append.ts'),
  },
  truncate: { summary: 'cut files off', load: () => import('./commands/truncate.ts') },
  concat: {
    summary: 'move the blocks of files to the end of another',
    load: () => import('./commands/concat.ts'),
  },
  lease: {
    summary: 'close files whose writer is gone',
    load: () => import('./commands/lease.ts'),
  },
  cat: { summary: 'write files to standard output', load: () => import('./commands/cat.ts') },
  tail: { summary: 'write the end of a file', load: () => import('./commands/tail.ts') },
  rm: { summary: 'remove files and trees', load: () => import('./commands/rm.ts') },
  trash: {
    summary: 'show, restore or empty what was removed',
    load: () => import('./commands/trash.ts'),
  },
  ln: {
    summary: 'give files more names, or make symbolic links',
    load: () => import('./commands/ln.ts'),
  },
  mv: { summary: 'rename or move', load: () => import('./commands/mv.ts') },
  cp: { summary: 'copy within or between clusters', load: () => import('./commands/cp.ts') },
  stat: { summary: 'show everything about a path', load: () => import('./commands/stat.ts') },
  du: { summary: 'show how much space trees use', load: () => import('./commands/du.ts') },
  df: { summary: 'show the space of the cluster', load: () => import('./commands/df.ts') },
  touch: {
    summary: 'make empty files, or set the times of existing ones',
    load: () => import('./commands/touch.ts'),
  },
  chmod: { summary: 'change permissions', load: () => import('./commands/chmod.ts') },
  chown: { summary: 'change owner and group', load: () => import('./commands/chown.ts') },
  getfacl: {
    summary: 'show access control lists',
    load: () => import('./commands/getfacl.ts'),
  },
  setfacl: {
    summary: 'change access control lists',
    load: () => import('./commands/setfacl.ts'),
  },
  getfattr: {
    summary: 'show extended attributes',
    load: () => import('./commands/getfattr.ts'),
  },
  setfattr: {
    summary: 'set and remove extended attributes',
    load: () => import('./commands/setfattr.ts'),
  },
  setrep: {
    summary: 'change the replication of files',
    load: () => import('./commands/setrep.ts'),
  },
  test: {
    summary: 'answer a question about a path by exit code',
    load: () => import('./commands/test.ts'),
  },
  report: {
    summary: 'show the state of the cluster and its datanodes',
    load: () => import('./commands/report.ts'),
  },
  safemode: {
    summary: 'show, enter or leave safe mode, or wait for its end',
    load: () => import('./commands/safemode.ts'),
  },
  node: {
    summary: 'take datanodes out of service and back',
    load: () => import('./commands/node.ts'),
  },
  fsck: {
    summary: 'check that every block has its replicas',
    load: () => import('./commands/fsck.ts'),
  },
  explain: {
    summary: 'say why a path, block or datanode is not healthy',
    load: () => import('./commands/explain.ts'),
  },
  offline: {
    summary: 'read what daemons left on a disk, without them',
    load: () => import('./commands/offline.ts'),
  },
  balance: {
    summary: 'show and steer how evenly datanodes are filled',
    load: () => import('./commands/balance.ts'),
  },
  gateway: {
    summary: 'serve files over HTTP',
    load: () => import('./commands/gateway.ts'),
  },
  token: {
    summary: 'make, list and revoke tokens of the gateway',
    load: () => import('./commands/token.ts'),
  },
  mount: {
    summary: 'make the cluster a directory of this machine',
    load: () => import('./commands/mount.ts'),
  },
  version: { summary: 'show the version', load: () => import('./commands/version.ts') },
  help: { summary: 'show how to use a command', load: () => import('./commands/help.ts') },
}

/** HDFS's other names for commands, with the options that make ours mean the same. */
export const aliases: Readonly<Record<string, readonly string[]>> = {
  balancer: ['balance'],
  copyFromLocal: ['put'],
  copyToLocal: ['get'],
  appendToFile: ['append'],
  debug: ['lease'],
  lsr: ['ls', '-R'],
  rmr: ['rm', '-r'],
  dus: ['du', '-s'],
  touchz: ['touch'],
  expunge: ['trash', 'expunge'],
  usage: ['help'],
}

/** The command a word stands for, with the options that its old name implies; undefined for none. */
export function lookUp(
  word: string,
):
  | { readonly name: string; readonly entry: CatalogEntry; readonly implied: readonly string[] }
  | undefined {
  const [name = word, ...implied] = Object.hasOwn(aliases, word) ? (aliases[word] ?? []) : [word]
  const entry = Object.hasOwn(catalog, name) ? catalog[name] : undefined
  return entry === undefined ? undefined : { name, entry, implied }
}
