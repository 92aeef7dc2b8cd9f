import type express from 'express'
import { DfsError, type ErrorCode, errorTable } from '../../protocol/errors.ts'
import { DfsFsError } from '../index.ts'

/** A refusal for which HTTP has a status of its own; `code` is for programs, the message for people. */
export class HttpError extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: string,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message)
    this.name = 'HttpError'
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** What a client is told about an error. */
export interface ErrorAnswer {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

/** Where plain HTTP has a better status than the one WebHDFS clients expect of the error table. */
const plainStatus: Partial<Record<ErrorCode, number>> = {
  FILE_EXISTS: 409,
  NOT_A_DIRECTORY: 409,
  DIRECTORY_NOT_EMPTY: 409,
  IS_A_DIRECTORY: 409,
  ALREADY_BEING_CREATED: 409,
  RECOVERY_IN_PROGRESS: 409,
  NAME_TOO_LONG: 400,
  NO_DATANODES: 507,
  SAFE_MODE: 503,
  STANDBY: 503,
  IO_ERROR: 500,
}

/** Turns whatever a handler threw into an answer; what is no operating error says nothing of our inside. */
export function answerTo(error: unknown): ErrorAnswer {
  if (error instanceof HttpError) {
    const { status, code, message, headers } = error
    return { status, code, message, headers }
  }
  // What the body parser refuses: bad JSON, too long, unknown character set.
  if (error instanceof Error && 'expose' in error && error.expose === true) {
    const status = 'status' in error ? Number(error.status) : 400
    return { status, code: 'INVALID_ARGUMENT', message: error.message, headers: {} }
  }
  const code = codeOf(error)
  const status = plainStatus[code] ?? errorTable[code].httpStatus
  const message = error instanceof Error ? error.message : String(error)
  return { status, code, message, headers: {} }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof DfsFsError) return error.dfsCode
  return error instanceof DfsError ? error.code : 'INTERNAL'
}

/** Express' last handler of the JSON faces: `{"error":{code,message}}`; cuts the connection once a body has begun. */
export function answerError(
  error: unknown,
  _request: express.Request,
  response: express.Response,
  _next: express.NextFunction,
): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status, code, message, headers } = answerTo(error)
  response.status(status).set(headers).json({ error: { code, message } })
}
