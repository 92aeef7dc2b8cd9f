/** What the namenode does by itself and did: balancing, copies, the last hour, events. */
import type express from 'express'
import type { BalanceStatus, DfsClient, HistoryReport } from '../../index.ts'
import type { Caller } from '../authentication.ts'
import { HttpError } from '../http-error.ts'
import type { BalanceView, HistoryView, LogView, RepairWorkView } from './views.ts'

/** Flows and copies that are told; the page shows no more. */
const flowsMax = 50
const copiesMax = 50
const logEntriesDefault = 100
const logEntriesMax = 1_000

/** What balancing does. @param thresholdPercent what it would do then */
export async function balanceOf(
  { operator }: DfsClient,
  thresholdPercent?: number,
): Promise<BalanceView> {
  return balanceView(await operator.balance(thresholdPercent))
}

function balanceView({ flows, waitsFor, ...status }: BalanceStatus): BalanceView {
  const { isEnabled, thresholdPercent, bytesPerSecond } = status
  const { movingBlocks, movingBytes, movedBlocks, movedBytes } = status
  return {
    ...{ isEnabled, thresholdPercent, bytesPerSecond },
    ...{ movingBlocks, movingBytes, movedBlocks, movedBytes },
    waitsFor: waitsFor ?? null,
    plannedBytes: flows.reduce((sum, { bytes }) => sum + bytes, 0),
    flowCount: flows.length,
    flows: [...flows].sort((one, other) => other.bytes - one.bytes).slice(0, flowsMax),
  }
}

/** Which blocks wait for repair, and what is being copied. */
export async function workOf({ operator }: DfsClient): Promise<RepairWorkView> {
  const { queues, copies, copiesUnderWay } = await operator.repairState(copiesMax)
  return { queues, copies, copiesUnderWay }
}

export function historyView(
  { periodMs, spanMs, samples }: HistoryReport,
  isWhole: boolean,
): HistoryView {
  return {
    ...{ isWhole, periodMs, spanMs },
    samples: samples.map((sample) => ({
      ...sample,
      callP50Micros: sample.callP50Micros ?? null,
      callP99Micros: sample.callP99Micros ?? null,
      syncP99Micros: sample.syncP99Micros ?? null,
    })),
  }
}

type Handler = (
  caller: Caller,
  request: express.Request,
  response: express.Response,
) => Promise<void>

/** Answers `GET jobs/balance`. */
export const sendBalance: Handler = async ({ client }, { query }, response) => {
  response.json(await balanceOf(client, numberOf(query['thresholdPercent'], 'thresholdPercent')))
}

/** Answers `POST jobs/balance` of `{"isEnabled":…,"thresholdPercent":…,"bytesPerSecond":…}`; what is absent stays. */
export const changeBalance: Handler = async (caller, request, response) => {
  caller.require('/', 'write')
  const body = (request.body ?? {}) as Readonly<Record<string, unknown>>
  const unknown = Object.keys(body).find((name) => !balanceFields.has(name))
  if (unknown !== undefined) throw invalid(`Cannot use "${unknown}"`)
  const { isEnabled, thresholdPercent, bytesPerSecond } = body
  if (isEnabled !== undefined && typeof isEnabled !== 'boolean') {
    throw invalid('"isEnabled" must be true or false')
  }
  const status = await caller.client.operator.setBalance({
    isEnabled,
    thresholdPercent: numberOf(thresholdPercent, 'thresholdPercent'),
    bytesPerSecond: numberOf(bytesPerSecond, 'bytesPerSecond'),
  })
  response.json(balanceView(status))
}

const balanceFields = new Set(['isEnabled', 'thresholdPercent', 'bytesPerSecond'])

/** Answers `GET history`. */
export const sendHistory: Handler = async ({ client }, { query }, response) => {
  const afterMs = numberOf(query['afterMs'], 'afterMs') ?? 0
  response.json(historyView(await client.operator.history(afterMs), afterMs === 0))
}

const kinds = { audit: 'AUDIT', cluster: 'CLUSTER', operator: 'OPERATOR' } as const
const levels = { info: 'INFO', warning: 'WARNING', danger: 'DANGER' } as const
const kindOf = { AUDIT: 'audit', CLUSTER: 'cluster', OPERATOR: 'operator' } as const
const levelOf = { INFO: 'info', WARNING: 'warning', DANGER: 'danger' } as const

/** Answers `GET log`, as the caller: the namenode tells lines of the audit log to superusers alone. */
export const sendLog: Handler = async ({ client }, { query }, response) => {
  const limit = numberOf(query['limit'], 'limit') ?? logEntriesDefault
  const report = await client.operator.events({
    kinds: chosen(query['kind'], kinds, 'kind'),
    levels: chosen(query['level'], levels, 'level'),
    after: numberOf(query['after'], 'after'),
    before: numberOf(query['before'], 'before'),
    text: textOf(query['text']),
    limit: Math.min(limit, logEntriesMax),
  })
  const { events, hasMore, newest, isWithoutAudit } = report
  const view: LogView = {
    ...{ hasMore, newest, isWithoutAudit },
    entries: events.map(({ kind, level, user, ...event }) => ({
      ...event,
      kind: kindOf[kind],
      level: levelOf[level],
      user: user ?? null,
    })),
  }
  response.json(view)
}

/** The words of a parameter that may be given several times. */
function chosen<T>(value: unknown, words: Readonly<Record<string, T>>, name: string): T[] {
  if (value === undefined) return []
  return (Array.isArray(value) ? value : [value]).map((word: unknown) => {
    const known = typeof word === 'string' && Object.hasOwn(words, word) ? words[word] : undefined
    if (known !== undefined) return known
    throw invalid(`"${name}" must be one of ${Object.keys(words).join(', ')}`)
  })
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw invalid('"text" must be given once')
}

function numberOf(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined
  const number = typeof value === 'string' && value !== '' ? Number(value) : value
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number
  throw invalid(`"${name}" must be a whole number`)
}

function invalid(message: string): HttpError {
  return new HttpError(400, 'INVALID_ARGUMENT', message)
}
