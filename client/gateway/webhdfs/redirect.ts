import type { DatanodeID } from '../../../protocol/messages/hdfs-blocks.ts'
import { DfsFsError } from '../../index.ts'
import type { DatanodeChoice } from './datanode-choice.ts'
import { answerJson, type Exchange, type Operation } from './exchange.ts'
import type { Grants } from './grants.ts'

/** Where the data of an operation is exchanged: HttpFS's name for the second step at the same server. */
const dataStep = 'data'
/** How long a client may take from a redirect to the datanode. HDFS's own client comes back there for every seek. */
const readGrantMs = 600_000
const writeGrantMs = 120_000

/** What an operation does before and while a client is sent elsewhere for its data. */
export interface RedirectRules {
  readonly choose: DatanodeChoice
  /** What the first step refuses before it redirects. */
  readonly check?: Operation
}

/**
 * An operation of two steps: the first names where the data goes, by a redirect or with `noredirect` in a document; the
 * second moves it. Where that is, the configuration says:
 *
 *     gateway    here, at the address that the client used, so that it works through forwarded ports and from outside of a
 *                network of containers
 *     datanode   the HTTP port of a datanode, with a grant: no data crosses the gateway
 *
 * A request may choose: `proxy=true` does everything in one step here, `proxy=false` asks for a datanode.
 */
export function redirected(move: Operation, { choose, check }: RedirectRules): Operation {
  return async (exchange) => {
    const { parameters, response, dataPlace } = exchange
    const noRedirect = parameters.boolean('noredirect', false)
    const proxy = parameters.boolean('proxy', false)
    if (parameters.boolean(dataStep, false) || proxy) {
      await move(exchange)
      return
    }
    await check?.(exchange)
    const isSentAway = parameters.text('proxy') !== undefined || dataPlace.isDatanode
    const datanode = isSentAway ? await choose(exchange) : undefined
    // Without a datanode the gateway does it, and says what is wrong with the cluster if it cannot.
    const location =
      datanode === undefined ? ownUrl(exchange) : await datanodeUrl(exchange, datanode)
    if (noRedirect) {
      answerJson(exchange, { Location: location })
      return
    }
    response
      .status(307)
      .set('Location', location)
      .type('application/octet-stream')
      .set('Content-Length', '0')
      .end()
  }
}

/** Of this gateway: the client's own URL with the mark of the second step, and the user even when it was a default. */
function ownUrl(exchange: Exchange): string {
  const { client, parameters, request } = exchange
  const { socket, headers } = request
  const host = headers.host ?? `${socket.localAddress ?? '127.0.0.1'}:${socket.localPort ?? 80}`
  const added = { 'user.name': client.user, [dataStep]: 'true' }
  const query = parameters.query(['noredirect', 'proxy'], added)
  return `${request.protocol}://${host}${pathOf(exchange)}?${query}`
}

/** Of a datanode, as HDFS's namenode writes it; a token stays here, a grant for this operation alone goes along. */
async function datanodeUrl(exchange: Exchange, { ipAddr, infoPort }: DatanodeID): Promise<string> {
  const { client, parameters } = exchange
  const identity = await identityFor(exchange)
  const dropped = ['noredirect', 'proxy', dataStep, 'delegation', 'excludedatanodes', 'user.name']
  const namenode = { namenoderpcaddress: client.uri.replace('hdfs://', '') }
  const query = parameters.query(dropped, { ...identity, ...namenode })
  const host = ipAddr.includes(':') ? `[${ipAddr}]` : ipAddr
  return `http://${host}:${infoPort}${pathOf(exchange)}?${query}`
}

function pathOf({ request }: Exchange): string {
  return request.originalUrl.split('?', 1)[0] ?? ''
}

async function identityFor(exchange: Exchange): Promise<Record<string, string>> {
  const { caller, dataPlace } = exchange
  try {
    return { delegation: await grantFor(exchange, dataPlace.grants) }
  } catch (error) {
    // A gateway that may not keep keys can still pass on a name that was believed here, to a datanode that believes it.
    const mayNotSign = error instanceof DfsFsError && error.dfsCode === 'PERMISSION_DENIED'
    if (!mayNotSign || caller.grant !== undefined) throw error
    return { 'user.name': caller.user }
  }
}

async function grantFor(
  { caller, path, parameters, request }: Exchange,
  grants: Grants,
): Promise<string> {
  const operation = parameters.text('op')?.toUpperCase() ?? ''
  const isReading = request.method === 'GET' || request.method === 'HEAD'
  const untilMs = Math.min(
    Date.now() + (isReading ? readGrantMs : writeGrantMs),
    caller.grant?.expiresAtMs ?? Number.MAX_SAFE_INTEGER,
  )
  return await grants.sign({ user: caller.user, operation, path }, untilMs)
}
