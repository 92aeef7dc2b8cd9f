import t from 'tap'
import type { AppendedView } from '../../../namenode/core/requests.ts'
import { appendReply } from '../../../namenode/shell/append-reply.ts'
import { addBlock, complete, create, NamenodeWorld, writer } from '../../support/namenode-world.ts'

/** A namenode that has started again since it answered an append of 100 bytes, and that answer. */
async function restarted(): Promise<{ world: NamenodeWorld; view: AppendedView }> {
  const world = new NamenodeWorld()
  await world.start()
  const datanodes = world.addDatanodes(3)
  await world.run(create('/f'))
  const { block } = await world.run(addBlock('/f'))
  const last = { ...block, length: 100 }
  for (const datanode of datanodes) world.received(datanode, last)
  await world.run(complete('/f', last))
  const append = { kind: 'append', path: '/f', clientName: writer, newBlock: false } as const
  await world.run(append, 7)
  await world.crash()
  await world.start()
  return { world, view: await world.run(append, 7) }
}

function contextOf({ namenode }: NamenodeWorld) {
  return {
    namenode,
    blockPoolId: 'BP-1',
    wallOffsetMs: 0,
    datanode: (uuid: Parameters<typeof namenode.blocks.datanode>[0]) =>
      namenode.blocks.datanode(uuid),
  }
}

t.test('appendReply() waits for a datanode to come back after a restart', async (t) => {
  const { world, view } = await restarted()
  t.equal(view.block?.locations.length, 3, 'the first answer')
  const reply = appendReply(contextOf(world), view)
  const datanodes = world.addDatanodes(3)
  const [first] = datanodes
  if (first === undefined || view.block === undefined) throw new Error('no block')
  world.received(first, view.block.block)
  t.match(await reply, { block: { locs: { length: 3 } }, stat: { length: 100 } })
  t.match(await appendReply(contextOf(world), view), { block: { storageIDs: { length: 3 } } })
})

t.test('appendReply() asks to be asked again when none comes back', async (t) => {
  const { world, view } = await restarted()
  const rejected = t.rejects(Promise.resolve(appendReply(contextOf(world), view)), {
    code: 'RETRIABLE',
  })
  await world.time.advance(10_000)
  await rejected
})

t.test('appendReply() has nothing to wait for without a block or without locations', async (t) => {
  const { world, view } = await restarted()
  const { status, block } = view
  t.same(Object.keys(await appendReply(contextOf(world), { status })), ['stat'])
  if (block === undefined) throw new Error('no block')
  const bare = { status, block: { ...block, locations: [] } }
  t.match(await appendReply(contextOf(world), bare), { block: { locs: [] } })
})
