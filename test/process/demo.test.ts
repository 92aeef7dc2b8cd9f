/** The demonstration on a smaller tree: every step of the main job, through the `dfs` command. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../support/foreign-program.ts'
import { repositoryRoot } from '../support/repository.ts'

const demo = join(dirname(fileURLToPath(import.meta.url)), '../../ops/demo.js')
const tree = join(repositoryRoot, 'node_modules/@typescript-eslint')
const quick = ['--set', 'dfs.namenode.dead.datanode.interval=4000']

t.test('a real tree survives a lost datanode, a lost namenode and a corrupt replica', async (t) => {
  t.setTimeout(240_000)
  const options = ['--tree', tree, '--big-bytes', String(30_000_000), ...quick]
  const { status, stdout, stderr } = await run(process.execPath, [demo, ...options])
  for (const line of stdout.trim().split('\n')) t.comment(line)
  t.equal(status, 0, stderr)
  t.match(stdout, /^4\. fsck finds three live replicas of every block/m)
  t.match(stdout, /^5\. kill -9 of the namenode; started again/m)
  t.match(stdout, /^6\. flipped a byte .* never served/m)
  t.match(stdout, /^7\. \d+ files, \d+ bytes: all equal to their sources/m)
})
