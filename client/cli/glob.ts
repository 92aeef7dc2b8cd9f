/**
 * Patterns on remote paths, in HDFS's syntax: `*` and `?` within one component, `[a-z]` and `[^a-z]`,
 * `{a,b}` anywhere (also across `/`), and `\` before a character that is meant literally. As in HDFS,
 * `*` matches names that start with a dot.
 */
import type { FileStatus } from '../index.ts'
import { UsageError } from './failures.ts'

/** What expansion asks of a file system. */
export interface GlobSource {
  /** Undefined when there is nothing at `path`. */
  stat(path: string): Promise<FileStatus | undefined>
  list(directory: string): AsyncIterable<FileStatus>
}

const alternativesMax = 10_000

/** True when `text` has an unescaped character that makes it a pattern. */
export function isPattern(text: string): boolean {
  return /(?<!\\)(?:\\\\)*[*?[{]/.test(text)
}

/** Takes the backslashes away that protect characters. */
export function unescapeGlob(text: string): string {
  return text.replaceAll(/\\(.)/gs, '$1')
}

/**
 * Everything that matches an absolute pattern, sorted by path. A pattern that matches nothing is tried
 * once more as a plain name, so that a file really called `a[1]` can be named.
 */
export async function expandGlob(pattern: string, source: GlobSource): Promise<FileStatus[]> {
  if (!isPattern(pattern)) {
    const status = await source.stat(unescapeGlob(pattern))
    return status === undefined ? [] : [status]
  }
  const foundByPath = new Map<string, FileStatus>()
  for (const alternative of expandBraces(pattern)) {
    const components = alternative.split('/').filter((component) => component !== '')
    for await (const status of walk('/', components, source)) foundByPath.set(status.path, status)
  }
  if (foundByPath.size === 0) {
    const literal = await source.stat(pattern)
    if (literal !== undefined) foundByPath.set(literal.path, literal)
  }
  return [...foundByPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function* walk(
  directory: string,
  components: readonly string[],
  source: GlobSource,
): AsyncIterable<FileStatus> {
  const plain = components.findIndex(isPattern)
  if (plain === -1) {
    const status = await source.stat(join(directory, components.map(unescapeGlob)))
    if (status !== undefined) yield status
    return
  }
  const parent = join(directory, components.slice(0, plain).map(unescapeGlob))
  const matcher = componentMatcher(components[plain] ?? '')
  const rest = components.slice(plain + 1)
  const parentStatus = await source.stat(parent)
  if (parentStatus === undefined || !parentStatus.isDirectory()) return
  for await (const status of source.list(parent)) {
    if (!matcher.test(status.name)) continue
    if (rest.length === 0) yield status
    else if (status.isDirectory()) yield* walk(status.path, rest, source)
  }
}

function join(directory: string, components: readonly string[]): string {
  if (components.length === 0) return directory
  return `${directory === '/' ? '' : directory}/${components.join('/')}`
}

/** `a{b,c{d,e}}f` as `abf`, `acdf`, `acef`; a group may hold slashes. */
export function expandBraces(pattern: string): string[] {
  const open = findUnescaped(pattern, '{', 0)
  if (open === -1) return [pattern]
  const parts: string[] = []
  let depth = 0
  let partStart = open + 1
  for (let index = open; index < pattern.length; index += 1) {
    const character = pattern.charAt(index)
    if (character === '\\') index += 1
    else if (character === '{') depth += 1
    else if (character === ',' && depth === 1) {
      parts.push(pattern.slice(partStart, index))
      partStart = index + 1
    } else if (character === '}') {
      depth -= 1
      if (depth > 0) continue
      parts.push(pattern.slice(partStart, index))
      return combine(pattern.slice(0, open), parts, pattern.slice(index + 1))
    }
  }
  throw new UsageError(`Pattern "${pattern}" has a { without its }`)
}

function combine(before: string, parts: readonly string[], after: string): string[] {
  const tails = expandBraces(after)
  const middles = parts.flatMap((part) => expandBraces(part))
  if (tails.length * middles.length > alternativesMax) {
    throw new UsageError(`Pattern stands for more than ${alternativesMax} alternatives`)
  }
  return middles.flatMap((middle) => tails.map((tail) => `${before}${middle}${tail}`))
}

function findUnescaped(text: string, wanted: string, from: number): number {
  for (let index = from; index < text.length; index += 1) {
    if (text.charAt(index) === '\\') index += 1
    else if (text.charAt(index) === wanted) return index
  }
  return -1
}

/** The expression for one path component. */
export function componentMatcher(component: string): RegExp {
  let expression = ''
  for (let index = 0; index < component.length; index += 1) {
    const character = component.charAt(index)
    if (character === '\\') {
      index += 1
      expression += quoted(component.charAt(index))
    } else if (character === '*') expression += '.*'
    else if (character === '?') expression += '.'
    else if (character === '[') {
      const close = component.indexOf(']', index + 2)
      if (close === -1) throw new UsageError(`Pattern "${component}" has a [ without its ]`)
      expression += characterClass(component.slice(index + 1, close))
      index = close
    } else expression += quoted(character)
  }
  return new RegExp(`^${expression}$`, 'su')
}

function characterClass(body: string): string {
  const isNegated = body.startsWith('^') || body.startsWith('!')
  const members = (isNegated ? body.slice(1) : body).replaceAll(/[\\\]^[]/g, '\\$&')
  return `[${isNegated ? '^' : ''}${members}]`
}

function quoted(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character
}
