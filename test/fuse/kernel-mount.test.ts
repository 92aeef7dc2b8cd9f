/** The mount through the kernel's own protocol, used by ordinary programs. */
import t from 'tap'
import { driverObstacle, mountCluster } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

const skip = driverObstacle('kernel')

t.test('what only the kernel driver does', { skip }, async (t) => {
  const { cluster, shell } = await mountCluster(t, 'kernel')

  t.test('inode numbers stay through rewriting and renaming', async (t) => {
    await shell('echo 1 > i')
    const before = await shell('stat -c %i i')
    await shell('echo 2 > i; mv i j')
    t.equal(await shell('stat -c %i j'), before)
  })

  t.test('who opens a file again reads what others have changed', async (t) => {
    const client = cluster.client()
    await client.writeFile('/again', 'one')
    for (const content of ['two', 'six', 'ten']) {
      t.equal(await shell('cat again again'), (await client.readFile('/again', 'utf8')).repeat(2))
      await client.rewrite('/again', {
        ...{ length: 3, changed: [{ start: 0, end: 3 }] },
        async *content() {
          yield await Promise.resolve(Buffer.from(content))
        },
      })
      t.equal(await shell('cat again'), content)
    }
    await client.close()
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
})
