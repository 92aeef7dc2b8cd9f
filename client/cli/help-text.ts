import type { Command } from './command.ts'
import { globalOptions } from './command.ts'
import { table } from './format.ts'
import { dashed, type Option, type OptionTable } from './options.ts'

const width = 96

/** `dfs help NAME`. */
export function helpLines(command: Command): string[] {
  const lines = [`usage: dfs ${command.usage}`, '', ...wrap(command.description, width)]
  if (Object.keys(command.options).length > 0) lines.push('', ...optionLines(command.options))
  lines.push('', 'Every command:', ...optionLines(globalOptions))
  if (command.examples.length > 0) {
    lines.push('', 'Examples:', ...command.examples.map((example) => `  ${example}`))
  }
  return lines
}

/** One line per option: names, value, meaning. */
export function optionLines(options: OptionTable): string[] {
  const rows = Object.values(options).map((option) => [`  ${spelling(option)}`, option.help])
  return table(rows, ['left', 'left'])
}

function spelling(option: Option): string {
  const names = option.names.map(dashed).join(', ')
  return option.kind === 'flag' ? names : `${names} ${option.placeholder}`
}

/** Breaks text into lines of at most `columns` characters, at blanks. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
