/** Trash, fsck, explain and balance as command lines against a namespace in memory and answers that a test gives. */
import t from 'tap'
import type { NodeStatus } from '../../../client/index.ts'
import { DfsError } from '../../../protocol/errors.ts'
import { runCommand as dfs } from '../../support/command-line.ts'
import { sampleFileSystem as sample } from '../../support/fake-file-system.ts'

t.test('rm moves to the trash when the cluster has one, and to nowhere else', async (t) => {
  const fs = sample()
  fs.trashInterval = 1440
  const current = '/user/alice/.Trash/Current'
  t.match(await dfs(fs, ['rm', '/data/a.csv']), {
    code: 0,
    out: `Moved: '/data/a.csv' to trash at: ${current}/data/a.csv\n`,
  })
  t.equal(fs.text(`${current}/data/a.csv`), 'alpha\n')
  t.equal(fs.inodes.get(`${current}/data`)?.mode, 0o700, 'nobody else looks into the trash')
  fs.addFile('/data/a.csv', 'second\n')
  const again = await dfs(fs, ['rm', '/data/a.csv'])
  t.match(again.out, /a\.csv\d{13}\n$/, 'a second file of that name carries the time')
  t.equal((await dfs(fs, ['rm', '-skipTrash', '/data/b.csv'])).out, 'Deleted /data/b.csv\n')
  t.equal((await dfs(fs, ['rm', `${current}/data/a.csv`])).out, `Deleted ${current}/data/a.csv\n`)
  t.match(await dfs(fs, ['rm', '-r', '/user/alice']), {
    code: 1,
    err: /contains the trash; it was not moved to the trash, -skipTrash deletes it for good/,
  })
  t.match(await dfs(fs, ['rm', '-r', '/data']), { code: 1, err: /top-level/ })
  fs.failing = (verb) => (verb === 'mkdir' ? 'PERMISSION_DENIED' : undefined)
  fs.addFile('/logs/x', '')
  t.match(await dfs(fs, ['rm', '/logs/x']), { code: 1, err: /-skipTrash deletes it for good/ })
  t.ok(fs.inodes.has('/logs/x'))
})

t.test('rm puts a tree beside a file of the trash that is in its way', async (t) => {
  const fs = sample()
  fs.trashInterval = 1440
  fs.addFile('/x', 'file')
  await dfs(fs, ['rm', '/x'])
  fs.addFile('/x/y', 'in a directory of that name')
  const { out } = await dfs(fs, ['rm', '/x/y'])
  t.match(out, /Current\/x\d{13}\/y\n$/)
  t.match((await dfs(fs, ['trash', 'ls'])).out, /  \/x\n[^]*  \/x\/y\n/)
  t.match(await dfs(fs, ['trash', 'restore', '/x/y']), { code: 0, out: 'Restored /x/y\n' })
})

t.test('trash shows what was removed, puts it back, and empties', async (t) => {
  const fs = sample()
  fs.trashInterval = 1440
  const root = '/user/alice/.Trash'
  await dfs(fs, ['rm', '-r', '/data/sub', '/data/b.csv'])
  fs.addDirectory(`${root}/250101000000`, { mode: 0o700 })
  fs.addDirectory(`${root}/250101000000/data`, { mode: 0o700 })
  fs.addFile(`${root}/250101000000/data/a.csv`, 'of last year')
  fs.addFile(`${root}/notes.txt`, 'not the trash of anybody')
  const { out } = await dfs(fs, ['trash', 'ls'], { env: { TZ: 'UTC' } })
  t.match(
    out,
    /^Current +lately +10  \/data\/b\.csv\nCurrent +lately +-  \/data\/sub\/\n250101000000/,
  )
  t.notMatch(out, /notes/)
  t.equal((await dfs(fs, ['trash', 'ls', '/data/sub'])).out.trim().split('\n').length, 1)
  const [record] = (await dfs(fs, ['trash', 'ls', '--json', '/data/b.csv'])).out.split('\n')
  t.match(JSON.parse(record ?? ''), {
    originalPath: '/data/b.csv',
    checkpoint: 'Current',
    size: 10,
  })

  t.match(await dfs(fs, ['trash', 'restore', '/data/a.csv']), {
    code: 1,
    err: /something is there/,
  })
  t.equal(fs.text('/data/a.csv'), 'alpha\n', 'a file never replaces another')
  t.equal((await dfs(fs, ['trash', 'restore', '/data/a.csv', '--to', '/old/a.csv'])).code, 0)
  t.equal(fs.text('/old/a.csv'), 'of last year')
  t.match(await dfs(fs, ['trash', 'restore', '/nope']), { code: 1, err: /not in the trash/ })
  t.match(await dfs(fs, ['trash', 'restore', '/data/sub', '--from', '250101000000']), {
    code: 1,
    err: /not in checkpoint 250101000000/,
  })
  fs.addFile('/data/sub/new', '')
  t.equal((await dfs(fs, ['trash', 'restore', '/data/sub'])).out, 'Restored /data/sub/c.txt\n')
  t.ok(fs.inodes.has('/data/sub/new'), 'a directory is merged into the one that is there')

  t.match(await dfs(fs, ['trash', 'empty', '--older-than', '7d']), {
    out: /Deleted .*250101000000/,
  })
  t.ok(fs.inodes.has(`${root}/Current/data/b.csv`))
  t.match(await dfs(fs, ['expunge']), { out: /Created trash checkpoint: .*\.Trash\/\d{12}\n/ })
  t.match(await dfs(fs, ['trash', 'empty']), { code: 0, out: /Deleted/ })
  t.equal((await dfs(fs, ['trash', 'ls'])).out, '')
  t.equal((await dfs(fs, ['trash', 'empty'])).out, 'Nothing to delete\n')
  for (const args of [
    [],
    ['nope'],
    ['restore'],
    ['ls', '/a', '/b'],
    ['empty', '/a'],
    ['empty', '--older-than', 'x'],
  ]) {
    t.equal((await dfs(fs, ['trash', ...args])).code, 2, args.join(' '))
  }
})

t.test('fsck judges every block and exits with 1 when one is lost', async (t) => {
  const fs = sample()
  const healthy = await dfs(fs, ['fsck', '/'])
  t.equal(healthy.code, 0)
  t.match(healthy.out, /Total files:\t3\n[^]*Under-replicated blocks:\t0 \(0\.0 %\)/)
  t.equal(healthy.out.trimEnd().split('\n').at(-1), "The filesystem under path '/' is HEALTHY")
  fs.addFile('/data/few', 'f', { replicas: 2 })
  const under = await dfs(fs, ['fsck', '/data', '-files', '-blocks', '-locations'])
  t.equal(under.code, 0, 'too few replicas are not corruption')
  t.match(under.out, /few: Under replicated .* Target Replicas is 3 but found 2 live replica/)
  t.match(
    under.out,
    /0\. BP-1:blk_\d+_1001 len=6 Live_repl=3 {2}\[DatanodeInfoWithStorage\[127\.0\.0\.1:9000,DS-0,DISK\], /,
  )
  fs.addFile('/data/gone', 'g', { replicas: 0 })
  fs.addFile('/data/bad', 'b', { isCorrupt: true })
  const corrupt = await dfs(fs, ['fsck'])
  t.equal(corrupt.code, 1)
  t.match(corrupt.out, /Missing blocks:\t\t1\n Corrupt blocks:\t\t1\n/)
  t.match(corrupt.out, /is CORRUPT\n$/)
  const json = JSON.parse((await dfs(fs, ['fsck', '--json', '/data'])).out) as unknown
  t.match(json, { status: 'CORRUPT', missingBlocks: 1, corruptBlocks: 1, underReplicatedBlocks: 1 })
  const listed = await dfs(fs, ['fsck', '-list-corruptfileblocks', '/'])
  t.match(
    listed.out,
    /^BP-1:blk_\d+_1001\t\/data\/bad\nBP-1:blk_\d+_1001\t\/data\/gone\nThe .* has 2 CORRUPT files\n$/,
  )
  t.equal((await dfs(fs, ['fsck', '-list-corruptfileblocks', '-delete', '/'])).code, 2)
  t.match(await dfs(fs, ['fsck', '/nope']), { code: 1, err: /No such file/ })
})

t.test('fsck knows open files, racks, and datanodes that leave', async (t) => {
  const fs = sample()
  fs.addFile('/data/open', 'o', { isOpen: true, replicas: 0 })
  const healthy = await dfs(fs, ['fsck', '/', '-files'])
  t.equal(healthy.code, 0)
  t.match(healthy.out, /Files currently being written:\t1 \(1 B\)/)
  t.notMatch(healthy.out, /data\/open/)
  const open = await dfs(fs, ['fsck', '/data/open', '-openforwrite', '-files', '-blocks'])
  t.match(
    open.out,
    /data\/open 1 bytes.*OPENFORWRITE: {2}OK\n0\. BP-1:blk_\d+_1001 len=1 Live_repl=0\n/,
  )
  t.equal(open.code, 0, 'a block in its pipeline is not missing')
  fs.addFile('/data/leaving', 'x', { adminStates: ['DECOMMISSION_INPROGRESS', 'IN_MAINTENANCE'] })
  const leaving = await dfs(fs, ['fsck', '/data/leaving', '-files', '-blocks', '-replicaDetails'])
  t.match(leaving.out, /found 1 live replica\(s\), and 2 on datanodes that leave/)
  t.match(leaving.out, /9000,DS-0,DISK\]\(DECOMMISSIONING\), .*9002,DS-2,DISK\]\(LIVE\)\]/)
  t.match(leaving.out, /DecommissioningReplicas:\t1\n InMaintenanceReplicas:\t1\n/)
  t.match(leaving.out, /1 block can be read but would survive less than they should/)
  fs.liveRacks = ['/default-rack', '/b', '/b']
  fs.addFile('/data/racks', 'x', { racks: ['/a', '/a', '/b'] })
  t.match((await dfs(fs, ['fsck', '/data/racks'])).out, /Mis-replicated blocks:\t\t0/)
  const racks = await dfs(fs, ['fsck', '/data/a.csv', '-files', '-blocks', '-racks'])
  t.match(racks.out, /\[\/default-rack\/127\.0\.0\.1:9000, /)
  t.match(racks.out, /All replicas are on rack \/default-rack, and there are 2 racks/)
})

t.test('fsck -move salvages what can be read, -delete gives corrupt files up', async (t) => {
  const fs = sample()
  fs.addFile('/data/bad', 'b', { isCorrupt: true })
  fs.addFile('/data/half', 'good', { badTail: 10 })
  const moved = await dfs(fs, ['fsck', '/', '-move'])
  t.match(moved.out, /half: copied 4 bytes in 1 piece\(s\) to \/lost\+found\/data\/half/)
  t.match(moved.out, /bad: copied 0 bytes in 0 piece\(s\)/)
  t.equal(fs.text('/lost+found/data/half/0'), 'good')
  t.ok(fs.inodes.has('/data/half'), 'moving is copying')
  t.match((await dfs(fs, ['fsck', '/', '-move'])).out, /to \/lost\+found\/data\/half\.1/)
  fs.failing = (verb) => (verb === 'create' ? 'NO_DATANODES' : undefined)
  const failed = await dfs(fs, ['fsck', '/data/half', '-move', '-delete'])
  t.equal(failed.code, 1)
  t.ok(fs.inodes.has('/data/half'), 'what could not be salvaged is not deleted')
  fs.failing = () => undefined
  t.match((await dfs(fs, ['fsck', '/data', '-delete'])).out, /half: deleted\n/)
  t.notOk(fs.inodes.has('/data/half'))
  t.notOk(fs.inodes.has('/data/bad'))
  t.ok(fs.inodes.has('/data/a.csv'))
  t.equal((await dfs(fs, ['fsck', '/data'])).code, 0)
})

t.test('explain says what is wrong with a block, and what happens next', async (t) => {
  const fs = sample()
  fs.addFile('/data/few', 'few', { replicas: 1 })
  const nowMs = Date.now()
  const replica = {
    ...{ datanode: 'node-0', rack: '/default-rack', liveness: 'live', adminState: 'normal' },
    ...{ storage: 'DS-0', generationStamp: 1001, length: 3, counts: false },
  }
  const block = {
    ...{ blockId: 7, generationStamp: 1001, length: 3, state: 'complete', wanted: 3, good: 1 },
    ...{ isHealthy: false, isDeletionPostponed: true, queue: 'last-replica', path: '/data/few' },
    replicas: [
      { ...replica, name: '10.0.0.1:9866', worth: 'GOOD' as const, counts: true },
      { ...replica, name: '10.0.0.2:9866', worth: 'UNREACHABLE' as const, liveness: 'dead' },
      { ...replica, name: '10.0.0.3:9866', worth: 'STALE_STAMP' as const, generationStamp: 1000 },
      { ...replica, name: '10.0.0.4:9866', worth: 'WRONG_LENGTH' as const, length: 2 },
    ],
    copies: [
      {
        ...{ from: '10.0.0.1:9866', to: '10.0.0.5:9866', bytes: 3, sentMs: undefined },
        ...{ sinceMs: nowMs - 5000, untilMs: nowMs + 30_000 },
      },
      {
        ...{ from: undefined, to: '10.0.0.6:9866', bytes: 3, sentMs: undefined },
        ...{ sinceMs: nowMs, untilMs: nowMs - 1 },
      },
    ],
    hindrance: 'no-target',
    hindranceMs: nowMs,
    refusals: [{ datanode: '10.0.0.7:9866', reason: 'has no space' }],
    nextTryMs: nowMs + 60_000,
  }
  const asked: number[] = []
  fs.fakeOperator.answers = {
    explainBlock: ({ blockId }) => {
      asked.push(blockId)
      return { block, paused: 'mass-failure' }
    },
  }
  const { code, out } = await dfs(fs, ['explain', '/data'])
  t.equal(code, 1)
  t.equal(asked.length, 1, 'blocks with all their replicas are not asked about')
  const lines = [
    /^Nothing is repaired: many datanodes vanished at once/,
    /^blk_7_1001 \(block 0 of \/data\/few, 3B\): under-replicated: 1 of 3 replicas good$/,
    /^ {2}10\.0\.0\.1:9866 \/default-rack: good$/,
    /^ {2}10\.0\.0\.2:9866 \/default-rack: does not count: its datanode is dead$/,
    /^ {2}10\.0\.0\.3:9866 \/default-rack: STALE: it missed later writes, stamp 1000 instead of 1001$/,
    /^ {2}10\.0\.0\.4:9866 \/default-rack: CORRUPT: it has the wrong length, 2 bytes instead of 3$/,
    /^ {2}being copied from 10\.0\.0\.1:9866 to 10\.0\.0\.5:9866 \(3B\), since \d\.\d s, waits for its heartbeat; given up in \d+\.\d s$/,
    /^ {2}10\.0\.0\.6:9866 is about to report its replica from the write pipeline, .*; given up any moment$/,
    /^ {2}queued for repair as "last-replica", tried in (59\.\d s|60\.0 s|1 min 0 s)$/,
    /^ {2}not copied yet: no datanode can take another replica:$/,
    /^ {4}10\.0\.0\.7:9866 has no space$/,
    /^ {2}something is deleted as soon as enough other replicas are confirmed/,
    /^4 blocks of 4 files: 1 not healthy$/,
  ]
  const printed = out.trimEnd().split('\n')
  t.equal(printed.length, lines.length)
  for (const [index, line] of lines.entries()) t.match(printed[index], line)
  t.match((await dfs(fs, ['explain', 'blk_7_1001'])).out, /blk_7_1001 \(\/data\/few, 3B\)/)
  t.match(JSON.parse((await dfs(fs, ['explain', '--json', 'blk_7'])).out), { block: { good: 1 } })
  fs.fakeOperator.answers = { explainBlock: () => ({ block: undefined, paused: undefined }) }
  t.match(await dfs(fs, ['explain', 'blk_8']), { code: 1, err: /No such block/ })
  t.match(await dfs(fs, ['explain', '/nope']), { code: 1, err: /No such file/ })
  t.equal((await dfs(fs, ['explain'])).code, 2)
})

t.test('explain finds a datanode by host, address or uuid', async (t) => {
  const fs = sample()
  const datanode = {
    ...{ uuid: 'node-1', name: '127.0.0.1:9001', liveness: 'live', adminState: 'normal' },
    ...{ silenceMs: 1500, replicas: 2, storages: 2, failedStorages: 1, unconfirmedStorages: 1 },
    ...{
      queuedTransfers: 3,
      queuedDeletions: 2,
      sentDeletions: 1,
      copiesOut: 4,
      copyBytesOut: 2048,
    },
    ...{ copiesIn: 0, copyBytesIn: 0, outBytesPerSecond: 1024, inBytesPerSecond: undefined },
  }
  const known: NodeStatus = {
    ...{ uuid: 'node-1', name: 'host-1:9001', ipAddress: '127.0.0.1', rack: '/a' },
    ...{ liveness: 'LIVE', adminState: 'NORMAL', capacity: 1000, used: 250, remaining: 750 },
    ...{ replicas: 2, silentMs: 1500, failedStorages: 1, unreportedStorages: 1 },
    ...{ isUnsteady: false, blocksLeft: [] },
  }
  const names = ['node-1', 'host-1', 'host-1:9001', '127.0.0.1:9001']
  fs.fakeOperator.answers = {
    listDatanodes: ({ node = '' }) => {
      if (names.includes(node)) return { datanodes: [known] }
      if (node === 'node-2') return { datanodes: [{ ...known, uuid: 'node-2' }] }
      throw new DfsError(
        'INVALID_ARGUMENT',
        `Datanode "${node}" is ambiguous: host-1:9001, host-2:9002`,
      )
    },
    explainDatanode: ({ uuid }) =>
      uuid === 'node-1'
        ? { datanode, paused: 'safe-mode' }
        : { datanode: undefined, paused: undefined },
  }
  for (const name of names) {
    const { code, out } = await dfs(fs, ['explain', name])
    t.equal(code, 0, name)
    t.match(out, /holds 2 replicas on 2 storages, 750B of 1000B free/)
    t.match(
      out,
      /safe mode[^]*127\.0\.0\.1:9001 \(node-1\): live, in service, last heard of 1\.5 s ago/,
    )
    t.match(
      out,
      /1 storage FAILED[^]*sends 4 replicas for repair \(2 KB\), at 1 KB\/s[^]*3 deletions to do, 1 of/,
    )
  }
  t.match(await dfs(fs, ['explain', '127.0.0.1']), {
    code: 1,
    err: /ambiguous: host-1:9001, host-2:9002/,
  })
  t.match(await dfs(fs, ['explain', 'node-2']), { code: 1, err: /not known any more/ })
})

t.test('balance shows how full datanodes are, plans, and steers', async (t) => {
  const fs = sample()
  const gib = 2 ** 30
  const status = {
    ...{ isEnabled: true, thresholdPercent: 10, bytesPerSecond: 100 * 2 ** 20 },
    ...{ movingBlocks: 1, movingBytes: gib, movedBlocks: 2, movedBytes: 2 * gib },
    waitsFor: undefined as string | undefined,
    datanodes: [
      { uuid: 'a', name: 'a:9866', capacity: 100 * gib, used: 90 * gib },
      { uuid: 'b', name: 'b:9866', capacity: 100 * gib, used: 10 * gib },
      { uuid: 'c', name: 'c:9866', capacity: 100 * gib, used: 50 * gib },
    ],
    flows: [{ source: 'a:9866', target: 'b:9866', bytes: 30 * gib }],
  }
  const wishes: unknown[] = []
  fs.fakeOperator.answers = {
    getBalance: ({ thresholdPercent }) => ({
      ...status,
      thresholdPercent: thresholdPercent ?? status.thresholdPercent,
    }),
    setBalance: (wish) => {
      wishes.push(wish)
      return status
    },
  }
  const shown = await dfs(fs, ['balance'])
  t.match(shown.out, /a:9866 +90 GB +100 GB +90\.0 % +\+40\.0 +too full\n/)
  t.match(shown.out, /b:9866 .* -40\.0 +too empty\nc:9866 .* \+0\.0\n/)
  t.match(
    shown.out,
    /Balancing: 1 block \(1 GB\) being moved, 30 GB left, about 5 min 7 s at 100 MB\/s/,
  )
  const plan = await dfs(fs, ['balance', '--plan', '--threshold', '5%', '--bandwidth', '1G'])
  t.match(plan.out, /move 30 GB from a:9866 to b:9866\n30 GB in all, about 30\.0 s at 1 GB\/s\n$/)
  t.same(wishes, [], 'a plan changes nothing')
  await dfs(fs, ['balancer', 'start', '-t', '5', '-b', '50M/s'])
  await dfs(fs, ['balance', 'stop'])
  t.match(wishes, [
    { isEnabled: true, thresholdPercent: 5, bytesPerSecond: 50 * 2 ** 20 },
    { isEnabled: false },
  ])
  status.waitsFor = 'repair'
  t.match((await dfs(fs, ['balance'])).out, /waits until no block needs repair/)
  t.match(JSON.parse((await dfs(fs, ['balance', '--json'])).out), { movedBlocks: 2 })
  Object.assign(status, { isEnabled: false })
  t.match((await dfs(fs, ['balance'])).out, /Balancing is off .*30 GB would be moved/)
  Object.assign(status, { isEnabled: true, flows: [], movingBlocks: 0 })
  t.match((await dfs(fs, ['balance', '--wait'])).out, /Balanced: no datanode/)
  t.match((await dfs(fs, ['balance', 'plan'])).out, /Nothing to move/)
  for (const args of [
    ['x'],
    ['start', 'x'],
    ['-t', '5'],
    ['start', '--plan'],
    ['--plan', '-t', '0'],
    ['--plan', '-b', 'x'],
  ]) {
    t.equal((await dfs(fs, ['balance', ...args])).code, 2, args.join(' '))
  }
})

t.test('explain takes a name for a path when there is one', async (t) => {
  const fs = sample()
  fs.addFile('/user/alice/host-1', 'a file called like a datanode')
  t.match(await dfs(fs, ['explain', 'host-1']), { code: 0, out: '1 block of 1 file: healthy\n' })
})
