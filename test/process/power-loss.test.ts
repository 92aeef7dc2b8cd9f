/** Directories that the daemons make on a disk of their own survive a loss of power right afterwards. Needs root, for a mount. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeDirectoryDurably as makeForDatanode } from '../../datanode/shell/files.ts'
import { makeDirectoryDurably as makeForNamenode } from '../../namenode/shell/durable-directory.ts'
import { Disk } from './chaos/disks.ts'
import { HostResources } from './chaos/host.ts'

const isRoot = process.getuid?.() === 0
/** Draws that keep nothing of what is not synced. */
const unluckySeed = 3

t.test(
  'a directory made durably is there after a loss of power',
  { skip: isRoot ? false : 'a mount needs root' },
  async (t) => {
    const resources = new HostResources()
    t.teardown(() => resources.release(false))
    const disk = new Disk(resources, 'disk', 'volatile')
    await disk.start()
    mkdirSync(join(disk.path, 'hasty/state'), { recursive: true })
    await makeForNamenode(join(disk.path, 'namenode/state/journal'))
    await makeForDatanode(join(disk.path, 'datanode/data/current'))
    // Made and not synced by a process that was killed; the next one finds it there.
    mkdirSync(join(disk.path, 'killed'))
    await makeForNamenode(join(disk.path, 'killed'))
    mkdirSync(join(disk.path, 'late'))
    await disk.losePower(unluckySeed)
    disk.unmount()
    await disk.start()
    t.ok(existsSync(join(disk.path, 'namenode/state/journal')))
    t.ok(existsSync(join(disk.path, 'datanode/data/current')))
    t.ok(existsSync(join(disk.path, 'killed')))
    t.notOk(existsSync(join(disk.path, 'late')), 'the disk does lose what is not synced')
  },
)
