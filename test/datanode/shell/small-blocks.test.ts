import { constants } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type FileSystem, openFile, systemFiles } from '../../../datanode/shell/files.ts'
import { blockId } from '../../../protocol/ids.ts'
import {
  DataConnection,
  patternBytes,
  startDataServer,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

type Counts = Partial<Record<keyof FileSystem, number>>

/** Real files, and how often each operation was called. */
function countedFiles(): { readonly files: FileSystem; counts: Counts } {
  const counted: { files: FileSystem; counts: Counts } = { files: systemFiles, counts: {} }
  const count = (operation: keyof FileSystem): void => {
    counted.counts[operation] = (counted.counts[operation] ?? 0) + 1
  }
  counted.files = {
    ...systemFiles,
    openFile(path, flags) {
      // Directories are opened once, for the syncs of all their blocks.
      if ((flags & constants.O_DIRECTORY) === 0) count('openFile')
      return openFile(path, flags)
    },
    closeFile(descriptor) {
      count('closeFile')
      return systemFiles.closeFile(descriptor)
    },
    closeSmallFile(descriptor) {
      count('closeSmallFile')
      systemFiles.closeSmallFile(descriptor)
    },
    readAt(descriptor, target, position) {
      count('readAt')
      return systemFiles.readAt(descriptor, target, position)
    },
    writeAt(descriptor, bytes, position) {
      count('writeAt')
      return systemFiles.writeAt(descriptor, bytes, position)
    },
    syncFileData(descriptor) {
      count('syncFileData')
      return systemFiles.syncFileData(descriptor)
    },
    renameFile(source, target) {
      count('renameFile')
      return systemFiles.renameFile(source, target)
    },
  }
  return counted
}

const forSmall = { openFile: 2, writeAt: 2, syncFileData: 2, renameFile: 2, closeSmallFile: 2 }

t.test('a block that arrives in one piece takes ten file operations on each node', async (t) => {
  const disks = [countedFiles(), countedFiles()]
  const root = t.testdir()
  const [first, second] = await Promise.all(
    disks.map(({ files }, index) => startDataServer([join(root, `dn${index}`)], {}, { files })),
  )
  if (first === undefined || second === undefined) throw new Error('two datanodes')
  t.teardown(() => Promise.all([first.close(), second.close()]))
  const data = patternBytes(4096)
  for (const id of [1, 2]) {
    for (const disk of disks) disk.counts = {}
    const client = new DataConnection(first.server.port)
    client.startWrite({ blockId: id, targets: [second.info] })
    t.match(await client.response(), { status: 'SUCCESS' })
    client.socket.cork()
    client.sendPacket({ seqno: 0, offset: 0, data })
    client.sendPacket({ seqno: 1, offset: data.length, last: true })
    client.socket.uncork()
    t.match(await client.ack(), { seqno: 0, reply: ['SUCCESS', 'SUCCESS'] })
    t.match(await client.ack(), { seqno: 1, reply: ['SUCCESS', 'SUCCESS'] })
    client.close()
    for (const [index, { store }] of [first, second].entries()) {
      t.match(store.find(blockId(id)), { state: 'finalized', length: data.length })
      t.same(disks[index]?.counts, forSmall)
    }
  }
  await first.close()
  await second.close()
  for (const index of disks.keys()) {
    const again = await startDataServer([join(root, `dn${index}`)])
    const reader = new DataConnection(again.server.port)
    t.ok((await reader.read({ blockId: 1, length: data.length })).data.equals(data))
    t.type(again.store.find(blockId(1))?.digest, 'bigint', 'its digest is on disk')
    reader.close()
    await again.close()
  }
})

t.test('a small block is read with six file operations', async (t) => {
  const disk = countedFiles()
  const server = await startDataServer([join(t.testdir(), 'data')], {}, { files: disk.files })
  t.teardown(() => server.close())
  const data = patternBytes(4096)
  await writeWholeBlock([server], { blockId: 1, data })
  disk.counts = {}
  const reader = new DataConnection(server.server.port)
  t.ok((await reader.read({ blockId: 1, length: data.length })).data.equals(data))
  reader.close()
  t.same(disk.counts, { openFile: 2, readAt: 2, closeSmallFile: 2 })
})

t.test('files of a large block are closed on another thread', async (t) => {
  const disk = countedFiles()
  const server = await startDataServer([join(t.testdir(), 'data')], {}, { files: disk.files })
  t.teardown(() => server.close())
  disk.counts = {}
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(2 * 1024 * 1024) })
  await server.close()
  t.ok((disk.counts.closeFile ?? 0) >= 2)
  t.equal(disk.counts.closeSmallFile, undefined)
})
