/**
 * Where deleted files go before they are gone: HDFS's layout (TrashPolicyDefault), so that Hadoop's
 * shell and ours find each other's trash.
 *
 *     /user/NAME/.Trash/Current/data/a.csv        deleted lately, under its whole path
 *     /user/NAME/.Trash/261125170000/data/b.csv   a checkpoint: what was in Current at that time
 *
 * The name of a checkpoint is its local time, `yyMMddHHmmss`, with `-1`, `-2` … when that name was taken.
 * An entry whose path was in the trash already carries the time of its deletion, milliseconds since the
 * epoch, right behind its name.
 */

/** The directory in a user's home. */
export const trashName = '.Trash'
/** The part of the trash that is still being filled. */
export const currentName = 'Current'
/** Permission of the directories that the trash makes: nobody else may look. */
export const trashMode = 0o700

const checkpointPattern = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:-\d{1,3})?$/
const stampedPattern = /^(.+?)(\d{13})$/
const centuryStart = 2000
const msPerMinute = 60_000

/** The trash of a user. */
export function trashRootOf(user: string): string {
  return `/user/${user}/${trashName}`
}

/**
 * Name of the checkpoint made at `wallMs`.
 * @param utcOffsetMinutes how far local time is ahead of UTC then
 */
export function checkpointName(wallMs: number, utcOffsetMinutes: number): string {
  const local = new Date(wallMs + utcOffsetMinutes * msPerMinute).toISOString()
  return local.slice(2, 19).replaceAll(/[-T:]/g, '')
}

/**
 * When the checkpoint called `name` was made, milliseconds since the epoch; undefined for any other name.
 * @param utcOffsetMinutes how far local time is ahead of UTC
 */
export function checkpointTime(name: string, utcOffsetMinutes: number): number | undefined {
  const match = checkpointPattern.exec(name)
  if (match === null) return undefined
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map(Number)
  const utc = Date.UTC(centuryStart + year, month - 1, day, hour, minute, second)
  const isReal = checkpointName(utc, 0) === name.slice(0, 12)
  return isReal ? utc - utcOffsetMinutes * msPerMinute : undefined
}

/** Takes the time of deletion off an entry's name; undefined when it carries none. */
export function parseStamped(
  name: string,
): { readonly name: string; readonly deletedMs: number } | undefined {
  const match = stampedPattern.exec(name)
  if (match?.[1] === undefined) return undefined
  return { name: match[1], deletedMs: Number(match[2]) }
}

export interface TrashTimes {
  /** Wall-clock milliseconds. */
  readonly wallMs: number
  readonly utcOffsetMinutes: number
  /** How long what was deleted is kept. */
  readonly intervalMs: number
}

export interface TrashPlan {
  /** Checkpoints to delete, by name. */
  readonly expired: readonly string[]
  /** Name that `Current` gets; undefined when there is no `Current`. */
  readonly checkpoint: string | undefined
}

/** Names tried for one checkpoint before it has to wait for the next time. */
const attemptsMax = 1000

/**
 * Plans one visit to a user's trash, as HDFS's TrashPolicyDefault.Emptier: checkpoints that are old enough are
 * deleted, and `Current` becomes a checkpoint. So a deleted file stays for at least `intervalMs`, and at most
 * two visits longer. Names that are not the trash's own are left alone.
 */
export function planTrash(entries: readonly string[], times: TrashTimes): TrashPlan {
  const { wallMs, utcOffsetMinutes, intervalMs } = times
  const expired = entries.filter((name) => {
    const at = checkpointTime(name, utcOffsetMinutes)
    return at !== undefined && at <= wallMs - intervalMs
  })
  if (!entries.includes(currentName)) return { expired, checkpoint: undefined }
  const taken = new Set(entries)
  const base = checkpointName(wallMs, utcOffsetMinutes)
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const name = attempt === 0 ? base : `${base}-${attempt}`
    if (!taken.has(name)) return { expired, checkpoint: name }
  }
  return { expired, checkpoint: undefined }
}
