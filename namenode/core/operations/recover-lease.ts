/** recoverLease, and the takeover rules it shares with create (FSNamesystem.recoverLeaseInternal). */
import { DfsError } from '../../../protocol/errors.ts'
import type { ClientName } from '../../../protocol/ids.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import { releaseLease } from '../release-lease.ts'
import type { Request } from '../requests.ts'
import { existingFile } from './get-file-info.ts'

/** True when the file is closed, now or before; false while it is being recovered. Ignores the soft limit. */
export function recoverLease(
  context: Context,
  { path, clientName }: Request & { readonly kind: 'recoverLease' },
): Plan<boolean> {
  const file = existingFile(context, path)
  if (file.lease === undefined) return answer(true)
  requireAccess(context.caller, file, access.write, () => path)
  const draft = new Draft(context.nextIds)
  const release = releaseLease(context, draft, file, clientName)
  return draft.plan(release === 'closed')
}

/** Somebody wants to write a file that is open. */
interface Takeover {
  /** HDFS's name of the attempt, as it stands in the refusal. */
  readonly attempt: 'CREATE_FILE' | 'APPEND_FILE' | 'TRUNCATE_FILE'
  readonly path: string
  readonly clientName: ClientName
  readonly file: InodeRow
}

/**
 * Lets another client near an open file only after the soft limit, and then through recovery.
 * @returns the refusal; undefined when the file could be closed at once.
 * @throws {@link DfsError} ALREADY_BEING_CREATED while the lease is alive, RECOVERY_IN_PROGRESS while it is recovered.
 */
export function takeOverFrom(
  context: Context,
  draft: Draft,
  { attempt, path, clientName, file }: Takeover,
): Plan<never> | undefined {
  const holder = file.lease?.holder
  if (holder === undefined) return undefined
  const prefix = `Failed to ${attempt} ${path} for ${clientName} on ${context.caller.host} because`
  if (holder === clientName) {
    throw new DfsError(
      'ALREADY_BEING_CREATED',
      `${prefix} ${holder} is already the current lease holder`,
      { path },
    )
  }
  const owner = `${holder} on ${file.lease?.clientHost ?? ''}`
  if (!context.leases.isSoftExpired(context.now, holder)) {
    const isUnderRecovery = context.rows.blocks(file.id).at(-1)?.state === 'under-recovery'
    throw isUnderRecovery
      ? new DfsError(
          'RECOVERY_IN_PROGRESS',
          `${prefix} another recovery is in progress by ${owner}`,
        )
      : new DfsError(
          'ALREADY_BEING_CREATED',
          `${prefix} this file lease is currently owned by ${owner}`,
          {
            path,
          },
        )
  }
  const release = releaseLease(context, draft, file)
  if (release === 'closed') return undefined
  const error =
    release === 'recovering'
      ? new DfsError(
          'RECOVERY_IN_PROGRESS',
          `${prefix} lease recovery is in progress, try again later`,
        )
      : new DfsError(
          'ALREADY_BEING_CREATED',
          `${prefix} committed blocks are waiting for their first replica, try again later`,
        )
  return { kind: 'refuse', changes: draft.changes(), effects: draft.effects, error }
}
