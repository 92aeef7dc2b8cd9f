/** The disk of the chaos runs loses exactly what was not synced. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Prng } from '../../base/prng.ts'
import { rootInode, VolatileTree } from './chaos/volatile-tree.ts'

const fileMode = 0o100644
const directoryMode = 0o040755

function newTree(t: Test): { tree: VolatileTree; below: string } {
  const below = join(t.testdir({}), 'below')
  return { tree: new VolatileTree(below), below }
}

/** A generator whose draws keep nothing that need not be kept. */
function unlucky(): Prng {
  const prng = new Prng(1)
  prng.below = () => 0
  prng.chance = () => false
  return prng
}

/** One whose draws keep all they may. */
function lucky(): Prng {
  const prng = new Prng(1)
  prng.below = (limit) => limit - 1
  prng.chance = (numerator) => numerator === 2
  return prng
}

function read(tree: VolatileTree, directory: number, name: string): string | undefined {
  const node = tree.lookUp(directory, name)
  return node === undefined ? undefined : tree.read(node.inode, 0, 1_000_000).toString()
}

t.test('synced bytes under a synced name survive', async (t) => {
  const { tree, below } = newTree(t)
  const { inode } = tree.add(rootInode, 'file', fileMode, false)
  tree.write(inode, 0, Buffer.from('safe'))
  tree.syncFile(inode)
  tree.syncDirectory(rootInode)
  tree.write(inode, 4, Buffer.from(', not safe'))
  t.equal(read(tree, rootInode, 'file'), 'safe, not safe', 'all is visible at once')
  tree.losePower(unlucky())
  t.equal(read(new VolatileTree(below), rootInode, 'file'), 'safe')
})

t.test('bytes without a synced name, and a name without synced bytes, are of no use', async (t) => {
  const { tree, below } = newTree(t)
  const nameless = tree.add(rootInode, 'nameless', fileMode, false)
  tree.write(nameless.inode, 0, Buffer.from('bytes'))
  tree.syncFile(nameless.inode)
  tree.losePower(unlucky())
  t.equal(read(new VolatileTree(below), rootInode, 'nameless'), undefined)

  const other = newTree(t)
  const empty = other.tree.add(rootInode, 'empty', fileMode, false)
  other.tree.write(empty.inode, 0, Buffer.from('bytes'))
  other.tree.syncDirectory(rootInode)
  other.tree.losePower(unlucky())
  t.equal(read(new VolatileTree(other.below), rootInode, 'empty'), '')
})

t.test('a directory may be lost with all the synced names in it', async (t) => {
  const { tree, below } = newTree(t)
  const directory = tree.add(rootInode, 'directory', directoryMode, true)
  const file = tree.add(directory.inode, 'file', fileMode, false)
  tree.syncFile(file.inode)
  tree.syncDirectory(directory.inode)
  tree.losePower(unlucky())
  t.equal(new VolatileTree(below).lookUp(rootInode, 'directory'), undefined)
})

t.test('names that became safe before the name of their directory are there with it', async (t) => {
  const { tree, below } = newTree(t)
  const directory = tree.add(rootInode, 'directory', directoryMode, true)
  const file = tree.add(directory.inode, 'file', fileMode, false)
  tree.write(file.inode, 0, Buffer.from('bytes'))
  tree.syncFile(file.inode)
  tree.syncDirectory(directory.inode)
  tree.syncDirectory(rootInode)
  tree.losePower(unlucky())
  const again = new VolatileTree(below)
  t.equal(read(again, again.lookUp(rootInode, 'directory')?.inode ?? 0, 'file'), 'bytes')
})

t.test('a rename that replaces a file leaves the old one or the new one', async (t) => {
  for (const prng of [unlucky(), lucky()]) {
    const { tree, below } = newTree(t)
    for (const name of ['old', 'new']) {
      const { inode } = tree.add(rootInode, name, fileMode, false)
      tree.write(inode, 0, Buffer.from(name))
      tree.syncFile(inode)
    }
    tree.syncDirectory(rootInode)
    tree.rename(rootInode, 'new', rootInode, 'old')
    t.equal(read(tree, rootInode, 'old'), 'new')
    const isLucky = prng.chance(2, 3)
    tree.losePower(prng)
    const again = new VolatileTree(below)
    t.equal(read(again, rootInode, 'old'), isLucky ? 'new' : 'old')
    t.equal(read(again, rootInode, 'new'), isLucky ? undefined : 'new')
  }
})

t.test('a truncation is visible at once and undone with the power', async (t) => {
  const { tree, below } = newTree(t)
  const { inode } = tree.add(rootInode, 'file', fileMode, false)
  tree.write(inode, 0, Buffer.from('0123456789'))
  tree.syncFile(inode)
  tree.syncDirectory(rootInode)
  tree.truncate(inode, 4)
  tree.truncate(inode, 6)
  t.equal(read(tree, rootInode, 'file'), '0123\0\0', 'what grows again is zeros')
  tree.losePower(unlucky())
  const again = new VolatileTree(below)
  t.equal(read(again, rootInode, 'file'), '0123456789')
  again.truncate(inode, 4)
  again.syncFile(inode)
  again.losePower(unlucky())
  t.equal(read(new VolatileTree(below), rootInode, 'file'), '0123')
})

t.test('pages that were not synced may survive one by one', async (t) => {
  const { tree, below } = newTree(t)
  const { inode } = tree.add(rootInode, 'file', fileMode, false)
  tree.write(inode, 0, Buffer.alloc(64 * 4096, 'x'))
  tree.syncDirectory(rootInode)
  const prng = new Prng(7)
  const chance = prng.chance.bind(prng)
  prng.chance = (numerator, denominator) => denominator === 3 || chance(numerator, denominator)
  tree.losePower(prng)
  const content = read(new VolatileTree(below), rootInode, 'file') ?? ''
  t.ok(content.length > 0 && content.length % 4096 === 0)
})

t.test(
  'a file without a name can be read while it is open, and is gone after the last use',
  async (t) => {
    const { tree } = newTree(t)
    const { inode } = tree.add(rootInode, 'file', fileMode, false)
    tree.write(inode, 0, Buffer.from('bytes'))
    tree.syncFile(inode)
    tree.open(inode)
    tree.remove(rootInode, 'file', false)
    tree.syncDirectory(rootInode)
    t.equal(tree.read(inode, 0, 10).toString(), 'bytes')
    tree.release(inode)
    t.throws(() => tree.file(inode), { code: 'ENOENT' })
  },
)

t.test('a second name keeps the bytes when the first goes', async (t) => {
  const { tree, below } = newTree(t)
  const { inode } = tree.add(rootInode, 'first', fileMode, false)
  tree.write(inode, 0, Buffer.from('bytes'))
  tree.syncFile(inode)
  tree.link(inode, rootInode, 'second')
  tree.remove(rootInode, 'first', false)
  tree.syncDirectory(rootInode)
  tree.losePower(unlucky())
  const again = new VolatileTree(below)
  t.equal(read(again, rootInode, 'second'), 'bytes')
  t.equal(read(again, rootInode, 'first'), undefined)
})

t.test('old changes become safe by themselves', async (t) => {
  const { tree, below } = newTree(t)
  const { inode } = tree.add(rootInode, 'file', fileMode, false)
  tree.write(inode, 0, Buffer.from('bytes'))
  tree.writeBackOlderThan(5_000, 30_000, Date.now() + 60_000)
  tree.losePower(unlucky())
  t.equal(read(new VolatileTree(below), rootInode, 'file'), 'bytes')
})

t.test('bad uses get the errors of a file system', async (t) => {
  const { tree } = newTree(t)
  const directory = tree.add(rootInode, 'directory', directoryMode, true)
  tree.add(directory.inode, 'file', fileMode, false)
  t.throws(() => tree.add(rootInode, 'directory', fileMode, false), { code: 'EEXIST' })
  t.throws(() => tree.remove(rootInode, 'directory', true), { code: 'ENOTEMPTY' })
  t.throws(() => tree.remove(rootInode, 'directory', false), { code: 'EISDIR' })
  t.throws(() => tree.remove(rootInode, 'none', false), { code: 'ENOENT' })
  t.throws(() => tree.write(directory.inode, 0, Buffer.alloc(1)), { code: 'EISDIR' })
})
