/**
 * What the API says in JSON, shared with the page. Sizes are bytes; times milliseconds since the epoch by the
 * gateway's clock. Types only, so that a browser's program can import them.
 */

/** Whom the gateway takes a browser for, and what it may do. */
export interface SessionCaller {
  readonly user: string
  /** Absolute paths; each covers what is below it, and `/` what concerns the cluster as a whole. */
  readonly paths: readonly string[]
  /** `write` includes `read`. */
  readonly right: 'read' | 'write'
  readonly expiresAtMs: number | null
}

/** `GET /api/v1/session`, and the answer to signing in and out. */
export interface SessionView {
  /** null: the browser has to sign in with a token. */
  readonly caller: SessionCaller | null
  /** Whether a token was asked for, so that there is something to sign out of. */
  readonly isSignedIn: boolean
  /** Why the token that the browser has does not count any more. */
  readonly refusal: string | null
}

/** Serious, worth a look, fine. */
export type HealthLevel = 'danger' | 'warning' | 'good'

/** The state of the cluster in one sentence, and what else there is to say. */
export interface HealthView {
  readonly level: HealthLevel
  readonly sentence: string
  readonly details: readonly string[]
}

/** How many datanodes are how well. */
export interface NodeCounts {
  readonly live: number
  readonly stale: number
  readonly dead: number
  /** Being drained, entering maintenance, or out of service by an operator's wish. */
  readonly outOfService: number
}

/** Blocks that are less safe than they should be. */
export interface BlockCounts {
  readonly missing: number
  readonly corrupt: number
  readonly lowRedundancy: number
  /** With one good replica left; null when the namenode does not say. */
  readonly lastReplica: number | null
  readonly pendingDeletion: number
}

/** A datanode that vanished together with others, so that repair waits. */
export interface LostNodeView {
  readonly name: string
  readonly lostAtMs: number
}

/** Whether repair goes on. */
export interface RepairView {
  readonly isPaused: boolean
  readonly pausedAtMs: number | null
  readonly lost: readonly LostNodeView[]
}

/** `GET /api/v1/overview`, and the `overview` event. */
export interface OverviewView {
  readonly cluster: string
  readonly user: string
  readonly health: HealthView
  readonly space: { readonly capacity: number; readonly used: number; readonly remaining: number }
  readonly nodes: NodeCounts
  readonly blocks: BlockCounts
  readonly repair: RepairView
  readonly isSafeMode: boolean
}

/** What is known of a datanode: whether it is heard of. */
export type Liveness = 'live' | 'disconnected' | 'stale' | 'dead' | 'unknown'
/** What operators want of a datanode, and whether it is done. */
export type AdminState =
  | 'normal'
  | 'draining'
  | 'drained'
  | 'entering-maintenance'
  | 'in-maintenance'

/** How far a drain or the entering of maintenance has got. */
export interface DrainView {
  readonly blocks: number
  readonly bytes: number
  readonly blocksAtStart: number
  readonly bytesPerSecond: number
  /** null while nothing moves. */
  readonly etaMs: number | null
}

/** `GET /api/v1/nodes` lists these; the `nodes` event sends those that changed. */
export interface NodeView {
  readonly uuid: string
  readonly name: string
  readonly rack: string
  readonly liveness: Liveness
  readonly adminState: AdminState
  readonly isUnsteady: boolean
  readonly capacity: number
  readonly used: number
  readonly remaining: number
  readonly replicas: number
  readonly activeTransfers: number
  readonly disks: number
  readonly failedDisks: number
  /** null before the first heartbeat. */
  readonly lastHeartbeatMs: number | null
  readonly softwareVersion: string | null
  /** Age of the byte that its scrubber did not verify for longest, in whole hours; null when it does not say. */
  readonly unverifiedHours: number | null
  /** When a maintenance ends by itself. */
  readonly expiresAtMs: number | null
  readonly drain: DrainView | null
  /** Why what was asked cannot be done now. */
  readonly obstacle: string | null
}

/** A block that is left on a datanode being drained. */
export interface BlockLeftView {
  readonly blockId: number
  readonly path: string | null
  readonly reason: string
}

/** `GET /api/v1/nodes/UUID`. */
export interface NodeDetailView extends NodeView {
  readonly blocksLeft: readonly BlockLeftView[]
}

/** The `nodes` event: everything after connecting (`isWhole`), then what changed. */
export interface NodesEvent {
  readonly nowMs: number
  readonly isWhole: boolean
  readonly nodes: readonly NodeView[]
  readonly removed: readonly string[]
}

/** Bytes that balancing is going to move from one datanode to another, by name. */
export interface FlowView {
  readonly source: string
  readonly target: string
  readonly bytes: number
}

/** `GET /api/v1/jobs/balance`, and the `balance` event: what balancing does; its event is null where the namenode has none. */
export interface BalanceView {
  readonly isEnabled: boolean
  readonly thresholdPercent: number
  readonly bytesPerSecond: number
  readonly movingBlocks: number
  readonly movingBytes: number
  /** Since the namenode's start. */
  readonly movedBlocks: number
  readonly movedBytes: number
  /** Why it waits. */
  readonly waitsFor: string | null
  /** What is left to be moved, in all and the first of it. */
  readonly plannedBytes: number
  readonly flowCount: number
  readonly flows: readonly FlowView[]
}

/** A replica on its way. */
export interface CopyView {
  readonly blockId: number
  readonly source: string
  readonly target: string
  readonly bytes: number
  readonly sinceMs: number
  readonly isSent: boolean
}

/** The `work` event, and part of `GET /api/v1/repair`: what repair is about. */
export interface RepairWorkView {
  /** Blocks that wait, most endangered first. */
  readonly queues: readonly { readonly danger: string; readonly blocks: number }[]
  /** The first of `copiesUnderWay`. */
  readonly copies: readonly CopyView[]
  readonly copiesUnderWay: number
}

/** The cluster at `atMs`; counts are of the `spanMs` before it. */
export interface SampleView {
  readonly atMs: number
  readonly spanMs: number
  readonly calls: number
  readonly callP50Micros: number | null
  readonly callP99Micros: number | null
  readonly syncP99Micros: number | null
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly copiedBlocks: number
  readonly copiedBytes: number
  readonly endangeredBlocks: number
  readonly lowRedundancyBlocks: number
  readonly usedBytes: number
  readonly liveDatanodes: number
}

/** `GET /api/v1/history`, and the `history` event: everything after connecting (`isWhole`), then what is new. */
export interface HistoryView {
  readonly isWhole: boolean
  readonly periodMs: number
  readonly spanMs: number
  /** Oldest first; none of times when the namenode did not run. */
  readonly samples: readonly SampleView[]
}

/** Something that happened. */
export interface LogEntryView {
  readonly id: number
  readonly atMs: number
  readonly kind: 'audit' | 'cluster' | 'operator'
  readonly level: 'info' | 'warning' | 'danger'
  readonly text: string
  readonly user: string | null
}

/** `GET /api/v1/log`, the newest first; `newest` is also the `log` event. */
export interface LogView {
  readonly entries: readonly LogEntryView[]
  readonly hasMore: boolean
  readonly newest: number
  /** The caller may not see lines of the audit log. */
  readonly isWithoutAudit: boolean
}

/** The `trouble` event: the namenode does not answer. */
export interface TroubleEvent {
  readonly message: string
}

/** A block of a file and who has it. */
export interface BlockView {
  readonly blockId: number
  readonly offset: number
  readonly length: number
  readonly isCorrupt: boolean
  /** `ip:port` of the datanodes with a good replica. */
  readonly holders: readonly string[]
}

/** `GET /api/v1/blocks?path=PATH`: where a file is; `blocks` are the first of `total`. */
export interface FileMapView {
  readonly path: string
  readonly size: number
  readonly replication: number
  readonly total: number
  readonly blocks: readonly BlockView[]
}

/** Something in the caller's trash. */
export interface TrashEntryView {
  readonly originalPath: string
  readonly checkpoint: string
  readonly type: string
  readonly size: number
  /** When it was deleted, or a bound of that; null when that was lately. */
  readonly deletedByMs: number | null
}

/** `GET /api/v1/trash`. */
export interface TrashView {
  readonly entries: readonly TrashEntryView[]
  /** There are more than are told. */
  readonly isCut: boolean
}

/** An entry of a listing of the `/files` face. */
export interface EntryView {
  readonly name: string
  readonly type: string
  readonly size: number
  readonly owner: string
  readonly group: string
  readonly mode: string
  readonly mtimeMs: number
  readonly replication: number
}

/** A page of a listing of the `/files` face; `next` is where the one behind it begins. */
export interface ListingView {
  readonly path: string
  readonly entries: readonly EntryView[]
  readonly next: string | null
}
