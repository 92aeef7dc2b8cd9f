import { setTimeout as delay } from 'node:timers/promises'
import type { BalanceStatus, Operator } from '../../index.ts'
import { balanceTable, flowLines, summaryLine } from '../balance-report.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { parseSize } from '../format.ts'
import { flag, type OptionValues, value } from '../options.ts'

const options = {
  plan: flag('plan n', 'only show what would be moved'),
  threshold: value('threshold t', 'PERCENT', 'how far a datanode may be from the average'),
  bandwidth: value('bandwidth b', 'BYTES', 'bytes a second to move at most, like 50M'),
  wait: flag('wait w', 'return when the datanodes are balanced'),
  json: flag('json', 'a JSON object'),
} as const

const pollMs = 1000

type BalanceOptions = OptionValues<typeof options>

export const command = defineCommand({
  name: 'balance',
  usage:
    'balance [status | start | stop] [--plan] [--threshold PERCENT] [--bandwidth BYTES] [--wait]',
  description:
    'Shows how evenly the datanodes are filled. The namenode itself moves replicas from those that are fuller than the ' +
    'average to emptier ones, all the time, copying before it deletes, within a bandwidth, and only while nothing waits ' +
    'for repair. `stop` turns that off and `start` on again, until the namenode restarts (dfs.namenode.balance.enabled ' +
    'decides then). --plan shows what would be moved for a threshold and changes nothing.',
  examples: [
    'dfs balance',
    'dfs balance --plan --threshold 5',
    'dfs balance start --bandwidth 200M --wait',
  ],
  options,
  async run(context, options, [verb = 'status', ...rest]) {
    if (rest.length > 0) throw new UsageError('Say one of status, start, stop')
    const { operator } = await context.session.fs()
    const wish = {
      thresholdPercent: percent(options.threshold),
      bytesPerSecond: rate(options.bandwidth),
    }
    const isPlan = options.plan || verb === 'plan'
    switch (verb) {
      case 'status':
      case 'plan':
        await show(context, operator, { isPlan, options, wish })
        return
      case 'start':
      case 'stop':
        if (options.plan) throw new UsageError('--plan changes nothing: leave out start and stop')
        await operator.setBalance(
          { ...wish, isEnabled: verb === 'start' },
          { signal: context.signal },
        )
        await show(context, operator, { isPlan, options, wish: {} })
        return
      default:
        throw new UsageError(`"${verb}" is none of status, start, stop`)
    }
  },
})

async function show(
  context: CommandContext,
  operator: Operator,
  call: {
    readonly isPlan: boolean
    readonly options: BalanceOptions
    readonly wish: {
      readonly thresholdPercent?: number | undefined
      readonly bytesPerSecond?: number | undefined
    }
  },
): Promise<void> {
  const { isPlan, options, wish } = call
  const isChange = wish.thresholdPercent !== undefined || wish.bytesPerSecond !== undefined
  if (!isPlan && isChange) throw new UsageError('Say `start` to change it, or --plan to look')
  const { signal } = context
  const status = options.wait
    ? await untilBalanced(context, operator)
    : await operator.balance(wish.thresholdPercent, { signal })
  if (options.json) {
    context.out.json(status)
    return
  }
  context.out.lines(balanceTable(status))
  if (isPlan) {
    const bytesPerSecond = wish.bytesPerSecond ?? status.bytesPerSecond
    context.out.lines(flowLines({ ...status, bytesPerSecond }))
  } else context.out.line(summaryLine(status))
}

/** Asks again until nothing is to be moved and nothing is being moved. */
async function untilBalanced(context: CommandContext, operator: Operator): Promise<BalanceStatus> {
  for (;;) {
    const status = await operator.balance(undefined, { signal: context.signal })
    if (status.movingBlocks === 0 && status.flows.length === 0) return status
    await delay(pollMs, undefined, { signal: context.signal })
  }
}

function percent(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text.replace(/%$/, ''))
  if (Number.isInteger(value) && value >= 1 && value <= 100) return value
  throw new UsageError(`Cannot read threshold "${text}": need a whole percentage from 1 to 100`)
}

function rate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const bytes = parseSize(text.replace(/\/s$/, ''))
  if (bytes !== undefined && bytes > 0) return bytes
  throw new UsageError(`Cannot read bandwidth "${text}": need bytes a second, like 50M`)
}
