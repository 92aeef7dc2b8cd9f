/** What an operation may look at while it plans: rows, soft state, time and the caller; nothing it may change. */
import type { Millis } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { BlockSide } from './block-side.ts'
import type { NextIds } from './changes.ts'
import type { LeaseManager } from './lease-manager.ts'
import type { Caller, Loaded } from './requests.ts'
import type { Residency } from './residency.ts'
import type { SubtreeChecks } from './subtree-checks.ts'

/** A page of a directory, as loaded for one request. */
export type ChildrenPage = Loaded & { readonly kind: 'children' }

export interface Context {
  /** Monotonic: for leases and time-outs. */
  readonly now: Millis
  /** Wall clock: for times that people see. */
  readonly wall: Millis
  readonly caller: Caller
  readonly rows: Residency
  readonly blocks: BlockSide
  readonly leases: LeaseManager
  readonly subtreeChecks: SubtreeChecks
  readonly nextIds: NextIds
  readonly settings: Settings
  readonly prng: Prng
  /** Paths of `fs.protected.directories`. */
  readonly protectedDirectories: readonly string[]
  /** Loaded for this very request. */
  readonly page: ChildrenPage | undefined
}
