import { setTimeout as delay } from 'node:timers/promises'
import type { NodeStatus, Operator } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { counted, parseDuration } from '../format.ts'
import {
  guardLines,
  lostNames,
  nodeDetails,
  nodeTable,
  progressOf,
  stateOf,
} from '../node-report.ts'
import { flag, type OptionValues, value } from '../options.ts'

const options = {
  for: value('for', 'TIME', 'maintain: ends by itself after that, like 90m, 2h, 1d'),
  wait: flag('wait w', 'drain, maintain: return when it is done; show the progress'),
  now: flag('now', 'repair: go on without the datanodes that vanished'),
  json: flag('json', 'a JSON array of datanodes'),
} as const

const waitPollMs = 1000
const blocksShown = 10
const blocksShownMax = 100

type NodeOptions = OptionValues<typeof options>

interface Call {
  readonly operator: Operator
  readonly nodes: readonly string[]
  readonly options: NodeOptions
}

const verbs: Readonly<Record<string, (context: CommandContext, call: Call) => Promise<void>>> = {
  list,
  show,
  drain: (context, call) =>
    ask(context, call, (node) => call.operator.drainNode(node, { signal: context.signal })),
  maintain,
  resume: (context, call) =>
    ask(context, call, (node) => call.operator.resumeNode(node, { signal: context.signal })),
  repair,
}

export const command = defineCommand({
  name: 'node',
  usage:
    'node list [NODE...] | show NODE... | drain NODE... [--wait] | maintain NODE... [--for TIME] [--wait] | resume NODE... | repair [--now]',
  description:
    'Takes datanodes out of service and back. NODE is host:port, a host with one datanode on it, or a uuid, as `list` shows ' +
    'them. `drain` (HDFS: decommission) gives a datanode no new blocks and copies what it holds elsewhere; when it is ' +
    '`drained` it may be switched off for good. `maintain` prepares it for being off for a while: only blocks that would ' +
    'have no live replica are copied. `resume` takes either back, at any time. `show` says what is left and why. ' +
    '`repair` says whether the copying of lost replicas waits because many datanodes vanished together; with --now it ' +
    'goes on without them.',
  examples: [
    'dfs node list',
    'dfs node drain worker-7:9866 --wait',
    'dfs node maintain worker-7 --for 2h',
    'dfs node resume worker-7',
    'dfs node repair --now',
  ],
  options,
  async run(context, options, [verb, ...nodes]) {
    if (verb === undefined)
      throw new UsageError('Say list, show, drain, maintain, resume or repair')
    const action = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined
    if (action === undefined) {
      throw new UsageError(`"${verb}" is none of list, show, drain, maintain, resume, repair`)
    }
    if (verb !== 'list' && verb !== 'repair' && nodes.length === 0) {
      throw new UsageError(`Name the datanodes to ${verb}; \`dfs node list\` shows them`)
    }
    if (options.for !== undefined && verb !== 'maintain') {
      throw new UsageError('--for goes with maintain only')
    }
    const { operator } = await context.session.fs()
    await action(context, { operator, nodes, options })
  },
})

async function list(context: CommandContext, { operator, nodes, options }: Call): Promise<void> {
  const { signal, out } = context
  const found: NodeStatus[] = []
  if (nodes.length === 0) found.push(...(await operator.nodes({ signal })))
  for (const node of nodes) {
    await context.attempt(node, async () => {
      found.push(...(await operator.nodes({ node, signal })))
    })
  }
  if (options.json) out.json(found)
  else out.lines(nodeTable(found))
}

async function show(context: CommandContext, { operator, nodes, options }: Call): Promise<void> {
  const { signal, out } = context
  const found: NodeStatus[] = []
  for (const node of nodes) {
    await context.attempt(node, async () => {
      const blocksLeftMax = options.json ? blocksShownMax : blocksShown
      found.push(...(await operator.nodes({ node, blocksLeftMax, signal })))
    })
  }
  if (options.json) out.json(found)
  else out.lines(found.flatMap((node, index) => [...(index > 0 ? [''] : []), ...nodeDetails(node)]))
}

async function maintain(context: CommandContext, call: Call): Promise<void> {
  const text = call.options.for
  const durationMs = text === undefined ? undefined : parseDuration(text)
  if (text !== undefined && (durationMs === undefined || durationMs === 0)) {
    throw new UsageError(`--for takes a time like 90m, 2h or 1d, not "${text}"`)
  }
  const { signal } = context
  await ask(context, call, (node) => call.operator.maintainNode(node, { durationMs, signal }))
}

/** Asks the same of every datanode named; a failure about one does not keep the others from it. */
async function ask(
  context: CommandContext,
  { operator, nodes, options }: Call,
  request: (node: string) => Promise<NodeStatus>,
): Promise<void> {
  const { out } = context
  const asked: NodeStatus[] = []
  for (const name of nodes) {
    await context.attempt(name, async () => {
      const node = await request(name)
      asked.push(node)
      if (!options.json) out.line(`${node.name}: ${stateOf(node)}`)
      out.flush()
    })
  }
  if (options.wait) {
    for (const [index, node] of asked.entries()) {
      asked[index] = await waitUntilDone(context, operator, node)
    }
  }
  if (options.json) out.json(asked)
}

/** Follows one datanode on stderr until what was asked of it is done. */
async function waitUntilDone(
  context: CommandContext,
  operator: Operator,
  asked: NodeStatus,
): Promise<NodeStatus> {
  const { signal, out } = context
  let shown = ''
  for (;;) {
    const [node = asked] = await operator.nodes({ node: asked.uuid, blocksLeftMax: 1, signal })
    const text = progressOf(node)
    if (text === '') {
      if (node.adminState !== asked.adminState) out.line(`${node.name}: ${stateOf(node)}`)
      return node
    }
    const why = node.left?.etaMs === undefined ? node.blocksLeft[0]?.reason : undefined
    const note = why === undefined ? text : `${text}; ${why}`
    if (note !== shown) context.note(`${node.name}: ${note}`)
    shown = note
    await delay(waitPollMs, undefined, { signal })
  }
}

async function repair(context: CommandContext, { operator, nodes, options }: Call): Promise<void> {
  if (nodes.length > 0) throw new UsageError('repair concerns all datanodes: name none')
  const { signal, out } = context
  const guard = options.now
    ? await operator.resumeRepair({ signal })
    : await operator.repairGuard({ signal })
  if (options.json) out.json(guard)
  else if (!guard.isPaused) out.line('Repair is not held back')
  else if (options.now) {
    out.line(
      `Repair goes on without ${counted(guard.lost.length, 'datanode')}: ${lostNames(guard)}`,
    )
  } else out.lines(guardLines(guard))
}
