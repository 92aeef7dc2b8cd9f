import { readFile } from 'node:fs/promises'
import type { RequestHeader } from './requests.ts'

/** How often a thread that a signal woke is looked at. */
const pollMs = 250
/** Bit of SIGKILL in the masks of proc(5). */
const killBit = 1n << 8n

interface Waiting {
  readonly pid: number
  readonly giveUp: () => void
}

/**
 * Requests under way, whose callers may be killed. The kernel says only that a signal came; most signals are no reason to
 * fail a call, and programs do not expect EINTR from a file system. But a caller with SIGKILL pending (the kernel makes every
 * fatal signal that) waits for nothing but our answer: he gets one. What was asked for goes on, and its result is nobody's.
 */
export class Interrupts {
  readonly #waiting = new Map<bigint, Waiting>()

  /** Notes a request until it is answered; `giveUp` is called when its caller is being killed. */
  add({ unique, pid }: RequestHeader, giveUp: () => void): void {
    this.#waiting.set(unique, { pid, giveUp })
  }

  remove(unique: bigint): void {
    this.#waiting.delete(unique)
  }

  /** A signal came for the caller of the request `unique`; the kernel says that once. */
  async interrupt(unique: bigint): Promise<void> {
    const waiting = this.#waiting.get(unique)
    // A caller in a namespace of processes that is not ours has no number here: he waits like everybody.
    if (waiting === undefined || waiting.pid === 0) return
    while (this.#waiting.get(unique) === waiting) {
      if (await isBeingKilled(waiting.pid)) {
        waiting.giveUp()
        return
      }
      await new Promise((resolve) => {
        setTimeout(resolve, pollMs).unref()
      })
    }
  }
}

/** Whether a thread has SIGKILL pending, or is gone. */
async function isBeingKilled(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined)
  if (status === undefined) return true
  const masks = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)]
  return masks.some(([, mask = '0']) => (BigInt(`0x${mask}`) & killBit) !== 0n)
}
