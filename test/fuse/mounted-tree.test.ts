/** The tree under the drivers, without a kernel: what it refuses, and what other clients do meanwhile. */
import { constants } from 'node:fs'
import { constants as osConstants, userInfo } from 'node:os'
import t, { type Test } from 'tap'
import type { DfsClient } from '../../client/index.ts'
import { localIdentities } from '../../fuse/identity.ts'
import { opcodes } from '../../fuse/kernel/protocol.ts'
import { KernelSession } from '../../fuse/kernel/session.ts'
import { defaultMountSettings } from '../../fuse/mount-settings.ts'
import { MountedTree } from '../../fuse/mounted-tree.ts'
import { NodeTable } from '../../fuse/node-table.ts'
import { startCluster } from '../support/cluster.ts'

t.setTimeout(120_000)

const root = 1
const { uid } = userInfo()
const who = { uid }
const at = (name: string): { parent: number; name: string } => ({ parent: root, name })
const { O_RDWR, O_RDONLY, O_WRONLY, O_EXCL, O_CREAT, O_TRUNC } = constants

async function refused(t: Test, code: string, action: Promise<unknown>): Promise<void> {
  await t.rejects(action, { code }, code)
}

t.test('a tree of a cluster', async (t) => {
  const cluster = await startCluster({ datanodes: 1 })
  const client: DfsClient = cluster.client()
  const tree = new MountedTree({ uri: cluster.uri, identities: localIdentities() })
  t.teardown(async () => {
    await tree.close()
    await client.close()
    await cluster.stop()
  })
  const make = async (name: string, content: string): Promise<{ node: number; handle: number }> => {
    const made = await tree.create(who, { parent: root, name, mode: 0o644 }, O_RDWR | O_CREAT)
    if (content !== '') await tree.write(made.handle, Buffer.from(content), 0)
    return { node: made.attributes.node, handle: made.handle }
  }

  t.test('what is written is seen here at once and by others when it is synced', async (t) => {
    const { node, handle } = await make('seen', 'abc')
    t.equal((await tree.names.getattr(who, node)).size, 3)
    t.equal((await client.stat('/seen')).size, 0)
    await tree.sync(handle)
    t.equal(await client.readFile('/seen', 'utf8'), 'abc')
    await tree.write(handle, Buffer.from('X'), 1)
    t.equal(await client.readFile('/seen', 'utf8'), 'abc', 'the old content until the next sync')
    const buffer = Buffer.alloc(10)
    t.equal(buffer.toString('utf8', 0, await tree.read(handle, buffer, 0)), 'aXc')
    await tree.release(handle)
    t.equal(await client.readFile('/seen', 'utf8'), 'aXc')
    t.equal((await tree.names.lookup(who, at('seen'))).node, node, 'its number stays')
  })

  t.test('changes of other clients while a file is open are not overwritten', async (t) => {
    const appended = await make('appended', 'abc')
    await tree.sync(appended.handle)
    await client.appendFile('/appended', 'theirs')
    await tree.write(appended.handle, Buffer.from('ours'), 3)
    await refused(t, 'EIO', tree.sync(appended.handle))
    await refused(t, 'EIO', tree.release(appended.handle))
    t.equal(await client.readFile('/appended', 'utf8'), 'abctheirs')

    const replaced = await make('replaced', 'abc')
    await tree.sync(replaced.handle)
    await tree.write(replaced.handle, Buffer.from('X'), 0)
    await client.rm('/replaced')
    await client.writeFile('/replaced', 'theirs')
    await refused(t, 'ESTALE', tree.release(replaced.handle))
    t.equal(await client.readFile('/replaced', 'utf8'), 'theirs')
  })

  t.test('the end of a long file is on its way before it is published', async (t) => {
    const mebibyte = 1024 * 1024
    /** Writes `count` MiB at the end, each filled with its number. */
    const fill = async (handle: number, model: Buffer[], count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1) {
        const piece = Buffer.alloc(mebibyte, model.length + 1)
        await tree.write(handle, piece, model.length * mebibyte)
        model.push(piece)
      }
    }
    const isSame = async (path: string, content: Buffer, what: string): Promise<void> => {
      t.ok((await client.readFile(path)).equals(content), what)
    }
    const reading = async (handle: number, length: number): Promise<Buffer> => {
      const buffer = Buffer.alloc(length)
      return buffer.subarray(0, await tree.read(handle, buffer, 0))
    }

    const plain = await make('plain', '')
    const model: Buffer[] = []
    await fill(plain.handle, model, 12)
    t.equal(model.length * mebibyte, (await tree.names.getattr(who, plain.node)).size)
    t.ok((await client.open('/plain', 'r')).size > 0, 'others see a part of it')
    t.ok((await reading(plain.handle, 20 * mebibyte)).equals(Buffer.concat(model)), 'all is here')
    await tree.sync(plain.handle)
    await isSame('/plain', Buffer.concat(model), 'published')
    await fill(plain.handle, model, 6)
    await tree.write(plain.handle, Buffer.from('middle'), 16.5 * mebibyte)
    await tree.write(plain.handle, Buffer.from('start'), 3)
    let content = Buffer.concat(model)
    content.write('middle', 16.5 * mebibyte)
    content.write('start', 3)
    t.ok((await reading(plain.handle, 20 * mebibyte)).equals(content), 'changed before the end')
    await tree.write(plain.handle, Buffer.from('far'), 20 * mebibyte)
    content = Buffer.concat([content, Buffer.alloc(2 * mebibyte), Buffer.from('far')])
    await tree.release(plain.handle)
    await isSame('/plain', content, 'with changes and a hole')

    const cut = await make('cut', '')
    await fill(cut.handle, [], 7)
    await tree.setattr(who, cut.node, { size: mebibyte + 1 })
    await tree.write(cut.handle, Buffer.from('!'), 2 * mebibyte)
    await tree.release(cut.handle)
    const zeros = Buffer.alloc(mebibyte - 1)
    const parts = [Buffer.alloc(mebibyte, 1), Buffer.from([2]), zeros, Buffer.from('!')]
    await isSame('/cut', Buffer.concat(parts), 'cut while it was sent')

    const broken = await make('broken', '')
    const kept: Buffer[] = []
    await fill(broken.handle, kept, 6)
    await client.recoverLease('/broken', { wait: true })
    await fill(broken.handle, kept, 6)
    await tree.release(broken.handle)
    await isSame('/broken', Buffer.concat(kept), 'sent anew where sending broke off')

    const gone = await make('gone-early', '')
    const last: Buffer[] = []
    await fill(gone.handle, last, 6)
    await tree.names.unlink(who, at('gone-early'))
    await fill(gone.handle, last, 5)
    t.ok((await reading(gone.handle, 20 * mebibyte)).equals(Buffer.concat(last)), 'without a name')
    await tree.release(gone.handle)

    const many = await Promise.all(Array.from({ length: 10 }, (_, index) => make(`m${index}`, '')))
    await Promise.all(many.map(({ handle }) => fill(handle, [], 5)))
    await Promise.all(many.map(({ handle }) => tree.release(handle)))
    for (const index of many.keys()) t.equal((await client.stat(`/m${index}`)).size, 5 * mebibyte)
  })

  t.test('the kernel keeps its pages only of content that is the same', async (t) => {
    const { node, handle } = await make('pages', 'abc')
    await tree.release(handle)
    const keeps = async (path = node): Promise<boolean> => {
      const reading = await tree.open(who, path, O_RDONLY)
      const isKept = await tree.keepsPages(reading)
      await tree.release(reading)
      return isKept
    }
    t.equal(await keeps(), false, 'nothing is known of what was written')
    t.equal(await keeps(), true)
    await client.appendFile('/pages', 'd')
    t.equal(await keeps(), false, 'others have appended')
    t.equal(await keeps(), true)
    const length = (await client.stat('/pages')).size
    await client.rewrite('/pages', {
      ...{ length, changed: [{ start: 0, end: 1 }] },
      async *content() {
        yield await Promise.resolve(Buffer.from('A'))
      },
    })
    t.equal(await keeps(), false, 'others have changed it, and not its length')

    const writing = await tree.open(who, node, O_RDWR)
    await tree.write(writing, Buffer.from('x'), 0)
    t.equal(await keeps(), false, 'what is written is not in the cluster')
    await tree.release(writing)
    t.equal(await keeps(), false, 'it was written here')

    const early = await tree.open(who, node, O_RDONLY)
    t.equal(await tree.keepsPages(early), true)
    await client.appendFile('/pages', 'e')
    t.equal(await keeps(), false)
    t.equal(await keeps(), false, 'who opened it before may have read the old pages since')
    const buffer = Buffer.alloc(10)
    t.equal(buffer.toString('utf8', 0, await tree.read(early, buffer, 0)), 'xbcde')
    await tree.release(early)

    const open = await client.open('/growing', 'w')
    await open.write(Buffer.from('abc'))
    await open.flush()
    const { node: growing } = await tree.names.lookup(who, at('growing'))
    t.equal(await keeps(growing), false)
    t.equal(await keeps(growing), false, 'it is still being written')
    await open.close()
    await client.rm('/growing')
    const lost = await tree.open(who, growing, O_RDONLY)
    t.equal(await tree.keepsPages(lost), false, 'it is gone')
    await refused(t, 'ENOENT', tree.read(lost, Buffer.alloc(1), 0))
    await tree.release(lost)
  })

  t.test('making a file takes one call, and the first write no further one', async (t) => {
    const calls = async (): Promise<Record<string, number>> => {
      const url = `http://${cluster.host}:${cluster.httpPort}/metrics`
      const text = await (await fetch(url)).text()
      const lines = text.matchAll(/^trefoil_namenode_rpc_seconds_count\{method="(\w+)"\} (\d+)$/gm)
      const all = Object.fromEntries([...lines].map(([, method = '', count]) => [method, count]))
      const methods = ['makeNode', 'getNode', 'getFileInfo', 'setAttributes']
      return Object.fromEntries(methods.map((method) => [method, Number(all[method] ?? 0)]))
    }
    const before = await calls()
    const flags = O_WRONLY | O_CREAT | O_TRUNC
    const { handle } = await tree.create(who, { ...at('quick'), mode: 0o644 }, flags)
    await tree.write(handle, Buffer.from('abc'), 0)
    const after = await calls()
    t.strictSame(after, { ...before, makeNode: (before['makeNode'] ?? 0) + 1 })
    await tree.release(handle)
    t.equal(await client.readFile('/quick', 'utf8'), 'abc')
    const again = await tree.create(who, { ...at('quick'), mode: 0o644 }, flags)
    await tree.release(again.handle)
    t.equal((await client.stat('/quick')).size, 0, 'one that was there is cut')
  })

  t.test('a file made a while ago may have been written by others since', async (t) => {
    const impatient = new MountedTree({
      ...{ uri: cluster.uri, identities: localIdentities(), attributesMs: 0 },
    })
    const { handle } = await impatient.create(who, { ...at('log'), mode: 0o644 }, O_RDWR | O_CREAT)
    await client.appendFile('/log', 'theirs ')
    await impatient.write(handle, Buffer.from('ours'), 7)
    await impatient.release(handle)
    await impatient.close()
    t.equal(await client.readFile('/log', 'utf8'), 'theirs ours')
  })

  t.test('names that exist, and kinds that differ', async (t) => {
    const { handle } = await make('one', '1')
    await tree.release(handle)
    await tree.names.make(who, at('directory'), { kind: 'directory', mode: 0o755 })
    await refused(t, 'EEXIST', tree.create(who, { ...at('one'), mode: 0o644 }, O_RDWR | O_EXCL))
    await refused(
      t,
      'EEXIST',
      tree.names.make(who, at('directory'), { kind: 'directory', mode: 0o755 }),
    )
    const pipe = await tree.names.make(who, at('pipe'), { kind: 'fifo', mode: 0o644 })
    t.equal(pipe.mode, constants.S_IFIFO | 0o644)
    await refused(t, 'EISDIR', tree.names.rename(who, at('one'), at('directory'), 'replace'))
    await refused(t, 'ENOTDIR', tree.names.rename(who, at('directory'), at('one'), 'replace'))
    await refused(t, 'EEXIST', tree.names.rename(who, at('one'), at('directory'), 'no-replace'))
    await refused(t, 'ENOENT', tree.names.rename(who, at('none'), at('one'), 'replace'))
    await refused(t, 'ENOENT', tree.names.lookup(who, at('none')))
  })

  t.test('a file without a name keeps its content, whatever becomes of the removal', async (t) => {
    const { node, handle } = await make('gone', 'abc')
    await tree.names.unlink(who, at('gone'))
    t.equal((await tree.names.getattr(who, node)).nlink, 0)
    const buffer = Buffer.alloc(3)
    t.equal(await tree.read(handle, buffer, 0), 3)
    t.equal(buffer.toString(), 'abc')
    await tree.sync(handle)
    await tree.release(handle)
    t.notOk(await client.exists('/gone'))
    await refused(t, 'ENOENT', tree.names.unlink(who, at('gone')))
  })

  t.test(
    'who made a file read-only may still write it through the handle he made it with',
    async (t) => {
      await client.mkdir('/shared', { mode: 0o777 })
      await client.chmod('/shared', 0o777)
      const theirs = new MountedTree({
        ...{ uri: cluster.uri, identities: localIdentities() },
        ...{ user: 'alice', isForOneUser: true },
      })
      try {
        const { node: parent } = await theirs.names.lookup(who, at('shared'))
        const entry = { parent, name: 'object', mode: 0o444 }
        const { handle } = await theirs.create(who, entry, O_RDWR | O_CREAT)
        await theirs.write(handle, Buffer.from('abc'), 0)
        await theirs.release(handle)
        t.equal(await client.readFile('/shared/object', 'utf8'), 'abc')
        const { owner, mode } = await client.stat('/shared/object')
        t.match({ owner, mode }, { owner: 'alice', mode: 0o444 })
      } finally {
        await theirs.close()
      }
    },
  )

  t.test('numbers that nobody was given', async (t) => {
    await refused(t, 'ESTALE', tree.names.getattr(who, 99_999))
    t.throws(() => tree.read(99_999, Buffer.alloc(1), 0), { code: 'EBADF' })
    const { node, handle } = await make('forgotten', '')
    await tree.release(handle)
    tree.forget(node, 1)
    await refused(t, 'ESTALE', tree.open(who, node, O_RDONLY))
  })

  t.test('requests that are bad or unknown are answered with their errno', async (t) => {
    const session = new KernelSession(tree, defaultMountSettings)
    const answer = async (opcode: number, body: Buffer): Promise<number | undefined> => {
      const request = Buffer.alloc(40 + body.length)
      request.writeUInt32LE(request.length, 0)
      request.writeUInt32LE(opcode, 4)
      request.writeBigUInt64LE(1n, 16)
      body.copy(request, 40)
      return new Promise((resolve) => {
        void session.handle(request, (reply) => {
          resolve(reply[0]?.readInt32LE(4))
        })
      })
    }
    const { errno } = osConstants
    t.equal(await answer(opcodes.lookup, Buffer.from('none\0')), -errno.ENOENT)
    t.equal(await answer(opcodes.lookup, Buffer.from('no end')), -errno.EINVAL)
    t.equal(await answer(4_711, Buffer.alloc(8)), -errno.ENOSYS)
    const none = Buffer.concat([Buffer.alloc(8), Buffer.from('a\0')])
    t.equal(await answer(opcodes.link, none), -errno.ESTALE)
    const odd = Buffer.concat([Buffer.from([0, 0xf0, 0, 0]), Buffer.alloc(12), Buffer.from('a\0')])
    t.equal(await answer(opcodes.mknod, odd), -errno.EINVAL, 'of no kind')
    t.equal(await answer(opcodes.init, Buffer.alloc(64)), -errno.EPROTO, 'version 0')
    const fail = (): void => {
      t.fail('there is nobody to answer')
    }
    await session.handle(Buffer.alloc(3), fail)
    const interrupt = Buffer.alloc(48)
    interrupt.writeUInt32LE(48, 0)
    interrupt.writeUInt32LE(opcodes.interrupt, 4)
    await session.handle(interrupt, fail)
    const unknownFlags = Buffer.concat([
      Buffer.alloc(8),
      Buffer.from([8, 0, 0, 0, 0, 0, 0, 0]),
      Buffer.from('a\0b\0'),
    ])
    t.equal(await answer(opcodes.rename2, unknownFlags), -errno.EINVAL)
  })
})

t.test('the table of nodes forgets what the kernel forgets', async (t) => {
  const nodes = new NodeTable()
  const node = nodes.remember(20, root, 'a')
  nodes.remember(20, root, 'b')
  t.equal(nodes.named(root, 'a'), undefined, 'it was renamed by somebody')
  t.equal(nodes.pathOf(20), '/.reserved/.inodes/20')
  nodes.forget(20, 1)
  t.equal(nodes.named(root, 'b'), node)
  nodes.forget(20, 1)
  t.equal(nodes.size, 1)
  nodes.forget(root, 99)
  t.equal(nodes.pathOf(root), '/', 'the root stays')
})
