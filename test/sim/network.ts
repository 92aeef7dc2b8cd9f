import type { Prng } from '../../base/prng.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { Lifetime, Scheduler } from './scheduler.ts'

/** How bad the network is. */
export interface NetworkFaults {
  /** Delay of a message that is not unlucky, milliseconds. */
  readonly delayMsMax: number
  /** One message in so many is late, up to `lateMsMax`. 0: none. */
  readonly lateOneIn: number
  readonly lateMsMax: number
  /** One message in so many is lost and takes its connection with it. 0: none. */
  readonly lossOneIn: number
}

/** Somebody who can be called: its name on the network and whether it lives. */
export interface Peer {
  readonly name: string
  readonly life: Lifetime
}

/** A call of which nobody knows whether it happened, or will. */
export class LostCall extends DfsError {
  /** The request is still on its way: it may happen after calls that are made later. */
  readonly mayArrive: boolean

  constructor(message: string, mayArrive: boolean) {
    super('OUTCOME_UNKNOWN', message)
    this.mayArrive = mayArrive
  }
}

/** How long a caller waits for an answer that does not come. */
const answerTimeoutMs = 5000
/** A lost request may still arrive that much later, on a connection that its sender has given up. */
const strayMsMax = 3000
/** Longest time until the ends of a broken stream notice. */
const breakMsMax = 1000

/**
 * Messages between simulated processes. A call is two messages; either may be delayed or lost, and the
 * callee may die in between. What the caller learns is what a real one would: CONNECTION_LOST when the
 * request certainly did not arrive, OUTCOME_UNKNOWN otherwise. A request given up for lost may still
 * arrive later, behind others: that is what retry caches and call ids are for.
 */
export class Network {
  readonly #scheduler: Scheduler
  readonly #prng: Prng
  #faults: NetworkFaults
  readonly #partitioned = new Set<string>()
  readonly #slowness = new Map<string, number>()
  /** Latest arrival per connection: messages on one do not overtake each other. */
  readonly #latestArrival = new Map<string, number>()
  readonly #endOwners = new Map<object, Peer>()
  #messageCount = 0
  #nextId = 1

  constructor(scheduler: Scheduler, prng: Prng, faults: NetworkFaults) {
    this.#scheduler = scheduler
    this.#prng = prng
    this.#faults = faults
  }

  /** Names of the live processes that hold an end of a stream open. */
  get openEnds(): readonly string[] {
    return [...this.#endOwners.values()].filter(({ life }) => life.isAlive).map(({ name }) => name)
  }

  /** A stream's end was opened, or closed. */
  noteEnd(owner: Peer, end: object, isOpen: boolean): void {
    if (isOpen) this.#endOwners.set(end, owner)
    else this.#endOwners.delete(end)
  }

  get messageCount(): number {
    return this.#messageCount
  }

  setFaults(faults: NetworkFaults): void {
    this.#faults = faults
  }

  /** Lets nothing through from one process to another. */
  cut(from: string, to: string): void {
    this.#partitioned.add(`${from}>${to}`)
  }

  /** Ends what {@link cut} began. */
  join(from: string, to: string): void {
    this.#partitioned.delete(`${from}>${to}`)
  }

  /** Makes everything that a process sends or gets slower by up to so much; 0 ends it. */
  slowDown(name: string, delayMsMax: number): void {
    if (delayMsMax === 0) this.#slowness.delete(name)
    else this.#slowness.set(name, delayMsMax)
  }

  /** Restores all connections and stops losing and delaying messages. */
  heal(): void {
    this.#partitioned.clear()
    this.#slowness.clear()
    this.#faults = { ...this.#faults, lateOneIn: 0, lossOneIn: 0 }
  }

  isCut(from: string, to: string): boolean {
    return this.#partitioned.size > 0 && this.#partitioned.has(`${from}>${to}`)
  }

  /**
   * Calls `handler` at `to` and brings its answer, or its {@link DfsError}, back to `from`.
   * `mayStray`: the callee can tell a request that arrives after its sender gave up from a fresh one.
   */
  call<Reply>(
    from: Peer,
    to: Peer,
    handler: () => Reply | Promise<Reply>,
    { mayStray = false } = {},
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const call = new Call(this.#scheduler, from, resolve, reject)
      if (!to.life.isAlive) {
        const refused = new DfsError('CONNECTION_LOST', `${to.name} does not listen`)
        call.failAfter(this.delay(), refused)
        return
      }
      if (this.#isLost(from, to)) {
        const strays = mayStray && this.#prng.chance(1, 2)
        const lost = new LostCall('the request was lost', strays)
        call.failAfter(this.#prng.below(answerTimeoutMs), lost)
        if (!strays) return
        this.#scheduler.after(this.#prng.below(strayMsMax), () => {
          this.#scheduler.within(to.life, () => void answerOf(handler))
        })
        return
      }
      call.forgetDeath = to.life.onDeath(() => {
        call.failAfter(this.delay(), new LostCall(`${to.name} went away`, false))
      })
      this.#deliver(from, to, () => {
        this.#scheduler.within(to.life, () => {
          void answerOf(handler).then((answer) => {
            this.#answer(call, from, to, answer)
          })
        })
      })
    })
  }

  /**
   * Opens a stream to `to`, which gets its end in `accept`. Messages arrive in order; a lost one breaks the
   * stream. When the other side does not listen the returned end closes by itself.
   */
  connect<Message>(
    from: Peer,
    to: Peer,
    accept: (end: StreamEnd<Message>) => void,
  ): StreamEnd<Message> {
    const near = new StreamEnd<Message>(this, from)
    const far = new StreamEnd<Message>(this, to)
    near.join(far)
    far.join(near)
    const isCut = this.isCut(from.name, to.name) || this.isCut(to.name, from.name)
    if (!to.life.isAlive || isCut) near.breakLater()
    else {
      near.inOrder(this.delayBetween(from, to), () => {
        if (!to.life.isAlive) near.breakLater()
        else if (far.isOpen) this.#scheduler.within(to.life, () => accept(far))
      })
    }
    return near
  }

  /** For streams: when the next message from one peer to another arrives, or that it never does. */
  transit(from: Peer, to: Peer): number | undefined {
    this.#messageCount += 1
    return this.#isLost(from, to) ? undefined : this.delayBetween(from, to)
  }

  /** A number no other connection of this world has. */
  nextId(): number {
    this.#nextId += 1
    return this.#nextId
  }

  get scheduler(): Scheduler {
    return this.#scheduler
  }

  /** Any moment within which a broken connection is noticed. */
  breakDelay(): number {
    return this.#prng.below(breakMsMax)
  }

  #answer<Reply>(call: Call<Reply>, from: Peer, to: Peer, answer: Answer<Reply>): void {
    call.forgetDeath()
    if (!to.life.isAlive) return
    if (this.#isLost(to, from)) {
      const lost = new LostCall('the answer was lost', false)
      call.failAfter(this.#prng.below(answerTimeoutMs), lost)
      return
    }
    this.#deliver(to, from, () => {
      call.settle(answer)
    })
  }

  #deliver(from: Peer, to: Peer, action: () => void): void {
    this.#messageCount += 1
    const key = `${from.name}>${to.name}`
    const earliest = this.#scheduler.now + this.delayBetween(from, to)
    const arrival = Math.max(earliest, this.#latestArrival.get(key) ?? 0)
    this.#latestArrival.set(key, arrival)
    this.#scheduler.after(arrival - this.#scheduler.now, action)
  }

  #isLost(from: Peer, to: Peer): boolean {
    if (this.isCut(from.name, to.name)) return true
    const { lossOneIn } = this.#faults
    return lossOneIn > 0 && this.#prng.chance(1, lossOneIn)
  }

  /** How long a message takes, with what slows either process down. */
  delayBetween(from: Peer, to: Peer): number {
    if (this.#slowness.size === 0) return this.delay()
    const extraMsMax = (this.#slowness.get(from.name) ?? 0) + (this.#slowness.get(to.name) ?? 0)
    return this.delay() + (extraMsMax === 0 ? 0 : this.#prng.below(extraMsMax))
  }

  /** How long a message takes. */
  delay(): number {
    const { delayMsMax, lateOneIn, lateMsMax } = this.#faults
    const isLate = lateOneIn > 0 && this.#prng.chance(1, lateOneIn)
    return 1 + this.#prng.below(isLate ? lateMsMax : delayMsMax)
  }
}

/** One end of a stream. The owner sets the two callbacks before it returns to the scheduler. */
export class StreamEnd<Message> {
  readonly #network: Network
  readonly #owner: Peer
  #other: StreamEnd<Message> | undefined
  #isOpen = true
  #lastArrival = 0
  readonly #forgetDeath: () => void
  onMessage: (message: Message) => void = () => undefined
  /** The other side closed, died, or the stream broke. Not called after our own `close`. */
  onClose: () => void = () => undefined

  constructor(network: Network, owner: Peer) {
    this.#network = network
    this.#owner = owner
    network.noteEnd(owner, this, true)
    this.#forgetDeath = owner.life.onDeath(() => {
      this.close()
    })
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Tells the end its other half; part of the construction. */
  join(other: StreamEnd<Message>): void {
    this.#other = other
  }

  send(message: Message): void {
    const other = this.#other
    if (!this.#isOpen || other === undefined) return
    const delayMs = this.#network.transit(this.#owner, other.#owner)
    if (delayMs === undefined) {
      this.breakLater()
      return
    }
    this.inOrder(delayMs, () => {
      this.#network.scheduler.within(other.#owner.life, () => {
        if (other.#isOpen) other.onMessage(message)
      })
    })
  }

  /** Closes both ends; what was sent before still arrives. */
  close(): void {
    if (!this.#shut()) return
    this.inOrder(this.#network.delay(), () => this.#other?.closedByPeer())
  }

  /** Lets both ends find out that the stream is broken, each in its own time; nothing arrives any more. */
  breakLater(): void {
    for (const end of [this, this.#other]) {
      end?.after(this.#network.breakDelay(), () => {
        end.closedByPeer()
      })
    }
  }

  /** Does `action` later. */
  after(delayMs: number, action: () => void): void {
    this.#network.scheduler.after(delayMs, action)
  }

  /** Does `action` later, behind everything sent so far. */
  inOrder(delayMs: number, action: () => void): void {
    const { now } = this.#network.scheduler
    this.#lastArrival = Math.max(now + delayMs, this.#lastArrival)
    this.after(this.#lastArrival - now, action)
  }

  /** The other side closed, or the stream broke. */
  closedByPeer(): void {
    if (!this.#shut()) return
    this.#network.scheduler.within(this.#owner.life, () => {
      this.onClose()
    })
  }

  #shut(): boolean {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    this.#forgetDeath()
    this.#network.noteEnd(this.#owner, this, false)
    return wasOpen
  }
}

type Answer<Reply> =
  | { readonly kind: 'reply'; readonly reply: Reply }
  | { readonly kind: 'error'; readonly error: DfsError }

/** The caller's side of one call; settles once. */
class Call<Reply> {
  readonly #scheduler: Scheduler
  readonly #from: Peer
  readonly #resolve: (reply: Reply) => void
  readonly #reject: (error: DfsError) => void
  #isSettled = false
  forgetDeath: () => void = () => undefined

  constructor(
    scheduler: Scheduler,
    from: Peer,
    resolve: (reply: Reply) => void,
    reject: (error: DfsError) => void,
  ) {
    this.#scheduler = scheduler
    this.#from = from
    this.#resolve = resolve
    this.#reject = reject
  }

  settle(answer: Answer<Reply>): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#scheduler.within(this.#from.life, () => {
      if (answer.kind === 'reply') this.#resolve(answer.reply)
      else this.#reject(answer.error)
    })
  }

  failAfter(delayMs: number, error: DfsError): void {
    this.#scheduler.after(delayMs, () => {
      this.settle({ kind: 'error', error })
    })
  }
}

/** Runs a handler; an error that is not for the caller is a bug and ends the simulation. */
async function answerOf<Reply>(handler: () => Reply | Promise<Reply>): Promise<Answer<Reply>> {
  try {
    return { kind: 'reply', reply: await handler() }
  } catch (error) {
    if (isDfsError(error)) return { kind: 'error', error }
    throw error
  }
}
