/** The command line of `npm run chaos`. */
import { parseArgs } from 'node:util'

/** Kinds of faults, and what each does. */
export const faultKinds = {
  kill: 'kill -9 of the namenode, of datanodes, of writers, of everything at once',
  stop: 'SIGSTOP and SIGCONT: a process that hangs',
  partition: 'packets dropped or answered with a reset, one way or both',
  slow: 'a slow, lossy network link',
} as const

export type FaultKind = keyof typeof faultKinds

export interface ChaosOptions {
  readonly minutes: number
  readonly seed: number
  readonly kinds: readonly FaultKind[]
  readonly datanodes: number
  /** Files acknowledged below which a run does not count; 0 for a share. */
  readonly filesMin: number
  readonly report: string | undefined
  readonly keep: boolean
}

const usage = `usage: npm run chaos -- [OPTION...]

  --minutes M      how long faults are injected (default 25)
  --seed S         seed of all choices (default: drawn and printed)
  --only K[,K...]  kinds of faults, of: ${Object.keys(faultKinds).join(', ')}
  --datanodes N    how many (default 4)
  --files-min N    files that must have been acknowledged for the run to pass (default 400 a minute)
  --report FILE    where the report goes, as JSON (default dist/chaos-report.json)
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
      'files-min': { type: 'string' },
      report: { type: 'string' },
      keep: { type: 'boolean', default: false },
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
    filesMin:
      values['files-min'] === undefined
        ? Math.floor(400 * minutes)
        : numberOf('--files-min', values['files-min'], 0),
    report: values.report,
    keep: values.keep,
  }
}

function numberOf(option: string, text: string, min: number): number {
  const value = Number(text)
  if (text === '' || !Number.isFinite(value) || value < min)
    throw new UsageError(`${option} needs a number of at least ${min}, not "${text}"`)
  return value
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
