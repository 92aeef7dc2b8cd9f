/**
 * Option syntax of the `dfs` command. Two families of users meet here: HDFS's single-dash words
 * (`-skipTrash`, `-R`) and GNU's short and long options (`-rf`, `--recursive`, `--jobs=4`). An argument
 * that starts with one dash is a declared word if it equals one, else a bundle of declared letters.
 */
import { unreachable } from '../../base/assert.ts'
import { UsageError } from './failures.ts'

interface Described {
  /** Without dashes; one-letter names bundle, longer ones take one dash or two. The first is shown first. */
  readonly names: readonly string[]
  readonly help: string
}

export interface FlagOption extends Described {
  readonly kind: 'flag'
}

export interface ValueOption extends Described {
  readonly kind: 'value'
  readonly placeholder: string
}

export interface ListOption extends Described {
  readonly kind: 'list'
  readonly placeholder: string
}

export type Option = FlagOption | ValueOption | ListOption
export type OptionTable = Readonly<Record<string, Option>>

/** What parsing yields for each option of a table. */
export type OptionValues<T extends OptionTable> = {
  readonly [Key in keyof T]: T[Key] extends FlagOption
    ? boolean
    : T[Key] extends ListOption
      ? readonly string[]
      : string | undefined
}

/** Declares a switch; `names` are separated by blanks. */
export function flag(names: string, help: string): FlagOption {
  return { kind: 'flag', names: names.split(' '), help }
}

/** Declares an option with a value; the last one given wins. */
export function value(names: string, placeholder: string, help: string): ValueOption {
  return { kind: 'value', names: names.split(' '), placeholder, help }
}

/** Declares an option with a value that may be repeated. */
export function list(names: string, placeholder: string, help: string): ListOption {
  return { kind: 'list', names: names.split(' '), placeholder, help }
}

export interface ParseRules {
  /** Arguments with a leading dash that are operands all the same, such as the mode `-w` of chmod. */
  readonly dashedOperand?: RegExp
  /** Stop at the first operand and leave the rest unread, as for the options before a command's name. */
  readonly stopAtOperand?: (argument: string) => boolean
}

export interface ParsedArguments<T extends OptionTable, G extends OptionTable> {
  readonly options: OptionValues<T>
  readonly inherited: OptionValues<G>
  readonly operands: readonly string[]
}

/**
 * Splits arguments into options and operands, in any order. Names in `own` hide equal ones in `inherited`.
 *
 * @throws {@link UsageError} for an unknown option, a missing value, or a value given to a switch
 */
export function parseArguments<T extends OptionTable, G extends OptionTable>(
  own: T,
  inherited: G,
  args: readonly string[],
  rules: ParseRules = {},
): ParsedArguments<T, G> {
  const reader = new ArgumentReader([inherited, own], args, rules)
  reader.readAll()
  return {
    options: reader.valuesOf(own),
    inherited: reader.valuesOf(inherited),
    operands: reader.operands,
  }
}

/** Spells an option name as users type it. */
export function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`
}

class ArgumentReader {
  readonly operands: string[] = []
  readonly #args: readonly string[]
  readonly #rules: ParseRules
  readonly #optionByName = new Map<string, Option>()
  readonly #flags = new Set<Option>()
  readonly #values = new Map<Option, string[]>()
  #position = 0

  constructor(tables: readonly OptionTable[], args: readonly string[], rules: ParseRules) {
    this.#args = args
    this.#rules = rules
    for (const option of tables.flatMap((table) => Object.values(table))) {
      for (const name of option.names) this.#optionByName.set(name, option)
    }
  }

  /** The one place where the kinds of a table become the types of its values. */
  valuesOf<T extends OptionTable>(table: T): OptionValues<T> {
    const entries = Object.entries(table).map(([key, option]) => [key, this.#valueOf(option)])
    return Object.fromEntries(entries) as OptionValues<T>
  }

  #valueOf(option: Option): boolean | string | readonly string[] | undefined {
    switch (option.kind) {
      case 'flag':
        return this.#flags.has(option)
      case 'list':
        return this.#values.get(option) ?? []
      case 'value':
        return this.#values.get(option)?.at(-1)
      default:
        return unreachable(option)
    }
  }

  readAll(): void {
    for (;;) {
      const argument = this.#args[this.#position]
      if (argument === undefined) return
      if (argument === '--') {
        this.operands.push(...this.#args.slice(this.#position + 1))
        return
      }
      if (this.#rules.stopAtOperand?.(argument) === true) {
        this.operands.push(...this.#args.slice(this.#position))
        return
      }
      this.#position += 1
      if (this.#isOperand(argument)) this.operands.push(argument)
      else if (argument.startsWith('--')) this.#readLong(argument.slice(2), argument, true)
      else this.#readSingleDash(argument)
    }
  }

  #isOperand(argument: string): boolean {
    if (argument === '-' || !argument.startsWith('-')) return true
    if (this.#rules.dashedOperand?.test(argument) === true) {
      return !this.#optionByName.has(argument.slice(1))
    }
    const digit = argument.slice(1, 2)
    return /^-\d+$/.test(argument) && !this.#optionByName.has(digit)
  }

  #readSingleDash(argument: string): void {
    const word = argument.slice(1)
    const name = word.split('=', 1)[0] ?? word
    if (name.length > 1 && this.#optionByName.has(name)) this.#readLong(word, argument, false)
    else this.#readBundle(argument)
  }

  #readLong(word: string, argument: string, mayAbbreviate: boolean): void {
    const equals = word.indexOf('=')
    const name = equals === -1 ? word : word.slice(0, equals)
    const option = this.#find(name, mayAbbreviate)
    if (option === undefined) throw new UsageError(`Unknown option ${argument}`)
    const given = equals === -1 ? undefined : word.slice(equals + 1)
    if (option.kind !== 'flag') this.#store(option, given ?? this.#next(argument))
    else if (given === undefined) this.#flags.add(option)
    else throw new UsageError(`Option ${argument} takes no value`)
  }

  /** Letters up to one that takes a value, which gets the rest of the bundle or the next argument. */
  #readBundle(argument: string): void {
    for (let index = 1; index < argument.length; index += 1) {
      const option = this.#optionByName.get(argument.charAt(index))
      if (option === undefined) throw new UsageError(`Unknown option ${argument}`)
      if (option.kind !== 'flag') {
        const rest = argument.slice(index + 1)
        this.#store(option, rest === '' ? this.#next(argument) : rest)
        return
      }
      this.#flags.add(option)
    }
  }

  #find(name: string, mayAbbreviate: boolean): Option | undefined {
    const exact = this.#optionByName.get(name)
    if (exact !== undefined || !mayAbbreviate || name.length < 2) return exact
    const candidates = new Set(
      [...this.#optionByName].filter(([long]) => long.startsWith(name)).map(([, option]) => option),
    )
    return candidates.size === 1 ? [...candidates][0] : undefined
  }

  #next(argument: string): string {
    const next = this.#args[this.#position]
    if (next === undefined) throw new UsageError(`Option ${argument} needs a value`)
    this.#position += 1
    return next
  }

  #store(option: Option, text: string): void {
    const values = this.#values.get(option) ?? []
    values.push(text)
    this.#values.set(option, values)
  }
}
