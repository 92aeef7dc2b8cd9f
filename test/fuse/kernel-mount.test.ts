/** The mount through the kernel's own protocol, used by ordinary programs. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startCluster } from '../support/cluster.ts'
import { run } from '../support/foreign-program.ts'
import { driverObstacle, mountCluster } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

const skip = driverObstacle('kernel')
const dfsEntry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')

t.test('what only the kernel driver does', { skip }, async (t) => {
  const { cluster, shell } = await mountCluster(t, 'kernel')

  t.test('inode numbers stay through rewriting and renaming', async (t) => {
    await shell('echo 1 > i')
    const before = await shell('stat -c %i i')
    await shell('echo 2 > i; mv i j')
    t.equal(await shell('stat -c %i j'), before)
  })

  t.test('what is made belongs to who makes it, and rights hold', async (t) => {
    await shell('mkdir -m 777 open; mkdir -m 700 closed')
    const nobody = (script: string): Promise<string> =>
      shell(`setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c '${script}'`)
    await nobody('echo mine > open/file')
    t.equal(await shell('stat -c %U open/file'), 'nobody\n')
    t.match(await nobody('ls closed 2>&1 || true'), /Permission denied/)
    const client = cluster.client()
    t.equal((await client.stat('/open/file')).owner, 'nobody', 'in the cluster too')
    await client.close()
  })

  t.test('links and special files are refused', async (t) => {
    t.match(await shell('ln -s a link 2>&1 || true'), /not permitted/)
    t.match(await shell('mkfifo pipe 2>&1 || true'), /not permitted/)
  })
})

t.test(
  'a mount point that a killed mount left behind is repaired, and SIGTERM unmounts',
  { skip },
  async (t) => {
    const cluster = await startCluster({ datanodes: 1 })
    const directory = mkdtempSync(join(tmpdir(), 'trefoil-stale-'))
    t.teardown(async () => {
      await cluster.stop()
      rmSync(directory, { recursive: true })
    })
    const start = async (): Promise<{
      stderr: string
      end: (signal: NodeJS.Signals) => Promise<number | null>
    }> => {
      const child = spawn(process.execPath, [dfsEntry, 'mount', '--fs', cluster.uri, directory], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let stderr = ''
      await new Promise<void>((resolve, reject) => {
        child.stderr.on('data', (chunk: Buffer) => {
          stderr += chunk.toString()
          if (stderr.includes('serving on')) resolve()
        })
        child.once('exit', () => {
          reject(new Error(stderr))
        })
      })
      child.removeAllListeners('exit')
      const end = (signal: NodeJS.Signals): Promise<number | null> =>
        new Promise((resolve) => {
          child.once('exit', resolve)
          child.kill(signal)
        })
      return { stderr, end }
    }
    const first = await start()
    t.match(first.stderr, /driver kernel/, 'it says which driver it took')
    t.equal((await run('sh', ['-c', `echo kept > ${directory}/file`])).status, 0)
    await first.end('SIGKILL')
    t.not((await run('ls', [directory])).status, 0, 'the mount point is dead')
    const second = await start()
    t.equal((await run('cat', [join(directory, 'file')])).stdout, 'kept\n')
    t.equal(await second.end('SIGTERM'), 0)
    t.equal((await run('ls', ['-A', directory])).stdout, '', 'nothing is mounted any more')
  },
)
