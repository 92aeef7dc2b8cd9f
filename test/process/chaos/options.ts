/** The command line of `npm run chaos`. */
import { parseArgs } from 'node:util'
import { type DiskKind, diskKinds } from './disks.ts'

/** Kinds of faults, and what each does. */
export const faultKinds = {
  kill: 'kill -9 of the namenode, of datanodes, of writers, of everything at once',
  stop: 'SIGSTOP and SIGCONT: a process that hangs',
  partition: 'packets dropped or answered with a reset, one way or both',
  slow: 'a slow, lossy network link',
  full: 'a disk without room',
  sluggish: 'a slow disk',
  power: 'power loss: the process and all of its disk that was not synced is gone',
  flip: 'a flipped bit in a block or meta file, never in the last good replicas',
} as const

/** Kinds that need root: namespaces of their own for the network, mounts for the disks. */
export const rootFaultKinds: ReadonlySet<FaultKind> = new Set([
  'partition',
  'slow',
  'full',
  'sluggish',
  'power',
])

export type FaultKind = keyof typeof faultKinds

export interface ChaosOptions {
  readonly minutes: number
  readonly seed: number
  readonly kinds: readonly FaultKind[]
  readonly datanodes: number
  readonly disks: DiskKind
  /** Files acknowledged below which a run does not count; 0 for a share. */
  readonly filesMin: number
  readonly report: string | undefined
  readonly keep: boolean
  /** Files are opened again: appended to, cut, and recovered. */
  readonly reopens: boolean
}

const usage = `usage: npm run chaos -- [OPTION...]

  --minutes M      how long faults are injected (default 25)
  --seed S         seed of all choices (default: drawn and printed)
  --only K[,K...]  kinds of faults, of: ${Object.keys(faultKinds).join(', ')}
  --datanodes N    how many (default 4)
  --disks KIND     volatile: loop-mounted ext4 below a layer that loses what is not synced (default);
                   ext4: loop-mounted ext4 alone; plain: directories
  --files-min N    files that must have been acknowledged for the run to pass (default 400 a minute)
  --report FILE    where the report goes, as JSON (default dist/chaos-report.json)
  --no-reopening   files are written once: no appends and truncates; recovered at the end only
  --keep           keep data and logs, also when nothing failed

Kinds of faults:
${Object.entries(faultKinds)
  .map(([kind, text]) => `  ${kind.padEnd(10)} ${text}`)
  .join('\n')}
`

class UsageError extends Error {}

/** @throws UsageError whose message says what is wrong */
function parse(args: readonly string[]): ChaosOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '25' },
      seed: { type: 'string' },
      only: { type: 'string' },
      datanodes: { type: 'string', default: '4' },
      disks: { type: 'string', default: 'volatile' },
      'files-min': { type: 'string' },
      report: { type: 'string' },
      keep: { type: 'boolean', default: false },
      'no-reopening': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const minutes = numberOf('--minutes', values.minutes, 0.1)
  return {
    minutes,
    seed: values.seed === undefined ? Date.now() % 2 ** 31 : numberOf('--seed', values.seed, 0),
    kinds: kindsOf(values.only),
    datanodes: numberOf('--datanodes', values.datanodes, 1),
    disks: diskKindOf(values.disks),
    filesMin:
      values['files-min'] === undefined
        ? Math.floor(400 * minutes)
        : numberOf('--files-min', values['files-min'], 0),
    report: values.report,
    keep: values.keep,
    reopens: !values['no-reopening'],
  }
}

function numberOf(option: string, text: string, min: number): number {
  const value = Number(text)
  if (text === '' || !Number.isFinite(value) || value < min)
    throw new UsageError(`${option} needs a number of at least ${min}, not "${text}"`)
  return value
}

function diskKindOf(text: string): DiskKind {
  const kind = diskKinds.find((known) => known === text)
  if (kind === undefined)
    throw new UsageError(`--disks needs one of ${diskKinds.join(', ')}, not "${text}"`)
  return kind
}

function isFaultKind(text: string): text is FaultKind {
  return Object.hasOwn(faultKinds, text)
}

function kindsOf(text: string | undefined): FaultKind[] {
  if (text === undefined) return Object.keys(faultKinds).filter(isFaultKind)
  return text.split(',').map((kind) => {
    if (!isFaultKind(kind)) throw new UsageError(`--only: there is no kind of fault "${kind}"`)
    return kind
  })
}

/** Parses the command line; ends the process with the usage when it is asked for or wrong. */
export function chaosOptions(args: readonly string[]): ChaosOptions {
  let options: ChaosOptions | undefined
  try {
    options = parse(args)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    process.exit(2)
  }
  if (options !== undefined) return options
  process.stdout.write(usage)
  process.exit(0)
}
