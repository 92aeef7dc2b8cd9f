import type { MountSettings } from '../../fuse/mount-settings.ts'
import { UsageError } from './failures.ts'
import { parseSize } from './format.ts'

/** Flags of mount(8) that any file system has, passed on. */
const kernelFlags = new Set(
  'nosuid suid nodev dev noexec exec noatime atime relatime nodiratime strictatime dirsync sync async'.split(
    ' ',
  ),
)
/** Words of fstab for others than the file system, and what is so anyway. */
const ignored = new Set(
  'defaults rw auto noauto user nouser users owner group nofail _netdev default_permissions'.split(
    ' ',
  ),
)

/**
 * Reads mount options separated by commas.
 * @throws UsageError for a word that is none, or a value that cannot be
 */
export function parseMountOptions(text: string): Partial<MountSettings> {
  const words = text.split(',').filter((word) => word !== '')
  const values = new Map<string, string>()
  const kernelOptions: string[] = []
  for (const word of words) {
    const [name = '', ...rest] = word.split('=')
    if (kernelFlags.has(word)) kernelOptions.push(word)
    else if (name in readers) values.set(name, rest.join('='))
    else if (!ignored.has(word) && !/^(x-|comment=)/.test(word)) {
      const known = [...Object.keys(readers), ...kernelFlags].join(', ')
      throw new UsageError(`Cannot mount with the option "${word}": there are ${known}`)
    }
  }
  const read = (name: keyof typeof readers): number | undefined => {
    const value = values.get(name)
    return value === undefined ? undefined : readers[name](value, name)
  }
  const given = {
    ...{ uid: read('uid'), gid: read('gid'), cacheBytes: read('cache-size') },
    ...{ attributesMs: read('attr_timeout'), entriesMs: read('entry_timeout') },
  }
  return {
    readOnly: read('ro') === 1,
    ...(values.has('allow_other') ? { allowOther: read('allow_other') === 1 } : {}),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    kernelOptions,
  }
}

type Reader = (value: string, name: string) => number

const readers = {
  ro: flag,
  allow_other: flag,
  uid: id,
  gid: id,
  'cache-size': size,
  attr_timeout: seconds,
  entry_timeout: seconds,
} as const satisfies Record<string, Reader>

function flag(value: string, name: string): number {
  if (value !== '') throw new UsageError(`The option ${name} takes no value, got "${value}"`)
  return 1
}

function id(value: string, name: string): number {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (number < 0xffffffff) return number
  throw new UsageError(`The option ${name} takes a number, got "${value}"`)
}

function size(value: string, name: string): number {
  const bytes = parseSize(value)
  if (bytes !== undefined) return bytes
  throw new UsageError(`The option ${name} takes bytes as 64m or 1g, got "${value}"`)
}

/** In milliseconds. */
function seconds(value: string, name: string): number {
  const ms = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Number.NaN
  if (ms <= 86_400_000) return ms
  throw new UsageError(`The option ${name} takes seconds up to a day, got "${value}"`)
}
