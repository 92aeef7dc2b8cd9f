import type { SimConfig } from './config.ts'

type Group = Readonly<Record<string, unknown>>

/**
 * Replaces values of a configuration by what `--set NAME=VALUE` says: `clients=1`, `faults.rot=0`,
 * `settings.dfs.heartbeat.interval=1000`. @throws {@link Error} when there is no such number
 */
export function withOverrides(config: SimConfig, overrides: readonly string[]): SimConfig {
  let result: Group = { ...config }
  for (const override of overrides) {
    const [, name = '', value = ''] = /^([^=]+)=(\d+|true|false)$/.exec(override) ?? []
    const [head = '', ...rest] = name.split('.')
    const parsed = value === 'true' ? true : value === 'false' ? false : Number(value)
    const known = result[head]
    const isKnown = rest.length === 0 ? typeof known === typeof parsed : isGroup(known)
    if (value === '' || !isKnown) {
      throw new Error(
        `--set ${override}: give NAME=NUMBER, with a name of the printed configuration`,
      )
    }
    result = {
      ...result,
      [head]: rest.length === 0 ? parsed : { ...(known as Group), [rest.join('.')]: parsed },
    }
  }
  return result as unknown as SimConfig
}

/** What to `--set` to get from one configuration to another of the same seed. */
export function overridesBetween(from: SimConfig, to: SimConfig): readonly string[] {
  const found: string[] = []
  for (const [name, value] of Object.entries(to)) {
    const before = (from as unknown as Group)[name]
    if (!isGroup(value)) {
      if (value !== before) found.push(`${name}=${String(value)}`)
      continue
    }
    for (const [key, item] of Object.entries(value)) {
      if (isGroup(before) && item !== before[key]) found.push(`${name}.${key}=${String(item)}`)
    }
  }
  return found
}

function isGroup(value: unknown): value is Group {
  return typeof value === 'object' && value !== null
}
