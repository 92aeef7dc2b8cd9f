import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { type LogFields, silentLogger } from '../../../base/log.ts'
import type { AgreedDigest } from '../../../namenode/core/replica-ledger.ts'
import { DigestKeeper } from '../../../namenode/shell/digest-keeper.ts'
import { generationStamp } from '../../../protocol/ids.ts'
import { BlockWorld, blockRow } from '../../support/block-world.ts'

/** A complete block whose two replicas agree on a digest that its row does not have. */
function agree(world: BlockWorld, id: number): void {
  const row = blockRow(id)
  world.manager.blockPut(row, 2)
  for (const node of world.nodes) {
    world.manager.incrementalReport(millis(world.now), node.uuid, node.storage, [
      {
        ...{ kind: 'received', blockId: row.id, length: row.length, digest: BigInt(id) },
        generationStamp: generationStamp(1001),
      },
    ])
  }
}

t.test('DigestKeeper stores one round at a time, and stop() waits for it', async (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const rounds: { digests: readonly AgreedDigest[]; done: () => void }[] = []
  const keeper = new DigestKeeper({
    ...{ blocks: world.manager, logger: silentLogger },
    store: (digests) => new Promise((resolve) => rounds.push({ digests, done: resolve })),
  })
  keeper.tick()
  t.equal(rounds.length, 0, 'nothing to store')
  agree(world, 1)
  keeper.tick()
  agree(world, 2)
  keeper.tick()
  t.same(
    rounds.map(({ digests }) => digests.map(({ digest }) => digest)),
    [[1n]],
  )
  let isStopped = false
  const stopped = keeper.stop().then(() => {
    isStopped = true
  })
  await Promise.resolve()
  t.equal(isStopped, false)
  rounds[0]?.done()
  await stopped
  keeper.tick()
  t.equal(rounds.length, 1, 'nothing is begun after stop()')
})

t.test('DigestKeeper goes on after a round that failed', async (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const warnings: (LogFields | undefined)[] = []
  const keeper = new DigestKeeper({
    blocks: world.manager,
    logger: { ...silentLogger, warn: (_event, fields) => warnings.push(fields) },
    store: () => Promise.reject(new Error('no disk')),
  })
  agree(world, 1)
  keeper.tick()
  await keeper.stop()
  t.match(warnings, [{ digests: 1 }])
})
