import t from 'tap'
import { type FollowedLook, Follower, type FollowStep } from '../../../client/core/follow.ts'

function file(length: number, more: Partial<FollowedLook & { kind: 'file' }> = {}): FollowedLook {
  return { kind: 'file', inodeId: 7, length, isOpen: true, ...more }
}

t.test('looked() reads what is new, and waits longer each time for more', (t) => {
  const follower = new Follower(100)
  t.same(follower.looked(file(150)), { kind: 'read', end: 150 })
  follower.readTo(150)
  t.equal(follower.position, 150)
  const pauses: number[] = []
  for (let look = 0; look < 7; look += 1) {
    const step = follower.looked(file(150))
    pauses.push(step.kind === 'wait' ? step.delayMs : -1)
  }
  t.same(pauses, [50, 100, 200, 400, 800, 1000, 1000])
  t.same(follower.looked(file(151)), { kind: 'read', end: 151 })
  follower.readTo(151)
  t.same(follower.looked(file(151)), { kind: 'wait', delayMs: 50 })
  t.end()
})

t.test('looked() believes that a file is shorter only when it is closed', (t) => {
  const follower = new Follower(100)
  t.equal(follower.looked(file(40)).kind, 'wait')
  t.same(follower.looked(file(40, { isOpen: false })), { kind: 'truncated', length: 40 })
  t.equal(follower.looked(file(40, { isOpen: false })).kind, 'wait')
  t.same(follower.looked(file(41)), { kind: 'read', end: 41 })
  t.end()
})

t.test('looked() ends when the file is gone or another one, not when it is renamed back', (t) => {
  t.same(new Follower(0).looked({ kind: 'missing' }), { kind: 'ended', reason: 'deleted' })
  const follower = new Follower(0)
  t.equal(follower.looked(file(0)).kind, 'wait')
  const other = file(10, { inodeId: 8 })
  t.same(follower.looked(other), { kind: 'ended', reason: 'replaced' })
  t.end()
})

t.test('looked() is patient while no replica can be read, for a while', (t) => {
  const follower = new Follower(0)
  let step: FollowStep = follower.looked({ kind: 'unreadable' })
  for (let look = 2; look < 30; look += 1) {
    t.equal(step.kind, 'wait')
    step = follower.looked({ kind: 'unreadable' })
  }
  t.same(follower.looked({ kind: 'unreadable' }), { kind: 'ended', reason: 'unreadable' })
  t.end()
})
