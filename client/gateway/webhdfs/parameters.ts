import { DfsError } from '../../../protocol/errors.ts'

/** Bounds of a numeric parameter. */
export interface Bounds {
  readonly min?: number
  readonly max?: number
}

/** A word that a parameter may be, and the Java type HDFS names when it is another. */
export interface Words<W extends string> {
  readonly words: readonly W[]
  readonly javaType: string
}

/** Largest Java long. */
const longMax = 2n ** 63n - 1n

const userPattern = /^[A-Za-z_][A-Za-z0-9._-]*[$]?$/

/**
 * Parameters of one request: names in any case, the first of several values. What does not parse is refused with the
 * texts of org.apache.hadoop.hdfs.web.resources, which clients show and match.
 */
export class Parameters {
  readonly #values = new Map<string, string>()
  readonly #pairs: [name: string, value: string][] = []

  /** @param query what follows the question mark of a URL */
  constructor(query: string) {
    for (const [name, value] of new URLSearchParams(query)) {
      const key = name.toLowerCase()
      if (!this.#values.has(key)) this.#values.set(key, value)
      this.#pairs.push([key, value])
    }
  }

  /** A text; `undefined` when it is absent or empty. */
  text(name: string): string | undefined {
    const value = this.#values.get(name)
    return value === '' ? undefined : value
  }

  /** Every value of a parameter that may be given more than once. */
  texts(name: string): string[] {
    return this.#pairs
      .filter(([key, value]) => key === name && value !== '')
      .map(([, value]) => value)
  }

  /** A text that the operation cannot do without. */
  required(name: string, operation: string): string {
    const value = this.text(name)
    if (value !== undefined) return value
    throw refused(`Required param ${name} for op: ${operation} is null or empty`)
  }

  /** An absolute path; symbolic or relative parts are the namenode's to judge. */
  path(name: string): string | undefined {
    const value = this.text(name)
    if (value === undefined || value.startsWith('/')) return value
    throw invalid(name, `Invalid parameter value: ${name} = "${value}" is not an absolute path.`)
  }

  /** A Java long, cut to what a number holds exactly. */
  long(name: string, bounds: Bounds = {}): number | undefined {
    return this.#number(name, bounds, 'long integer', longMax)
  }

  /** A Java int. */
  integer(name: string, bounds: Bounds = {}): number | undefined {
    return this.#number(name, bounds, 'integer', 2n ** 31n - 1n)
  }

  /** A Java short. */
  short(name: string, bounds: Bounds = {}): number | undefined {
    return this.#number(name, bounds, 'short integer', 2n ** 15n - 1n)
  }

  /** Permission bits in octal, at most 1777. */
  permission(name: string): number | undefined {
    const value = this.#present(name)
    if (value === undefined) return undefined
    const bits = /^\+?[0-7]+$/.test(value) ? Number.parseInt(value, 8) : -1
    if (bits < 0 || bits > 0o77777) {
      throw invalid(name, `Failed to parse "${value}" as a radix-8 short integer.`)
    }
    if (bits > 0o1777) {
      throw invalid(name, `Invalid parameter range: ${name} = ${bits.toString(8)} > 1777`)
    }
    return bits
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.#present(name)
    if (value === undefined) return otherwise
    if (/^true$/i.test(value)) return true
    if (/^false$/i.test(value)) return false
    throw invalid(name, `Failed to parse "${value}" to Boolean.`)
  }

  /** Words separated by commas, in capitals. */
  words<W extends string>(name: string, { words, javaType }: Words<W>): Set<W> {
    const found = new Set<W>()
    for (const text of this.text(name)?.split(',') ?? []) {
      const capital = text.trim().toUpperCase()
      const word = words.find((candidate) => candidate === capital)
      if (word === undefined) throw invalid(name, `No enum constant ${javaType}.${capital}`)
      found.add(word)
    }
    return found
  }

  /** A user's name. */
  user(name: string): string | undefined {
    const value = this.text(name)
    if (value === undefined || userPattern.test(value)) return value
    const domain = userPattern.source
    throw invalid(name, `Invalid value: "${value}" does not belong to the domain ${domain}`)
  }

  /** The query again, without `dropped` and with `added`. */
  query(dropped: readonly string[], added: Readonly<Record<string, string>>): string {
    const kept = [...this.#values].filter(([name]) => !dropped.includes(name) && !(name in added))
    return new URLSearchParams([...kept, ...Object.entries(added)]).toString()
  }

  /** HDFS's own clients write "null" for what is not set. */
  #present(name: string): string | undefined {
    const value = this.#values.get(name)
    return value === 'null' ? undefined : value
  }

  #number(name: string, { min, max }: Bounds, type: string, typeMax: bigint): number | undefined {
    const value = this.#present(name)
    if (value === undefined) return undefined
    const exact = /^[+-]?\d{1,40}$/.test(value) ? BigInt(value.replace('+', '')) : typeMax + 1n
    if (exact > typeMax || exact < -typeMax - 1n) {
      throw invalid(name, `Failed to parse "${value}" as a radix-10 ${type}.`)
    }
    const outside = boundPassed(exact, { min, max })
    if (outside !== undefined) {
      throw invalid(name, `Invalid parameter range: ${name} = ${exact} ${outside}`)
    }
    const safe = BigInt(Number.MAX_SAFE_INTEGER)
    return Number(exact > safe ? safe : exact)
  }
}

/** A refusal of one parameter, in HDFS's words. */
export function invalid(name: string, reason: string): DfsError {
  return refused(`Invalid value for webhdfs parameter "${name}": ${reason}`)
}

/** HDFS's IllegalArgumentException. */
export function refused(message: string, details: { readonly cause?: unknown } = {}): DfsError {
  return new DfsError('INVALID_ARGUMENT', message, {
    javaClass: 'java.lang.IllegalArgumentException',
    ...details,
  })
}

function boundPassed(
  value: bigint,
  { min, max }: { readonly min: number | undefined; readonly max: number | undefined },
): string | undefined {
  if (min !== undefined && value < BigInt(min)) return `< ${min}`
  return max !== undefined && value > BigInt(max) ? `> ${max}` : undefined
}
