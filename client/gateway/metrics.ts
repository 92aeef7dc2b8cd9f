/** What a gateway's `/metrics` shows: requests by face, method and class of status; nothing a client can make up. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import express from 'express'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const prefix = 'trefoil_gateway_'
const secondsBuckets = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300]
const methods = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS'])
const faces = new Set(['files', 'webhdfs', 'tus', 'api', 'metrics', 'healthz', 'readyz'])
const labelNames = ['face', 'method'] as const

/** Counts every request that passes, and serves `/metrics`. To be mounted before the faces. */
export function gatewayMetrics(): express.Router {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const count = requestCounter(registry)
  const router = express.Router()
  router.use((request, response, next) => {
    count(request, response)
    next()
  })
  router.get('/metrics', async (_request, response) => {
    response.type(registry.contentType).send(await registry.metrics())
  })
  return router
}

function requestCounter(registry: Registry) {
  const registers = [registry]
  const requests = new Counter({
    name: `${prefix}requests_total`,
    help: 'Requests that are over; status "aborted" when the client left early',
    labelNames: [...labelNames, 'status'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: `${prefix}request_seconds`,
    help: 'Time from the head of a request to the end of its answer',
    ...{ labelNames, buckets: secondsBuckets, registers },
  })
  const received = new Counter({
    name: `${prefix}received_bytes_total`,
    help: 'Bytes received, heads included',
    ...{ labelNames: ['face'] as const, registers },
  })
  const sent = new Counter({
    name: `${prefix}sent_bytes_total`,
    help: 'Bytes sent, heads included',
    ...{ labelNames: ['face'] as const, registers },
  })
  const inFlight = new Gauge({
    name: `${prefix}requests_in_flight`,
    help: 'Requests without an end yet',
    ...{ labelNames: ['face'] as const, registers },
  })
  const counted = new WeakMap<Socket, Pick<Socket, 'bytesRead' | 'bytesWritten'>>()
  return (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request
    const face = faceOf(request.url)
    const method = methods.has(request.method ?? '') ? (request.method ?? '') : 'other'
    const stop = seconds.startTimer({ face, method })
    inFlight.inc({ face })
    response.once('close', () => {
      inFlight.dec({ face })
      stop()
      const status = response.writableFinished ? statusClass(response.statusCode) : 'aborted'
      requests.inc({ face, method, status })
      // A connection carries one request at a time: what it gained since the last one belongs to this.
      const { bytesRead, bytesWritten } = socket
      const before = counted.get(socket) ?? { bytesRead: 0, bytesWritten: 0 }
      received.inc({ face }, bytesRead - before.bytesRead)
      sent.inc({ face }, bytesWritten - before.bytesWritten)
      counted.set(socket, { bytesRead, bytesWritten })
    })
  }
}

function faceOf(url = ''): string {
  const first = url.split(/[/?]/, 2)[1] ?? ''
  return faces.has(first) ? first : 'other'
}

function statusClass(status: number): string {
  return `${Math.floor(status / 100)}xx`
}
