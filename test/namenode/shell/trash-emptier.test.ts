import t from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { TrashEmptier } from '../../../namenode/shell/trash-emptier.ts'
import {
  checkpointName,
  checkpointTime,
  parseStamped,
  planTrash,
  trashRootOf,
} from '../../../protocol/trash.ts'
import { create, mkdirs, NamenodeWorld } from '../../support/namenode-world.ts'

const minute = 60_000
const hour = 60 * minute
const noon = Date.UTC(2026, 10, 25, 12, 0, 0)

t.test('checkpointName() is the local time, and checkpointTime() reads it back', async (t) => {
  t.equal(checkpointName(noon, 0), '261125120000')
  t.equal(checkpointName(noon, 90), '261125133000')
  t.equal(checkpointTime('261125133000', 90), noon)
  t.equal(checkpointTime('261125120000-7', 0), noon)
  for (const name of ['Current', '2611251200', '261325120000', '260230120000', '26112512000x']) {
    t.equal(checkpointTime(name, 0), undefined, name)
  }
  t.same(parseStamped('a.csv1764072000000'), { name: 'a.csv', deletedMs: 1_764_072_000_000 })
  t.equal(parseStamped('a.csv'), undefined)
  t.equal(parseStamped('1764072000000'), undefined, 'a name of digits alone is a name')
})

t.test('planTrash() expires old checkpoints and keeps names apart', async (t) => {
  const times = { wallMs: noon, utcOffsetMinutes: 0, intervalMs: 24 * hour }
  t.same(planTrash([], times), { expired: [], checkpoint: undefined })
  t.same(planTrash(['261124120000', '261124120001', 'mine', 'Current'], times), {
    expired: ['261124120000'],
    checkpoint: '261125120000',
  })
  t.equal(planTrash(['Current', '261125120000'], times).checkpoint, '261125120000-1')
})

t.test('the emptier gives every deleted file its time, then it is gone', async (t) => {
  const world = new NamenodeWorld()
  const namenode = await world.start()
  const current = `${trashRootOf('alice')}/Current`
  await world.run(mkdirs(`${current}/data`))
  await world.run(mkdirs('/user/alice/.Trash/mine'))
  await world.run(mkdirs('/user/bob'))
  await world.run(create('/user/file'))
  const options = { namenode, clock: world.time, timers: world.time, logger: silentLogger }
  const emptier = new TrashEmptier({ ...options, intervalMinutes: 2, checkpointMinutes: 1 })
  emptier.start()
  const entries = async (): Promise<string[]> => {
    const request = { startAfter: '', needLocation: false, limit: 100 } as const
    const path = trashRootOf('alice')
    const listing = await world.run({ kind: 'getListing', path, ...request })
    return (listing?.entries ?? []).map(({ name }) => name)
  }
  await world.time.advance(minute)
  const [checkpoint, ...others] = await entries()
  t.match(checkpoint, /^\d{12}$/, 'Current became a checkpoint')
  t.same(others, ['mine'], 'what the trash did not make stays')
  await world.time.advance(minute)
  t.same(await entries(), [checkpoint, 'mine'], 'it is kept for its two minutes')
  await world.time.advance(minute)
  t.same(await entries(), ['mine'], 'and then deleted')
  emptier.stop()
  await world.run(mkdirs(`${current}/more`))
  await world.time.advance(5 * minute)
  t.same(await entries(), ['Current', 'mine'], 'a stopped emptier comes no more')
})

t.test('the emptier outlives safe mode, and is off when the trash is', async (t) => {
  const world = new NamenodeWorld()
  const namenode = await world.start()
  const path = `${trashRootOf('alice')}/Current`
  await world.run(mkdirs(path))
  const options = { namenode, clock: world.time, timers: world.time, logger: silentLogger }
  new TrashEmptier({ ...options, intervalMinutes: 0, checkpointMinutes: 1 }).start()
  await world.time.advance(3 * minute)
  t.ok(await world.run({ kind: 'getFileInfo', path }))
  const emptier = new TrashEmptier({ ...options, intervalMinutes: 1, checkpointMinutes: 0 })
  emptier.start()
  namenode.blocks.setSafeMode('enter')
  await world.time.advance(minute)
  t.ok(await world.run({ kind: 'getFileInfo', path }), 'nothing changes in safe mode')
  namenode.blocks.setSafeMode('leave')
  await world.time.advance(minute)
  t.equal(await world.run({ kind: 'getFileInfo', path }), undefined)
  emptier.stop()
})
