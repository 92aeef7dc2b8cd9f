import { answerJson, type Exchange, type Operation } from './exchange.ts'

/** Where the data of an operation is exchanged: HttpFS's name for the second step at the same server. */
const dataStep = 'data'

/**
 * An operation of two steps: the first names where the data goes, by a redirect or with `noredirect` in a document; the
 * second moves it. Here both are at the gateway, at the address that the client used, so that it works through port
 * forwarding and from outside of a network of containers. With `proxy=true` there is no first step.
 *
 * @param check what the first step refuses before it redirects
 */
export function redirected(move: Operation, check?: Operation): Operation {
  return async (exchange) => {
    const { parameters, response } = exchange
    const noRedirect = parameters.boolean('noredirect', false)
    if (parameters.boolean(dataStep, false) || parameters.boolean('proxy', false)) {
      await move(exchange)
      return
    }
    await check?.(exchange)
    const location = dataUrl(exchange)
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

/** The client's own URL with the mark of the second step, and the user even when it was a default. */
function dataUrl({ client, parameters, request }: Exchange): string {
  const { socket, headers, originalUrl } = request
  const host = headers.host ?? `${socket.localAddress ?? '127.0.0.1'}:${socket.localPort ?? 80}`
  const path = originalUrl.split('?', 1)[0] ?? ''
  const added = { 'user.name': client.user, [dataStep]: 'true' }
  const query = parameters.query(['noredirect'], added)
  return `${request.protocol}://${host}${path}?${query}`
}
