/**
 * A network of our own: one namespace per machine of the cluster, each joined by a veth pair to a bridge in one more
 * namespace. No interface of the host takes part, so no rule here can touch, and no packet can reach, anything else.
 */
import { canRun, type HostResources, runTool } from './host.ts'

const verdictOf = {
  drop: ['-j', 'DROP'],
  reset: ['-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset'],
} as const

function lossRule(percent: number): string[] {
  const chance = ['--mode', 'random', '--probability', `${percent / 100}`]
  return ['-m', 'statistic', ...chance, '-j', 'DROP']
}

const subnet = '10.77.0'

/** How one link is made bad. */
export interface LinkTrouble {
  readonly lossPercent: number
  readonly delayMs: number
  /** Kilobits a second; the queue in front of it holds `queueMs`. */
  readonly rateKbit: number
}

export class ChaosNetwork {
  readonly #namespaceByMachine = new Map<string, string>()
  readonly #addressByMachine = new Map<string, string>()
  /** netem is not in every kernel: without it a slow queue stands for delay. */
  readonly hasNetem: boolean

  constructor(resources: HostResources, machines: readonly string[]) {
    const hub = `trefoil-${process.pid}-hub`
    addNamespace(resources, hub)
    runTool('ip', '-n', hub, 'link', 'add', 'bridge', 'type', 'bridge')
    runTool('ip', '-n', hub, 'link', 'set', 'bridge', 'up')
    for (const [index, machine] of machines.entries()) {
      const namespace = `trefoil-${process.pid}-${machine}`
      const address = `${subnet}.${index + 10}`
      addNamespace(resources, namespace)
      const port = `port${index}`
      const peer = ['peer', 'name', 'eth0', 'netns', namespace]
      runTool('ip', '-n', hub, 'link', 'add', port, 'type', 'veth', ...peer)
      runTool('ip', '-n', hub, 'link', 'set', port, 'master', 'bridge', 'up')
      runTool('ip', '-n', namespace, 'link', 'set', 'lo', 'up')
      runTool('ip', '-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'eth0')
      runTool('ip', '-n', namespace, 'link', 'set', 'eth0', 'up')
      this.#namespaceByMachine.set(machine, namespace)
      this.#addressByMachine.set(machine, address)
    }
    this.hasNetem = this.#isNetemThere(machines[0] ?? '')
  }

  address(machine: string): string {
    return lookUp(this.#addressByMachine, machine)
  }

  /** Words to put before a command that is to run on a machine; the process keeps its pid. */
  prefix(machine: string): string[] {
    return ['nsenter', `--net=/run/netns/${lookUp(this.#namespaceByMachine, machine)}`, '--']
  }

  /** Drops, or answers with a reset, all that `to` gets from `from`. */
  block(from: string, to: string, how: 'drop' | 'reset'): void {
    this.#onMachine(
      to,
      'iptables',
      '-w',
      '-A',
      'INPUT',
      '-s',
      this.address(from),
      ...verdictOf[how],
    )
  }

  unblock(from: string, to: string, how: 'drop' | 'reset'): void {
    this.#onMachine(
      to,
      'iptables',
      '-w',
      '-D',
      'INPUT',
      '-s',
      this.address(from),
      ...verdictOf[how],
    )
  }

  /** Makes everything slow and lossy that a machine sends and gets. */
  trouble(machine: string, { lossPercent, delayMs, rateKbit }: LinkTrouble): void {
    const onEth0 = ['qdisc', 'replace', 'dev', 'eth0', 'root']
    if (this.hasNetem) {
      const delay = ['delay', `${delayMs}ms`, `${Math.ceil(delayMs / 3)}ms`]
      const netem = [...delay, 'loss', `${lossPercent}%`, 'rate', `${rateKbit}kbit`]
      this.#onMachine(machine, 'tc', ...onEth0, 'netem', ...netem)
      return
    }
    const queue = ['rate', `${rateKbit}kbit`, 'burst', '4kb', 'latency', `${delayMs}ms`]
    this.#onMachine(machine, 'tc', ...onEth0, 'tbf', ...queue)
    if (lossPercent === 0) return
    this.#onMachine(machine, 'iptables', '-w', '-A', 'INPUT', ...lossRule(lossPercent))
  }

  /** Undoes {@link trouble}. */
  heal(machine: string, { lossPercent }: LinkTrouble): void {
    this.#onMachine(machine, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root')
    if (this.hasNetem || lossPercent === 0) return
    this.#onMachine(machine, 'iptables', '-w', '-D', 'INPUT', ...lossRule(lossPercent))
  }

  #onMachine(machine: string, ...command: readonly string[]): void {
    const [first = '', ...rest] = this.prefix(machine)
    runTool(first, ...rest, ...command)
  }

  #isNetemThere(machine: string): boolean {
    const [first = '', ...rest] = this.prefix(machine)
    const dev = ['qdisc', 'replace', 'dev', 'lo', 'root', 'netem', 'delay', '1ms']
    const isThere = canRun(first, ...rest, 'tc', ...dev)
    if (isThere) canRun(first, ...rest, 'tc', 'qdisc', 'del', 'dev', 'lo', 'root')
    return isThere
  }
}

function addNamespace(resources: HostResources, name: string): void {
  resources.addNamespace(name)
  runTool('ip', 'netns', 'add', name)
}

function lookUp(map: ReadonlyMap<string, string>, machine: string): string {
  const found = map.get(machine)
  if (found === undefined) throw new Error(`the network has no machine "${machine}"`)
  return found
}
