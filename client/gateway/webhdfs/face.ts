import type express from 'express'
import { DfsError } from '../../../protocol/errors.ts'
import type { Caller } from '../authentication.ts'
import type { WorkInFlight } from '../work.ts'
import type { DataPlace, Operation } from './exchange.ts'
import { type Operations, type Verb, withoutPath } from './operations.ts'
import { invalid, Parameters, refused } from './parameters.ts'
import { toRemoteException } from './remote-exception.ts'
import { pathOfUrl } from './request-path.ts'

const javaTypes: Readonly<Record<Verb, string>> = {
  GET: 'GetOpParam',
  PUT: 'PutOpParam',
  POST: 'PostOpParam',
  DELETE: 'DeleteOpParam',
}

/** What a request is about. */
export interface Asked {
  /** In capitals. */
  readonly operation: string
  readonly path: string
  readonly parameters: Parameters
}

/** What a server of the face decides. */
export interface WebHdfsOptions {
  /** What there is. */
  readonly operations: Operations
  /** Names who sent a request for an operation on a path; fails for whom it does not serve. */
  readonly identify: (request: express.Request, asked: Asked) => Promise<Caller>
  readonly dataPlace: DataPlace
  readonly work: WorkInFlight
  /** Called when a file was made in a directory. */
  readonly onStored?: (caller: Caller, directory: string) => void
}

/**
 * The `/webhdfs/v1` face: HDFS's REST API, as HttpFS serves it. Paths are URLs, operations are parameters, errors are
 * Java exceptions as JSON. What there is stands in `operations.ts`; the bytes are in docs/protocol/webhdfs.md.
 */
export function webHdfsFace(options: WebHdfsOptions): express.RequestHandler {
  return (request, response) => {
    const answered = answer(options, request, response).catch((error: unknown) => {
      answerError(error, request, response)
    })
    options.work.track(answered)
  }
}

async function answer(
  options: WebHdfsOptions,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const verb = verbOf(request.method)
  if (verb === undefined) {
    response.set('Allow', 'GET, HEAD, PUT, POST, DELETE')
    if (request.method === 'OPTIONS') response.status(200).end()
    else response.status(405).end()
    return
  }
  const [encodedPath = '', ...queries] = request.url.split('?')
  const parameters = new Parameters(queries.join('?'))
  const name = parameters.text('op')?.toUpperCase() ?? ''
  const operation = operationOf(options.operations, verb, name)
  const path = pathOfUrl(encodedPath)
  // Judged here in HDFS's words, before it is believed.
  const named = parameters.user('user.name')
  const caller = await options.identify(request, { operation: name, path, parameters })
  if (named !== undefined && named !== caller.user) {
    // Names of parameters are taken in any case, but not this one's: nobody must get another user's rights by a slip.
    throw refused(`Cannot act as "${named}": the parameter must be written "user.name"`)
  }
  refuseOthers(caller.user, parameters.user('doas'))
  if (!withoutPath.has(name)) caller.require(path, verb === 'GET' ? 'read' : 'write')
  const { dataPlace } = options
  const release = caller.hold()
  try {
    const { client } = caller
    await operation({ caller, client, path, parameters, dataPlace, request, response })
    if (name === 'CREATE' && response.statusCode === 201) {
      options.onStored?.(caller, path.slice(0, path.lastIndexOf('/')) || '/')
    }
  } finally {
    release()
  }
}

function verbOf(method: string): Verb | undefined {
  if (method === 'HEAD') return 'GET'
  return method in javaTypes ? (method as Verb) : undefined
}

function operationOf(operations: Operations, verb: Verb, name: string): Operation {
  const table = operations[verb]
  const operation = Object.hasOwn(table, name) ? table[name] : undefined
  if (operation !== undefined) return operation
  const type = `org.apache.hadoop.hdfs.web.resources.${javaTypes[verb]}.Op`
  throw invalid('op', `No enum constant ${type}.${name}`)
}

/** Acting for somebody else needs rules of who may, which are not here. */
function refuseOthers(user: string, other: string | undefined): void {
  if (other === undefined || other === user) return
  const text = `User: ${user} is not allowed to impersonate ${other}`
  throw new DfsError('UNAUTHORIZED', text)
}

/** Answers a RemoteException; cuts the connection once a body has begun, so that half a file is not taken for one. */
function answerError(error: unknown, request: express.Request, response: express.Response): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status, headers, body } = toRemoteException(error)
  // Bytes that still come would be read only to be thrown away.
  if (!request.complete && request.headers.expect !== undefined) response.set('Connection', 'close')
  response.removeHeader('ETag')
  response.removeHeader('Last-Modified')
  response.status(status).set(headers).json(body)
}
