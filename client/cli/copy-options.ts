/** Options that put, get and cp share. */
import { type CopyOptions, defaultJobs } from './copy.ts'
import { UsageError } from './failures.ts'
import { parseSize } from './format.ts'
import { flag, type OptionValues, value } from './options.ts'
import type { FileOptions } from './remote-tree.ts'

export const copyOptionTable = {
  force: flag('f force', 'replace files that are there already'),
  preserve: flag('p preserve', 'keep times, permissions, owner and group'),
  direct: flag('d direct', 'write under the final name, not NAME._COPYING_ first'),
  jobs: value('t j jobs', 'COUNT', `files copied at the same time (default ${defaultJobs})`),
  quiet: flag('quiet', 'show no progress'),
  recursive: flag('r R recursive', 'accepted: directories are copied with what is in them'),
} as const

export const fileOptionTable = {
  replication: value('replication', 'COUNT', 'replicas of each new file'),
  blockSize: value('block-size', 'SIZE', 'bytes per block of each new file, such as 128M'),
} as const

const jobsMax = 256

/** @throws {@link UsageError} when a number is none, or out of range */
export function readCopyOptions(options: OptionValues<typeof copyOptionTable>): CopyOptions {
  const jobs = options.jobs === undefined ? defaultJobs : Number(options.jobs)
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > jobsMax) {
    throw new UsageError(`Cannot copy ${options.jobs ?? ''} files at a time: need 1 to ${jobsMax}`)
  }
  const { force, preserve, direct } = options
  return { overwrite: force, preserve, direct, jobs }
}

/** @throws {@link UsageError} when a number is none */
export function readFileOptions(options: OptionValues<typeof fileOptionTable>): FileOptions {
  const { replication, blockSize } = options
  const count = replication === undefined ? undefined : Number(replication)
  if (count !== undefined && (!Number.isInteger(count) || count < 1)) {
    throw new UsageError(`Cannot use replication "${replication ?? ''}": need a count from 1`)
  }
  const bytes = blockSize === undefined ? undefined : parseSize(blockSize)
  if (blockSize !== undefined && bytes === undefined) {
    throw new UsageError(
      `Cannot read block size "${blockSize}": need bytes, or a number with K, M, G`,
    )
  }
  return {
    ...(count === undefined ? {} : { replication: count }),
    ...(bytes === undefined ? {} : { blockSize: bytes }),
  }
}
