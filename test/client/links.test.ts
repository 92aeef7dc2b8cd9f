/** Symbolic and hard links through the SDK and the shell, on a real cluster. */
import t from 'tap'
import { startCluster } from '../support/cluster.ts'
import { runCommand } from '../support/command-line.ts'

t.test('links', async (t) => {
  const cluster = await startCluster({ datanodes: 1 })
  const client = cluster.client()
  t.teardown(async () => {
    await client.close()
    await cluster.stop()
  })
  const once = { replication: 1 }
  await client.mkdir('/d/sub', { recursive: true })
  await client.writeFile('/d/sub/f', 'content', once)

  t.test('paths lead through symbolic links, and show as they were asked for', async (t) => {
    await client.symlink('sub', '/d/relative')
    await client.symlink('/d/relative', '/absolute')
    t.equal(await client.readlink('/absolute'), '/d/relative')
    t.match(await client.stat('/absolute/f'), { path: '/absolute/f', size: 7 })
    t.match(await client.lstat('/absolute'), { type: 'symlink', target: '/d/relative' })
    t.equal(await client.readFile('/absolute/f', 'utf8'), 'content')
    t.same(await client.readdir('/absolute'), ['f'])
    await client.writeFile('/absolute/g', 'through', once)
    t.equal(await client.readFile('/d/sub/g', 'utf8'), 'through')
    await client.rename('/absolute/g', '/d/relative/h')
    await client.link('/absolute/h', '/absolute/i')
    t.same(await client.readdir('/d/sub'), ['f', 'h', 'i'])
    t.match(await client.nodes.stat('/d/sub/i'), { nlink: 2 })
    await t.rejects(client.readlink('/d/sub/f'), { code: 'EINVAL' })
  })

  t.test('a link is deleted and renamed itself', async (t) => {
    await client.symlink('/d/sub', '/l')
    await client.rename('/l', '/m')
    await client.rm('/m')
    t.notOk(await client.exists('/m'))
    t.ok(await client.exists('/d/sub/f'))
    await client.symlink('/nowhere', '/broken')
    t.notOk(await client.exists('/broken'))
    await t.rejects(client.mkdir('/broken'), { code: 'EEXIST' })
    await t.rejects(client.rmdir('/broken'), { code: 'ENOTDIR' })
    await client.unlink('/broken')
  })

  t.test('links that lead to each other end with ELOOP', async (t) => {
    await client.symlink('/loop-b', '/loop-a')
    await client.symlink('/loop-a', '/loop-b')
    await t.rejects(client.stat('/loop-a'), { code: 'ELOOP', message: /more than 32/ })
    await t.rejects(client.opendir('/loop-a/x').next(), { code: 'ELOOP' })
    await client.rm('/loop-a')
    await client.rm('/loop-b')
  })

  t.test('ln makes both kinds, ls and stat show them', async (t) => {
    const dfs = async (...args: string[]): Promise<string> => {
      const result = await runCommand(cluster.client(), args)
      t.equal(result.code, 0, `${args.join(' ')} ${result.err}`)
      return result.out
    }
    await dfs('mkdir', '/ln')
    await dfs('ln', '-s', '/d/sub/f', '/ln/link')
    await dfs('ln', '-s', 'nothing', '/ln/broken')
    await dfs('ln', '/d/sub/f', '/ln')
    t.match(await dfs('ls', '/ln'), /\nl\S+ .* \/ln\/link -> \/d\/sub\/f\n/)
    t.match(await dfs('ls', '--json', '/ln'), /"target": ?"nothing"/)
    t.match(await dfs('stat', '/ln/broken'), /Leads to: {4}nothing/)
    t.equal(await dfs('cat', '/ln/link', '/ln/f'), 'contentcontent')
    await dfs('rm', '-skipTrash', '/ln/broken', '/ln/link')
    t.same(await client.readdir('/ln'), ['f'])
    const refused = await runCommand(cluster.client(), ['ln', '/d/sub', '/ln/x'])
    t.equal(refused.code, 1)
    t.match(refused.err, /one name/)
    t.equal((await runCommand(cluster.client(), ['ln', '/d'])).code, 2)
  })
})
