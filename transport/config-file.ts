import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { DfsError } from '../protocol/errors.ts'
import {
  type Setting,
  type SettingName,
  type Settings,
  settings as table,
  withSettings,
} from '../protocol/settings.ts'

/** Where settings come from; later sources win. */
export interface SettingsSource {
  /** JSON file of flat keys, `trefoil.json`. */
  readonly file?: string | undefined
  /** `KEY=VALUE` each, as `--set` takes them. */
  readonly overrides?: readonly string[] | undefined
}

const schema = v.partial(
  v.object(
    Object.fromEntries(Object.entries(table).map(([name, setting]) => [name, schemaOf(setting)])),
  ),
)

/**
 * Reads the configuration file, applies the overrides and fills in the defaults.
 *
 * @throws {@link DfsError} FILE_NOT_FOUND when the file is missing; INVALID_ARGUMENT when it is no JSON
 * object, names a setting that does not exist, or gives one a value outside its range
 */
export async function loadSettings(source: SettingsSource = {}): Promise<Settings> {
  return withSettings(
    await loadOverrides({ file: source.file, assignments: source.overrides ?? [] }),
  )
}

/** Like {@link loadSettings}, without the defaults. */
export async function loadOverrides(source: {
  readonly file: string | undefined
  readonly assignments: readonly string[]
}): Promise<Partial<Settings>> {
  const fromFile = source.file === undefined ? {} : await readSettings(source.file)
  return { ...fromFile, ...parseAssignments(source.assignments) }
}

/** Checks flat keys and values, as they stand in a file; `where` says whose they are. */
export function parseSettings(values: unknown, where: string): Partial<Settings> {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new DfsError('INVALID_ARGUMENT', `${where} must hold one JSON object of settings`)
  }
  for (const name of Object.keys(values)) requireSetting(name, where)
  const result = v.safeParse(schema, values)
  if (!result.success) {
    const problems = result.issues.map((issue) => `${v.getDotPath(issue) ?? ''} ${issue.message}`)
    throw new DfsError('INVALID_ARGUMENT', `${where}: ${problems.join('; ')}`)
  }
  return result.output
}

/** Parses `KEY=VALUE` words; a value is read as the setting's kind demands. */
export function parseAssignments(assignments: readonly string[]): Partial<Settings> {
  const values: Record<string, unknown> = {}
  for (const assignment of assignments) {
    const separator = assignment.indexOf('=')
    if (separator < 1) {
      throw new DfsError('INVALID_ARGUMENT', `--set needs KEY=VALUE, got "${assignment}"`)
    }
    const name = assignment.slice(0, separator)
    const text = assignment.slice(separator + 1)
    values[name] = valueOf(table[requireSetting(name, '--set')], text)
  }
  return parseSettings(values, '--set')
}

async function readSettings(file: string): Promise<Partial<Settings>> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new DfsError('FILE_NOT_FOUND', `Cannot read configuration file "${file}": ${reason}`, {
      path: file,
      cause: error,
    })
  }
  let values: unknown
  try {
    values = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new DfsError('INVALID_ARGUMENT', `Configuration file "${file}" is not JSON: ${reason}`, {
      path: file,
      cause: error,
    })
  }
  return parseSettings(values, `Configuration file "${file}"`)
}

/** A value that does not fit its kind is left as text, so that the schema says what was needed. */
function valueOf(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case 'integer':
      return /^-?\d+$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'text':
      return text
  }
}

function schemaOf(setting: Setting): v.GenericSchema {
  switch (setting.kind) {
    case 'integer': {
      const { min } = setting
      const wanted = `must be an integer of at least ${min}`
      const got = ({ input }: { input: unknown }): string =>
        `${wanted}, got ${JSON.stringify(input)}`
      return v.pipe(v.number(got), v.safeInteger(got), v.minValue(min, got))
    }
    case 'boolean':
      return v.boolean(({ input }) => `must be true or false, got ${JSON.stringify(input)}`)
    case 'text':
      return v.string(({ input }) => `must be a string, got ${JSON.stringify(input)}`)
  }
}

function requireSetting(name: string, where: string): SettingName {
  if (isSetting(name)) return name
  const nearest = nearestName(name)
  const hint = nearest === undefined ? '' : `; did you mean "${nearest}"?`
  throw new DfsError('INVALID_ARGUMENT', `${where}: Unknown setting "${name}"${hint}`)
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(table, name)
}

/** The setting that takes fewest edits to get to, if they are few. */
function nearestName(name: string): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of Object.keys(table)) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions and replacements that turn `left` into `right` (Levenshtein). */
function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= right.length; column += 1) {
      const replace = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1)
      const insert = (current[column - 1] ?? 0) + 1
      const remove = (previous[column] ?? 0) + 1
      current.push(Math.min(replace, insert, remove))
    }
    previous = current
  }
  return previous[right.length] ?? 0
}
