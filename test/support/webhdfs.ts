import http from 'node:http'
import type { Test } from 'tap'
import { type GatewayOptions, type RunningGateway, runGateway } from '../../client/gateway/main.ts'
import type { DfsClient } from '../../client/index.ts'
import { type ClusterOptions, type RealCluster, startCluster } from './cluster.ts'

/** What WebHDFS's URLs start with. */
export const prefix = '/webhdfs/v1'

/** One answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
  /** The document, when it is one. */
  readonly json: unknown
}

/** What goes along with a request. */
export interface AskOptions {
  readonly body?: Buffer | string
  readonly headers?: http.OutgoingHttpHeaders
}

/** A cluster, a gateway in this process, and WebHDFS asked as it is written: nothing is normalised or followed. */
export class WebHdfsWorld {
  readonly cluster: RealCluster
  readonly gateway: RunningGateway
  readonly client: DfsClient
  /** The parameter that names the superuser. */
  readonly user: string

  constructor(cluster: RealCluster, gateway: RunningGateway) {
    this.cluster = cluster
    this.gateway = gateway
    this.client = cluster.client()
    this.user = `user.name=${cluster.user}`
  }

  ask(method: string, target: string, options: AskOptions = {}): Promise<Answer> {
    return askUrl(method, `http://localhost:${this.gateway.port}${prefix}${target}`, options)
  }

  /** Asks for something that is refused with this Java exception. */
  async refused(
    t: Test,
    [method, target]: readonly [method: string, target: string],
    status: number,
    exception: string,
    message: RegExp | string,
  ): Promise<void> {
    const answer = await this.ask(method, target)
    t.equal(answer.status, status, `${method} ${target}`)
    t.match(answer.json, { RemoteException: { exception, message } })
    const { RemoteException: error } = answer.json as { RemoteException: { javaClassName: string } }
    t.ok(error.javaClassName.endsWith(exception), error.javaClassName)
  }
}

/** Asks an address as it is written. */
export function askUrl(method: string, url: string, options: AskOptions = {}): Promise<Answer> {
  const { body, headers = {} } = options
  const [, host = '', port = '', path = ''] = /^http:\/\/([^/:]+):(\d+)(\/.*)$/.exec(url) ?? []
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path, headers, agent: false })
    request.once('error', reject)
    request.once('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', reject)
      response.once('end', () => {
        resolve(toAnswer(response, Buffer.concat(parts)))
      })
    })
    request.end(body)
  })
}

/** Starts a cluster with a gateway; both end with the test. */
export async function startWebHdfs(
  t: Test,
  options: ClusterOptions = { datanodes: 3 },
  gatewayOptions: Partial<GatewayOptions> = {},
): Promise<WebHdfsWorld> {
  const cluster = await startCluster(options)
  const gateway = await runGateway({
    ...{ uri: cluster.uri, host: '127.0.0.1', port: 0 },
    ...gatewayOptions,
  })
  const world = new WebHdfsWorld(cluster, gateway)
  t.teardown(async () => {
    await world.client.close()
    await gateway.stop()
    await cluster.stop()
  })
  return world
}

function toAnswer({ statusCode, headers }: http.IncomingMessage, body: Buffer): Answer {
  const isJson = /json/.test(headers['content-type'] ?? '') && body.length > 0
  const json = isJson ? (JSON.parse(body.toString()) as unknown) : undefined
  return { status: statusCode ?? 0, headers, body, json }
}
