import t from 'tap'
import { type Job, OrderPlan, orderLimits } from '../../../datanode/core/order-plan.ts'
import {
  type DatanodeOrder,
  ordersOfCommand,
  type RecoverOrder,
  type TransferOrder,
} from '../../../datanode/core/orders.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { decodeMessage, type EncodableOf, encodeMessage } from '../../../protocol/message.ts'
import { datanodeCommand } from '../../../protocol/messages/datanode-namenode.ts'
import type { DatanodeInfo } from '../../../protocol/messages/hdfs-blocks.ts'

function idOf(name: string): DatanodeInfo['id'] {
  return {
    ipAddr: '127.0.0.1',
    hostName: name,
    datanodeUuid: name,
    xferPort: 9866,
    infoPort: 9864,
    ipcPort: 9867,
    infoSecurePort: 0,
  }
}

/** Sends a command over the wire and translates what arrives. */
function translate(command: EncodableOf<typeof datanodeCommand>): readonly DatanodeOrder[] {
  return ordersOfCommand(decodeMessage(datanodeCommand, encodeMessage(datanodeCommand, command)))
}

const emptyToken = {
  identifier: new Uint8Array(),
  password: new Uint8Array(),
  kind: '',
  service: '',
}

function block(id: number): { blockId: number; genStamp: number; numBytes: bigint } {
  return { blockId: id, genStamp: 1001, numBytes: 100n }
}

function transfer(id: number, target = 'dn2'): TransferOrder {
  const [order] = translate({
    cmdType: 'BlockCommand',
    blkCmd: {
      action: 'TRANSFER',
      blockPoolId: 'BP-1',
      blocks: [block(id)],
      targets: [{ datanodes: [{ id: idOf(target) }] }],
      targetStorageUuids: [{ storageUuids: ['DS-2'] }],
      targetStorageTypes: [{ storageTypes: ['SSD'] }],
    },
  })
  if (order?.kind !== 'transfer') throw new Error('no transfer order')
  return order
}

function recover(id: number, recoveryStamp: number): RecoverOrder {
  return {
    kind: 'recover',
    block: { blockId: blockId(id), generationStamp: generationStamp(1001), length: 100 },
    recoveryStamp: generationStamp(recoveryStamp),
    locations: [],
  }
}

function invalidate(ids: readonly number[]): DatanodeOrder {
  const blocks = ids.map((id) => ({
    blockId: blockId(id),
    generationStamp: generationStamp(1001),
    length: 0,
  }))
  return { kind: 'invalidate', blocks }
}

function startAll(plan: OrderPlan): Job[] {
  const jobs: Job[] = []
  for (let job = plan.start(); job !== undefined; job = plan.start()) jobs.push(job)
  return jobs
}

t.test('ordersOfCommand() translates transfers with their parallel lists', async (t) => {
  t.match(transfer(7), {
    kind: 'transfer',
    block: { blockId: 7, generationStamp: 1001, length: 100 },
    targets: [{ datanode: { id: { hostName: 'dn2' } }, storage: 'DS-2', storageType: 'SSD' }],
  })
  const orders = translate({
    cmdType: 'BlockCommand',
    blkCmd: {
      action: 'TRANSFER',
      blockPoolId: 'BP-1',
      blocks: [block(1), block(2), block(3)],
      targets: [{ datanodes: [{ id: idOf('dn1') }] }, { datanodes: [{ id: idOf('dn2') }] }],
      isUrgent: [true],
    },
  })
  t.match(
    orders,
    [
      { block: { blockId: 1 }, targets: [{ storageType: 'DISK' }], isUrgent: true },
      {
        block: { blockId: 2 },
        targets: [{ datanode: { id: { hostName: 'dn2' } } }],
        isUrgent: false,
      },
    ],
    'missing storages mean any disk, a block without targets is no order',
  )
  t.equal(orders.length, 2)
})

t.test('ordersOfCommand() translates the other commands, or nothing', async (t) => {
  t.match(
    translate({
      cmdType: 'BlockCommand',
      blkCmd: {
        action: 'INVALIDATE',
        blockPoolId: 'BP-1',
        blocks: [{ ...block(5), numBytes: 2n ** 63n - 1n }],
      },
    }),
    [{ kind: 'invalidate', blocks: [{ blockId: 5, generationStamp: 1001 }] }],
  )
  t.same(translate({ cmdType: 'RegisterCommand', registerCmd: {} }), [{ kind: 'register' }])
  t.match(
    translate({
      cmdType: 'BlockRecoveryCommand',
      recoveryCmd: {
        blocks: [
          {
            newGenStamp: 1007,
            block: {
              b: { poolId: 'BP-1', blockId: 9, generationStamp: 1006, numBytes: 1000 },
              offset: 2n ** 64n - 1n,
              locs: [{ id: idOf('dn1') }, { id: idOf('dn2') }],
              corrupt: false,
              blockToken: emptyToken,
            },
            truncateBlock: { blockId: 9, genStamp: 1007, numBytes: 12 },
          },
        ],
      },
    }),
    [
      {
        kind: 'recover',
        block: { blockId: 9, generationStamp: 1006, length: 1000 },
        recoveryStamp: 1007,
        locations: [{ id: { hostName: 'dn1' } }, { id: { hostName: 'dn2' } }],
        truncateLength: 12,
      },
    ],
  )
  t.same(translate({ cmdType: 'FinalizeCommand', finalizeCmd: { blockPoolId: 'BP-1' } }), [])
  t.same(translate({ cmdType: 'BlockCommand' }), [])
  t.same(
    translate({
      cmdType: 'BlockCommand',
      blkCmd: { action: 'SHUTDOWN', blockPoolId: 'BP-1', blocks: [] },
    }),
    [],
  )
})

t.test('OrderPlan runs four transfers at once, more while they are quick', async (t) => {
  const plan = new OrderPlan()
  for (let id = 1; id <= 40; id += 1) plan.add(transfer(id))
  t.equal(plan.transferCount, 40)
  const first = startAll(plan)
  t.equal(first.length, 4)
  for (const job of first) plan.finish(job, orderLimits.quickTransferMs - 1)
  t.equal(plan.transferCount, 36)
  const second = startAll(plan)
  t.equal(second.length, 8)
  for (const job of second) plan.finish(job, 1)
  const third = startAll(plan)
  t.equal(third.length, orderLimits.transfersMax, 'up to a limit')
  for (const job of third) plan.finish(job, orderLimits.slowTransferMs + 1)
  t.equal(plan.transfersAtOnce, orderLimits.transfersMin, 'and back when they are slow')
})

t.test('OrderPlan does the same work once', async (t) => {
  const plan = new OrderPlan()
  plan.add(transfer(1))
  plan.add(transfer(1))
  t.equal(plan.transferCount, 1)
  const [job] = startAll(plan)
  plan.add(transfer(1))
  t.equal(plan.transferCount, 1, 'while it runs')
  plan.add(transfer(1, 'dn3'))
  t.equal(plan.transferCount, 2, 'another target is other work')
  if (job !== undefined) plan.finish(job, 1)
  plan.add(transfer(1))
  t.equal(plan.transferCount, 2)
})

t.test('OrderPlan prefers recoveries, two at once, the newest stamp of each block', async (t) => {
  const plan = new OrderPlan()
  plan.add(transfer(1))
  plan.add(recover(1, 1010))
  plan.add(recover(1, 1012))
  plan.add(recover(1, 1011))
  plan.add(recover(2, 1010))
  plan.add(recover(3, 1010))
  t.equal(plan.recoveryCount, 3)
  const jobs = startAll(plan)
  t.match(jobs, [
    { kind: 'recover', order: { recoveryStamp: 1012 } },
    { kind: 'recover', order: { block: { blockId: 2 } } },
    { kind: 'transfer' },
  ])
  plan.add(recover(1, 1012))
  t.equal(plan.recoveryCount, 3, 'the same stamp is no new work')
  plan.add(recover(1, 1013))
  t.equal(plan.recoveryCount, 4, 'a newer one waits for the one that runs')
  const [first] = jobs
  if (first !== undefined) plan.finish(first, 1)
  t.match(startAll(plan), [{ kind: 'recover', order: { block: { blockId: 3 } } }])
})

t.test('OrderPlan deletes two replicas at once, each once', async (t) => {
  const plan = new OrderPlan()
  plan.add(invalidate([1, 2, 3, 2]))
  t.equal(plan.invalidationCount, 3)
  const jobs = startAll(plan)
  t.match(jobs, [
    { kind: 'invalidate', blockId: 1, generationStamp: 1001 },
    { kind: 'invalidate', blockId: 2 },
  ])
  for (const job of jobs) plan.finish(job, 1)
  t.match(startAll(plan), [{ kind: 'invalidate', blockId: 3 }])
  plan.add({ kind: 'register' })
  t.same(startAll(plan), [])
})

t.test('OrderPlan forgets what does not fit: the namenode repeats it', async (t) => {
  const plan = new OrderPlan()
  for (let id = 1; id <= orderLimits.queuedTransfersMax + 5; id += 1) {
    plan.add({ ...transfer(1), block: recover(id, 1).block })
    plan.add(recover(id, 1010))
  }
  t.equal(plan.transferCount, orderLimits.queuedTransfersMax)
  t.equal(plan.recoveryCount, orderLimits.queuedRecoveriesMax)
  const ids = Array.from({ length: orderLimits.queuedInvalidationsMax + 5 }, (_, index) => index)
  plan.add(invalidate(ids))
  t.equal(plan.invalidationCount, orderLimits.queuedInvalidationsMax)
})
