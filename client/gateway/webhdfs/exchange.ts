import type express from 'express'
import type { DfsClient } from '../../index.ts'
import type { Caller } from '../authentication.ts'
import type { Grants } from './grants.ts'
import { type Json, jsonText } from './json.ts'
import type { Parameters } from './parameters.ts'

/** Where clients are sent for the data of an operation. */
export interface DataPlace {
  /** To a datanode unless the request says otherwise; else to the gateway. */
  readonly isDatanode: boolean
  readonly grants: Grants
}

/** One request to the face, with everything an operation needs to answer it. */
export interface Exchange {
  readonly caller: Caller
  /** Acts as the caller. */
  readonly client: DfsClient
  /** Absolute path in the cluster, decoded and without empty components. */
  readonly path: string
  readonly parameters: Parameters
  readonly dataPlace: DataPlace
  readonly request: express.Request
  readonly response: express.Response
}

/** What one row of the table does: answers the exchange, or throws for a RemoteException. */
export type Operation = (exchange: Exchange) => Promise<void>

/** Answers 200 with a JSON document. */
export function answerJson({ response }: Exchange, document: Json): void {
  response.type('application/json').send(jsonText(document))
}

/** Answers 200 without a body, as HDFS does for operations with nothing to tell. */
export function answerNothing({ response }: Exchange): void {
  response.type('application/octet-stream').set('Content-Length', '0').end()
}

export function answerBoolean(exchange: Exchange, value: boolean): void {
  answerJson(exchange, { boolean: value })
}
