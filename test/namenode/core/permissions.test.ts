/** Who may do what: HDFS's checks, for every operation that has one. */
import { millis } from '../../../base/brand.ts'
import type { Caller, Request } from '../../../namenode/core/requests.ts'
import {
  alice,
  bob,
  complete,
  create,
  eachWay,
  mkdirs,
  other,
  refused,
  stat,
} from '../../support/namespace-requests.ts'
import { superuser, user } from '../../support/namespace-world.ts'

eachWay('permissions: every operation needs what HDFS asks for', (t, world) => {
  const run =
    (request: Request, caller: Caller = bob) =>
    () =>
      world.run(request, caller)
  world.run(mkdirs('/open', 0o777))
  world.run(mkdirs('/open/alice', 0o750), alice)
  world.run(create('/open/alice/f', { mode: 0o640 }), alice)
  world.run(complete('/open/alice/f'), alice)
  world.run(create('/open/f', { mode: 0o640 }), alice)
  world.run(complete('/open/f'), alice)
  const denied = (access: string, inode: string, action: () => unknown): void => {
    refused(
      t,
      'PERMISSION_DENIED',
      new RegExp(
        `^Permission denied: user=bob, access=${access}, inode="${inode}":alice:supergroup:[d-][rwx-]{9}$`,
      ),
      action,
    )
  }
  denied('EXECUTE', '/open/alice', () => stat(world, '/open/alice/f', bob))
  denied('EXECUTE', '/open/alice', () => stat(world, '/open/alice/missing', bob))
  refused(t, 'PERMISSION_DENIED', /inode="\/open\/alice":alice:supergroup:drwxr-x---/, () =>
    stat(world, '/open/alice/f', bob),
  )
  const listing = {
    kind: 'getListing',
    path: '/open/alice',
    startAfter: '',
    needLocation: false,
    limit: 9,
  } as const
  denied('READ_EXECUTE', '/open/alice', run(listing))
  denied(
    'READ_EXECUTE',
    '/open/alice',
    run({ kind: 'summarizeDirectory', path: '/open/alice', startAfter: '' }),
  )
  denied(
    'READ',
    '/open/f',
    run({ kind: 'getBlockLocations', path: '/open/f', offset: 0, length: 1 }),
  )
  denied('WRITE', '/open/f', run(create('/open/f', { overwrite: true })))
  denied('WRITE', '/open/f', run({ kind: 'setReplication', path: '/open/f', replication: 1 }))
  denied('WRITE', '/open/f', run({ kind: 'setTimes', path: '/open/f', mtime: millis(1) }))
  denied('READ_WRITE', '/open/f', run({ kind: 'checkAccess', path: '/open/f', access: 6 }))
  world.run({ kind: 'setPermission', path: '/open/alice', mode: 0o755 }, alice)
  denied('WRITE', '/open/alice', run(mkdirs('/open/alice/d')))
  denied('WRITE', '/open/alice', run(create('/open/alice/g')))
  denied('WRITE', '/open/alice', run({ kind: 'delete', path: '/open/alice/f', recursive: false }))
  denied(
    'WRITE',
    '/open/alice',
    run({ kind: 'rename', source: '/open/alice/f', target: '/open/g' }),
  )
  denied(
    'WRITE',
    '/open/alice',
    run({ kind: 'rename', source: '/open/none', target: '/open/alice/g' }),
  )
  const rename2 = { kind: 'rename2', overwrite: true, toTrash: false } as const
  denied('WRITE', '/open/alice', run({ ...rename2, source: '/open/alice/f', target: '/open/g' }))
  world.run(create('/open/h'), alice)
  denied('WRITE', '/open/h', run({ kind: 'recoverLease', path: '/open/h', clientName: other }))
  refused(
    t,
    'PERMISSION_DENIED',
    /user=bob is not the owner of inode=\/open\/alice/,
    run({ kind: 'setPermission', path: '/open/alice', mode: 0o777 }),
  )
  refused(
    t,
    'PERMISSION_DENIED',
    /not the owner/,
    run({ kind: 'setOwner', path: '/open/alice', group: 'x' }),
  )
  refused(
    t,
    'PERMISSION_DENIED',
    /alice is not a super user/,
    run({ kind: 'setOwner', path: '/open/alice', owner: 'bob' }, alice),
  )
  refused(
    t,
    'PERMISSION_DENIED',
    /does not belong to students/,
    run({ kind: 'setOwner', path: '/open/alice', group: 'students' }, alice),
  )
  world.run({ kind: 'setOwner', path: '/open/alice', owner: 'alice', group: 'staff' }, alice)
  t.doesNotThrow(run({ kind: 'checkAccess', path: '/open/alice', access: 5 }, user('eve', 'staff')))
  t.equal(stat(world, '/open/alice/f', superuser)?.inode.owner, 'alice')
})

eachWay('permissions: owner, group and other bits apply exclusively', (t, world) => {
  world.run(mkdirs('/m'))
  world.run({ kind: 'setOwner', path: '/m', owner: 'alice', group: 'staff' })
  const callers = [alice, user('carl', 'staff'), bob]
  for (let mode = 0; mode < 0o1000; mode += 37) {
    world.run({ kind: 'setPermission', path: '/m', mode })
    callers.forEach((caller, index) => {
      for (let access = 1; access <= 7; access += 1) {
        const bits = (mode >> (6 - 3 * index)) & 7
        const check = { kind: 'checkAccess', path: '/m', access } as const
        if ((bits & access) === access) t.doesNotThrow(() => world.run(check, caller))
        else
          refused(t, 'PERMISSION_DENIED', /inode="\/m":alice:staff:d/, () =>
            world.run(check, caller),
          )
      }
    })
  }
})

eachWay('permissions: the sticky bit keeps others from removing and replacing', (t, world) => {
  world.run(mkdirs('/tmp', 0o1777))
  for (const [path, caller] of [
    ['/tmp/a', alice],
    ['/tmp/b', bob],
  ] as const) {
    world.run(create(path), caller)
    world.run(complete(path), caller)
  }
  const sticky =
    /^Permission denied by sticky bit: user=bob, inode="\/tmp\/a":alice:supergroup:-rw-r--r--/
  refused(t, 'PERMISSION_DENIED', sticky, () =>
    world.run({ kind: 'delete', path: '/tmp/a', recursive: false }, bob),
  )
  refused(t, 'PERMISSION_DENIED', sticky, () =>
    world.run({ kind: 'rename', source: '/tmp/a', target: '/tmp/c' }, bob),
  )
  const replace = {
    kind: 'rename2',
    source: '/tmp/b',
    target: '/tmp/a',
    overwrite: true,
    toTrash: false,
  } as const
  refused(t, 'PERMISSION_DENIED', sticky, () => world.run(replace, bob))
  t.equal(world.run({ kind: 'delete', path: '/tmp/b', recursive: false }, bob), true)
  t.equal(world.run({ kind: 'delete', path: '/tmp/a', recursive: false }), true)
})

eachWay(
  'permissions: deleting a tree needs every right on each directory in it that is not empty',
  (t, world) => {
    world.run(mkdirs('/w', 0o777))
    world.run(mkdirs('/w/mine/a'), bob)
    world.run(mkdirs('/w/mine/shared', 0o777), bob)
    world.run(mkdirs('/w/mine/shared/theirs'), alice)
    const remove = { kind: 'delete', path: '/w/mine', recursive: true } as const
    const trash = {
      kind: 'rename2',
      source: '/w/mine',
      target: '/w/x',
      overwrite: false,
      toTrash: true,
    } as const
    world.run(mkdirs('/w/mine/shared/theirs/full'), alice)
    for (const request of [remove, trash]) {
      refused(t, 'PERMISSION_DENIED', /access=ALL, inode=".*":alice/, () => world.run(request, bob))
    }
    t.doesNotThrow(
      () => world.run({ ...trash, toTrash: false }, bob),
      'a plain rename does not look below',
    )
    world.run({ kind: 'rename', source: '/w/x', target: '/w/mine' }, bob)
    world.run({ kind: 'delete', path: '/w/mine/shared/theirs/full', recursive: true }, alice)
    world.run({ kind: 'setPermission', path: '/w/mine/shared', mode: 0o1777 }, bob)
    refused(t, 'PERMISSION_DENIED', /by sticky bit: user=bob, inode=".*theirs":alice/, () => {
      world.run({ kind: 'setOwner', path: '/w/mine/shared', owner: 'carl' })
      world.run({ kind: 'setPermission', path: '/w/mine/shared', mode: 0o1777 })
      world.run(remove, bob)
    })
    refused(t, 'PERMISSION_DENIED', /inode=".*":carl:supergroup:drwx-----T$/, () => {
      world.run({ kind: 'setPermission', path: '/w/mine/shared', mode: 0o1700 })
      world.run(remove, bob)
    })
    world.run({ kind: 'setOwner', path: '/w/mine/shared', owner: 'bob' })
    for (let index = 0; index < 1200; index += 1) world.run(mkdirs(`/w/mine/a/d${index}`), bob)
    t.equal(world.run(remove, bob), true, 'an empty directory of another user may go')
    world.settle()
    t.equal(world.namesystem.status().totals.directories, 2)
  },
)
