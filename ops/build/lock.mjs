/** A lock file between processes, so that two `npm start` of one checkout do not build into each other. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'

const pollMs = 200

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function holderOf(file) {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function tryTake(file) {
  try {
    writeFileSync(file, `${process.pid}`, { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** Runs `action` while holding `file`; waits for a living holder, takes over from a dead one. */
export function withLock(file, say, action) {
  let saidWaiting = false
  while (!tryTake(file)) {
    const holder = holderOf(file)
    if (holder === undefined) continue
    if (holder > 0 && !isAlive(holder)) {
      rmSync(file, { force: true })
      continue
    }
    if (!saidWaiting) say(`waiting for process ${holder}, which builds this checkout`)
    saidWaiting = true
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pollMs)
  }
  const release = () => rmSync(file, { force: true })
  process.once('exit', release)
  try {
    return action()
  } finally {
    process.off('exit', release)
    release()
  }
}
