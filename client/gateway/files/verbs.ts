import express from 'express'
import type { Caller } from '../authentication.ts'
import { HttpError } from '../http-error.ts'
import { entityTag } from './conditions.ts'
import { entryView } from './listing.ts'
import { checkConditions } from './put.ts'
import { whyNoName } from './request-path.ts'

/** Verbs are small. */
const readJson: express.RequestHandler = express.json({ limit: 65_536, type: 'application/json' })

type Fields = Readonly<Record<string, unknown>>
type Verb = (caller: Caller, path: string, fields: Fields) => Promise<string>

/** Each changes the path and returns where the result is. */
const verbs: ReadonlyMap<string, Verb> = new Map([
  ['move', move],
  ['mkdir', makeDirectory],
  ['permissions', setPermissions],
  ['replication', setReplication],
])

/** Answers POST of JSON: `{"VERB":{…}}`, one verb at a time; tells the entry as it is then. */
export async function postVerb(
  caller: Caller,
  path: string,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  await jsonBody(request, response)
  const body = fieldsOf(request.body as unknown, 'body')
  const [name = '', ...others] = Object.keys(body)
  const verb = verbs.get(name)
  if (verb === undefined || others.length > 0) {
    throw invalid(
      `Cannot do {${Object.keys(body).join(', ')}}: need one of ${[...verbs.keys()].join(', ')}`,
    )
  }
  await checkConditions(caller.client, path, request)
  const at = await verb(caller, path, fieldsOf(body[name], name))
  const status = await caller.client.stat(at)
  response.set('ETag', entityTag(status)).json({ path: at, ...entryView(status) })
}

/** `{"move":{"to":"/new/path","overwrite":false}}`; missing directories on the way are made. */
async function move(caller: Caller, path: string, fields: Fields): Promise<string> {
  only(fields, ['to', 'overwrite'])
  const { to, overwrite = false } = fields
  if (typeof to !== 'string' || !to.startsWith('/') || to === '/') {
    throw invalid('"to" must be an absolute path')
  }
  for (const name of to.slice(1).split('/')) {
    const reason = whyNoName(name)
    if (reason !== undefined)
      throw new HttpError(400, 'INVALID_PATH', `Cannot move there: ${reason}`)
  }
  if (typeof overwrite !== 'boolean') throw invalid('"overwrite" must be true or false')
  caller.require(to, 'write')
  const { client } = caller
  await client.stat(path)
  await client.mkdir(to.slice(0, to.lastIndexOf('/')) || '/', { recursive: true })
  await client.rename(path, to, { overwrite })
  return to
}

/** `{"mkdir":{"mode":"750","parents":true}}`; a directory that exists is fine unless `parents` is false. */
async function makeDirectory({ client }: Caller, path: string, fields: Fields): Promise<string> {
  only(fields, ['mode', 'parents'])
  const { mode, parents = true } = fields
  if (typeof parents !== 'boolean') throw invalid('"parents" must be true or false')
  await client.mkdir(path, {
    recursive: parents,
    ...(mode === undefined ? {} : { mode: modeOf(mode) }),
  })
  return path
}

/** `{"permissions":{"mode":"640","owner":"ada","group":"staff"}}`, each if given. */
async function setPermissions({ client }: Caller, path: string, fields: Fields): Promise<string> {
  only(fields, ['mode', 'owner', 'group'])
  const owner = nameOf(fields['owner'], 'owner')
  const group = nameOf(fields['group'], 'group')
  const mode = fields['mode'] === undefined ? undefined : modeOf(fields['mode'])
  if (mode === undefined && owner === undefined && group === undefined) {
    throw invalid('"permissions" needs mode, owner or group')
  }
  if (mode !== undefined) await client.chmod(path, mode)
  if (owner !== undefined || group !== undefined) await client.chown(path, owner, group)
  return path
}

/** `{"replication":{"factor":2}}`. */
async function setReplication({ client }: Caller, path: string, fields: Fields): Promise<string> {
  only(fields, ['factor'])
  const { factor } = fields
  if (typeof factor !== 'number' || !Number.isInteger(factor) || factor < 1 || factor > 512) {
    throw invalid('"factor" must be 1 to 512')
  }
  if (!(await client.setReplication(path, factor))) {
    await client.stat(path)
    throw invalid(`"${path}" is a directory: files have replicas`)
  }
  return path
}

function jsonBody(request: express.Request, response: express.Response): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: unknown): void => {
      if (error === undefined) resolve()
      else reject(error instanceof Error ? error : new Error('Cannot read the body'))
    }
    void readJson(request, response, done)
  })
}

function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw invalid(`"${name}" must be an object`)
}

/** A misspelt field would be a wish that is silently not granted. */
function only(fields: Fields, known: readonly string[]): void {
  const unknown = Object.keys(fields).find((name) => !known.includes(name))
  if (unknown !== undefined) throw invalid(`Cannot use "${unknown}": known are ${known.join(', ')}`)
}

function modeOf(value: unknown): number {
  if (typeof value === 'string' && /^[01]?[0-7]{3}$/.test(value)) return Number.parseInt(value, 8)
  throw invalid('"mode" must be octal digits in a string, such as "640"')
}

function nameOf(value: unknown, field: string): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw invalid(`"${field}" must be a name`)
}

function invalid(message: string): HttpError {
  return new HttpError(400, 'INVALID_ARGUMENT', message)
}
