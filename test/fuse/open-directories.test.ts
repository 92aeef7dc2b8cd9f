/** Listings read by index, without keeping them. */
import t from 'tap'
import { InodeStatus } from '../../client/index.ts'
import { type DirectorySource, OpenDirectories } from '../../fuse/open-directories.ts'

const nameOf = (index: number): string => String(index).padStart(7, '0')

/** A directory of `count` entries; `asked` gets the name that each listing begins behind. */
function directory(
  count: number,
  asked: (string | undefined)[],
  onClose = (): void => undefined,
): DirectorySource {
  const status = (index: number): InodeStatus =>
    new InodeStatus(`/${nameOf(index)}`, {
      ...{ kind: 'file', mode: 0o644, nlink: 1, mtime: 0, atime: 0, ctime: 0 },
      fs: {
        fileType: 'IS_FILE',
        length: index,
        permission: { perm: 0o644 },
        owner: 'o',
        group: 'g',
        ...{
          path: Buffer.from(nameOf(index)),
          modification_time: 0,
          access_time: 0,
          fileId: index,
        },
        ...{ block_replication: 1, blocksize: 1024, childrenNum: 0 },
      },
    } as unknown as ConstructorParameters<typeof InodeStatus>[1])
  return {
    async *list(after) {
      asked.push(after)
      await Promise.resolve()
      for (let index = after === undefined ? 0 : Number(after) + 1; index < count; index += 1)
        yield status(index)
    },
    close: onClose,
  }
}

t.test('entries come in order, each again, and from anywhere', async (t) => {
  const asked: (string | undefined)[] = []
  const directories = new OpenDirectories()
  const handle = directories.open(directory(10_000, asked))
  const sizeAt = async (index: number): Promise<number | undefined> =>
    (await directories.entry(handle, index))?.size
  for (let index = 0; index < 10_000; index += 1) {
    if ((await sizeAt(index)) !== index) t.fail(`entry ${index}`)
  }
  t.equal(await sizeAt(10_000), undefined)
  t.equal(await sizeAt(9_999), 9_999)
  t.equal(await sizeAt(9_000), 9_000)
  t.same(asked, [undefined], 'one listing so far')
  for (const index of [3_000, 2_999, 1_023, 1_024, 0, 7_777]) t.equal(await sizeAt(index), index)
  t.same(asked, [undefined, nameOf(2_047), undefined], 'it goes on near by')
  directories.rewind(handle)
  t.equal(await sizeAt(0), 0)
  t.equal(asked.at(-1), undefined, 'from the start everything is asked for anew')
})

t.test('handles end', async (t) => {
  let closed = 0
  const directories = new OpenDirectories()
  const handle = directories.open(
    directory(1, [], () => {
      closed += 1
    }),
  )
  directories.release(handle)
  directories.release(handle)
  t.equal(closed, 1)
  t.throws(() => directories.entry(handle, 0), { code: 'EBADF' })
  t.throws(
    () => {
      directories.rewind(handle)
    },
    { code: 'EBADF' },
  )
})

t.test('what a listing fails with is told, and the next entry is tried again', async (t) => {
  const directories = new OpenDirectories()
  const failing: DirectorySource = {
    list: () => ({ next: () => Promise.reject(new Error('away')) }),
    close: () => undefined,
  }
  const handle = directories.open(failing)
  await t.rejects(Promise.resolve(directories.entry(handle, 0)), { message: 'away' })
  await t.rejects(Promise.resolve(directories.entry(handle, 0)), { message: 'away' })
})
