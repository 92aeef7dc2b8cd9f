import { setTimeout as delay } from 'node:timers/promises'
import type { SafeModeAction } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { safeModeLines } from '../node-report.ts'
import { optionalAnswer } from '../operator-answers.ts'
import { flag } from '../options.ts'

const options = { json: flag('json', 'get: a JSON object') } as const

const waitPollMs = 500

const actions: Readonly<Record<string, SafeModeAction>> = {
  get: 'get',
  enter: 'enter',
  leave: 'leave',
  forceExit: 'force-exit',
}

export const command = defineCommand({
  name: 'safemode',
  usage: 'safemode get | enter | leave | forceExit | wait',
  description:
    'In safe mode the namenode changes nothing and copies nothing; reading goes on. It is in it after a start until enough ' +
    'blocks have been reported, and when an operator says `enter`. `get` says what it waits for; `wait` returns when it is ' +
    'off. `forceExit` is `leave` under the name that HDFS has for it.',
  examples: ['dfs safemode get', 'dfs safemode wait'],
  options,
  async run(context, { json }, operands) {
    const [verb = '', ...others] = operands
    if (others.length > 0) throw new UsageError(`"${others.join(' ')}" is one word too many`)
    const fs = await context.session.fs()
    if (verb === 'wait') {
      await waitUntilOff(context, fs)
      return
    }
    const action = Object.hasOwn(actions, verb) ? actions[verb] : undefined
    if (action === undefined) throw new UsageError('Say get, enter, leave, forceExit or wait')
    const { signal, out } = context
    const isOn = await fs.safeMode(action, { signal })
    const report =
      action === 'get' ? await optionalAnswer(fs.operator.safeMode({ signal })) : undefined
    if (json) out.json({ isSafeMode: isOn, ...report })
    else {
      out.line(`Safe mode is ${isOn ? 'ON' : 'OFF'}`)
      if (report !== undefined) out.lines(safeModeLines(report))
    }
  },
})

async function waitUntilOff({ signal, out }: CommandContext, fs: FileSystem): Promise<void> {
  while (await fs.safeMode('get', { signal })) await delay(waitPollMs, undefined, { signal })
  out.line('Safe mode is OFF')
}
