/**
 * Answers of Hadoop's `/jmx`: beans as JSON, chosen by `qry` (a pattern of names) or `get` (one attribute), laid out as Hadoop lays
 * them out, because some tools look for text like `"NumLiveDataNodes" : 3`.
 */
import { freemem, hostname, totalmem } from 'node:os'

/** What a bean shows; long values as HDFS has them, texts with JSON in them where HDFS has texts. */
export type JmxValue =
  | string
  | number
  | boolean
  | null
  | readonly JmxValue[]
  | { readonly [name: string]: JmxValue }

export interface JmxBean {
  /** `domain:key=value,key=value`. */
  readonly name: string
  /** Java class, or what stands for it. */
  readonly modelerType: string
  /** Called when the bean is asked for. */
  readonly read: () => Readonly<Record<string, JmxValue>>
}

export interface JmxAnswer {
  readonly status: 200 | 400 | 404
  readonly body: string
}

/** Answers one request; `query` as it came, so its values may be anything. */
export function answerJmx(
  beans: readonly JmxBean[],
  query: Readonly<Record<string, unknown>>,
): JmxAnswer {
  const { get, qry } = query
  if (get !== undefined) return answerGet(beans, get)
  const chosen = choose(beans, qry === undefined || qry === '' ? '*:*' : qry)
  if (chosen === undefined) return malformed('query')
  return answer(200, { beans: chosen.map((bean) => ({ ...head(bean), ...bean.read() })) })
}

function answerGet(beans: readonly JmxBean[], get: unknown): JmxAnswer {
  const [pattern, attribute, ...more] = typeof get === 'string' ? get.split('::') : []
  if (pattern === undefined || attribute === undefined || more.length > 0) {
    return answer(400, { result: 'ERROR', message: 'query format is not as expected.' })
  }
  const chosen = choose(beans, pattern)
  if (chosen === undefined) return malformed('get')
  const found: JmxValue[] = []
  for (const bean of chosen) {
    const values = bean.read()
    if (!Object.hasOwn(values, attribute)) {
      const message = `No attribute with name ${attribute} was found.`
      return answer(404, { beans: [...found, { ...head(bean), result: 'ERROR', message }] })
    }
    found.push({ ...head(bean), [attribute]: values[attribute] ?? null })
  }
  return answer(200, { beans: found })
}

/** The minimum of the Java machine's beans that tools ask for: who runs, since when, with how much memory. */
export function processBeans(): JmxBean[] {
  return [
    {
      name: 'java.lang:type=Runtime',
      modelerType: 'sun.management.RuntimeImpl',
      read: () => {
        const uptimeMs = Math.round(process.uptime() * 1000)
        return {
          ...{ Name: `${process.pid}@${hostname()}`, VmName: 'Node.js', VmVendor: 'OpenJS' },
          ...{ VmVersion: process.versions.node, Uptime: uptimeMs },
          StartTime: Date.now() - uptimeMs,
        }
      },
    },
    {
      name: 'java.lang:type=Memory',
      modelerType: 'sun.management.MemoryImpl',
      read: () => {
        const { heapTotal, heapUsed, external } = process.memoryUsage()
        return {
          HeapMemoryUsage: { committed: heapTotal, init: 0, max: totalmem(), used: heapUsed },
          NonHeapMemoryUsage: { committed: external, init: 0, max: -1, used: external },
        }
      },
    },
    {
      name: 'java.lang:type=OperatingSystem',
      modelerType: 'sun.management.OperatingSystemImpl',
      read: () => ({ FreePhysicalMemorySize: freemem(), TotalPhysicalMemorySize: totalmem() }),
    },
  ]
}

function head({ name, modelerType }: JmxBean): { name: string; modelerType: string } {
  return { name, modelerType }
}

function malformed(parameter: string): JmxAnswer {
  const message = `${parameter} must be a name such as Hadoop:service=NameNode,name=*`
  return answer(400, { result: 'ERROR', message })
}

function answer(status: JmxAnswer['status'], body: JmxValue): JmxAnswer {
  return { status, body: `${print(body, '')}\n` }
}

/** The beans whose names match; `undefined` when the pattern is none. */
function choose(beans: readonly JmxBean[], pattern: unknown): JmxBean[] | undefined {
  const wanted = typeof pattern === 'string' ? parseName(pattern) : undefined
  if (wanted === undefined) return undefined
  return beans.filter(({ name }) => {
    const own = parseName(name)
    return own !== undefined && matches(wanted, own)
  })
}

interface ObjectName {
  readonly domain: string
  readonly keys: ReadonlyMap<string, string>
  /** Other keys may be there, too. */
  readonly isOpen: boolean
}

function parseName(text: string): ObjectName | undefined {
  const colon = text.indexOf(':')
  const properties = text.slice(colon + 1)
  if (colon < 0 || properties === '') return undefined
  const keys = new Map<string, string>()
  let isOpen = false
  for (const property of properties.split(',')) {
    if (property === '*') {
      isOpen = true
      continue
    }
    const equals = property.indexOf('=')
    const key = property.slice(0, equals)
    if (equals < 1 || property.length === equals + 1 || keys.has(key)) return undefined
    keys.set(key, property.slice(equals + 1))
  }
  return { domain: text.slice(0, colon), keys, isOpen }
}

function matches(wanted: ObjectName, own: ObjectName): boolean {
  if (!isLike(own.domain, wanted.domain)) return false
  if (!wanted.isOpen && own.keys.size !== wanted.keys.size) return false
  for (const [key, pattern] of wanted.keys) {
    const value = own.keys.get(key)
    if (value === undefined || !isLike(value, pattern)) return false
  }
  return true
}

/** `*` stands for any text, `?` for one character. Time is bounded: by the lengths' product. */
function isLike(text: string, pattern: string): boolean {
  let reachable = new Set([0])
  for (const letter of pattern) {
    const next = new Set<number>()
    for (const at of reachable) {
      if (letter === '*') for (let to = at; to <= text.length; to += 1) next.add(to)
      else if (at < text.length && (letter === '?' || letter === text[at])) next.add(at + 1)
    }
    reachable = next
  }
  return reachable.has(text.length)
}

/** JSON in the layout of Jackson's printer: objects on lines of their own, ` : ` behind names, arrays inline. */
function print(value: JmxValue, indent: string): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (isList(value)) {
    return value.length === 0 ? '[ ]' : `[ ${value.map((item) => print(item, indent)).join(', ')} ]`
  }
  const inner = `${indent}  `
  const lines = Object.entries(value).map(
    ([name, item]) => `${inner}${JSON.stringify(name)} : ${print(item, inner)}`,
  )
  return lines.length === 0 ? '{ }' : `{\n${lines.join(',\n')}\n${indent}}`
}

function isList(value: object): value is readonly JmxValue[] {
  return Array.isArray(value)
}
