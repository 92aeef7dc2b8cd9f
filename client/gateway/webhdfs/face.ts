import type express from 'express'
import { DfsError } from '../../../protocol/errors.ts'
import type { Authentication } from '../authentication.ts'
import type { Operation } from './exchange.ts'
import { operations, type Verb, withoutPath } from './operations.ts'
import { invalid, Parameters, refused } from './parameters.ts'
import { toRemoteException } from './remote-exception.ts'
import { pathOfUrl } from './request-path.ts'
import type { WorkInFlight } from './work.ts'

const javaTypes: Readonly<Record<Verb, string>> = {
  GET: 'GetOpParam',
  PUT: 'PutOpParam',
  POST: 'PostOpParam',
  DELETE: 'DeleteOpParam',
}

/**
 * The `/webhdfs/v1` face: HDFS's REST API, as HttpFS serves it. Paths are URLs, operations are parameters, errors are
 * Java exceptions as JSON. What there is stands in `operations.ts`; the bytes are in docs/protocol/webhdfs.md.
 */
export function webHdfsFace(
  authentication: Authentication,
  work: WorkInFlight,
): express.RequestHandler {
  return (request, response) => {
    const answered = answer(authentication, request, response).catch((error: unknown) => {
      answerError(error, request, response)
    })
    work.track(answered)
  }
}

async function answer(
  authentication: Authentication,
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
  const operation = operationOf(verb, name)
  const path = pathOfUrl(encodedPath)
  // Judged here in HDFS's words, before it is believed.
  const named = parameters.user('user.name')
  const caller = await authentication.identify(request)
  if (named !== undefined && named !== caller.user) {
    // Names of parameters are taken in any case, but not this one's: nobody must get another user's rights by a slip.
    throw refused(`Cannot act as "${named}": the parameter must be written "user.name"`)
  }
  refuseOthers(caller.user, parameters.user('doas'))
  if (!withoutPath.has(name)) caller.require(path, verb === 'GET' ? 'read' : 'write')
  await operation({ caller, client: caller.client, path, parameters, request, response })
}

function verbOf(method: string): Verb | undefined {
  if (method === 'HEAD') return 'GET'
  return method in javaTypes ? (method as Verb) : undefined
}

function operationOf(verb: Verb, name: string): Operation {
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
