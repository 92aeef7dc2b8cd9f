/** What a client tells a program that wants to measure it. */
import type { Logger } from '../base/log.ts'
import { type ErrorCode, isDfsError } from '../protocol/errors.ts'

/** Something that took time or went wrong; never one per packet. */
export type ClientEvent =
  /** A call of the namenode is over, all its attempts included. `code` says why it failed. */
  | {
      readonly kind: 'namenode-call'
      readonly method: string
      readonly durationMs: number
      readonly attempts: number
      readonly code: ErrorCode | undefined
    }
  /** A replica could not be read; the next one goes on at the same byte. */
  | {
      readonly kind: 'replica-read-failed'
      readonly path: string
      readonly blockId: number
      readonly datanode: string
      readonly code: ErrorCode | undefined
    }
  /** Datanodes were left out of a pipeline; the write goes on with the others. */
  | {
      readonly kind: 'pipeline-broken'
      readonly path: string
      readonly blockId: number | undefined
      /** `host:port` of those that were left out. */
      readonly datanodes: readonly string[]
    }

export type ReportEvent = (event: ClientEvent) => void

/** Calls `listener`; what it throws is logged and changes nothing. */
export function reporter(
  listener: ((event: ClientEvent) => void) | undefined,
  logger: Logger,
): ReportEvent {
  if (listener === undefined) return () => undefined
  return (event) => {
    try {
      listener(event)
    } catch (error) {
      logger.warn('event-listener-failed', { event: event.kind, error })
    }
  }
}

/** The code of an error, if it is one of ours. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return isDfsError(error) ? error.code : undefined
}
