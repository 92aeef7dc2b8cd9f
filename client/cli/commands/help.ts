import { type Setting, settings } from '../../../protocol/settings.ts'
import { catalog, lookUp } from '../catalog.ts'
import { type CommandContext, defineCommand, globalOptions } from '../command.ts'
import { UsageError } from '../failures.ts'
import { table } from '../format.ts'
import { helpLines, optionLines } from '../help-text.ts'

const exitCodeText =
  'Exit codes: 0 done, 1 something failed (one line each on stderr), 2 the command line was not ' +
  'understood, 130 interrupted, 141 the reader of the output went away.'

export const command = defineCommand({
  name: 'help',
  usage: 'help [COMMAND | settings]',
  description: 'Lists the commands, or shows how to use one, or lists the settings.',
  options: {},
  async run(context, _options, operands) {
    const [topic] = operands
    if (topic === undefined) context.out.lines(overview())
    else if (topic === 'settings') context.out.lines(settingLines())
    else await showCommand(context, topic)
  },
})

async function showCommand(context: CommandContext, topic: string): Promise<void> {
  const found = lookUp(topic.replace(/^-/, ''))
  if (found === undefined) throw new UsageError(`There is no command "${topic}"`)
  const { command } = await found.entry.load()
  context.out.lines(helpLines(command))
}

function overview(): string[] {
  const rows = Object.entries(catalog).map(([name, { summary }]) => [`  ${name}`, summary])
  return [
    'usage: dfs [OPTION...] COMMAND [OPTION...] [ARGUMENT...]',
    '',
    ...table(rows, ['left', 'left']),
    '',
    'Every command:',
    ...optionLines(globalOptions),
    '',
    'The cluster is that of --fs, else of the environment variable DFS_URI, else of fs.defaultFS in the',
    "configuration, else hdfs://127.0.0.1:8020. HDFS's spelling works, too: dfs -ls /, dfs dfs -ls /.",
    exitCodeText,
    '`dfs help COMMAND` says more about one command.',
  ]
}

function settingLines(): string[] {
  const rows = Object.entries<Setting>(settings).map(([name, setting]) => [
    name,
    setting.default === '' ? '(none)' : String(setting.default),
    setting.description,
  ])
  return table([['SETTING', 'DEFAULT', 'MEANING'], ...rows], ['left', 'left', 'left'])
}
