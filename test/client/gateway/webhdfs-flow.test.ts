/** WebHDFS under slow clients, a slow cluster and a stop: bounded memory, nothing left behind. */
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { runGateway } from '../../../client/gateway/main.ts'
import { WorkInFlight } from '../../../client/gateway/work.ts'
import { prefix, startWebHdfs } from '../../support/webhdfs.ts'

const mebibyte = 2 ** 20
const world = await startWebHdfs(t, { datanodes: 1 })
const { client, cluster, gateway, user } = world

/** A connection that has asked and does nothing else. */
function connect(port: number, head: string): net.Socket {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(`${head}\r\nHost: localhost\r\nConnection: close\r\n`)
  return socket
}

/** Bytes of this process outside of the collected heap, where file data is. */
function dataBytes(): number {
  return process.memoryUsage().arrayBuffers
}

t.test('clients that do not read stop the datanode, not fill the memory', async (t) => {
  const fileBytes = 64 * mebibyte
  const body = Buffer.alloc(fileBytes, 'b')
  await client.writeFile('/big', body, { replication: 1 })
  const before = dataBytes()
  const sockets = Array.from({ length: 8 }, () => {
    const head = `GET ${prefix}/big?op=OPEN&data=true&${user} HTTP/1.1`
    const socket = connect(gateway.port, head).pause()
    socket.write('\r\n')
    return socket
  })
  await sleep(1500)
  const held = dataBytes() - before
  t.ok(held < 8 * 12 * mebibyte, `${held} bytes are held for 8 readers of ${fileBytes}`)
  let received = 0
  const [first] = sockets
  const isOver = new Promise((resolve) => first?.once('close', resolve))
  first?.on('data', (part) => {
    received += part.length
  })
  first?.resume()
  await isOver
  t.ok(received > body.length, 'a reader that goes on gets everything')
  for (const socket of sockets) socket.destroy()
})

t.test('a datanode that does not take bytes stops the client', async (t) => {
  const pid = cluster.pid('datanode-1') ?? 0
  const bodyBytes = 160 * mebibyte
  const target = `${prefix}/slow?op=CREATE&data=true&replication=1&${user}`
  const socket = connect(gateway.port, `PUT ${target} HTTP/1.1`)
  socket.write(`Content-Length: ${bodyBytes}\r\n\r\n`)
  let answer = ''
  socket.on('data', (part) => {
    answer += part.toString()
  })
  const part = Buffer.alloc(mebibyte, 's')
  let isStopped = false
  for (let sent = 0; sent < bodyBytes; sent += part.length) {
    if (sent === 16 * mebibyte) {
      process.kill(pid, 'SIGSTOP')
      isStopped = true
    }
    if (socket.write(part)) continue
    const drained = new Promise<void>((resolve) => socket.once('drain', resolve))
    const inTime = drained.then(() => true)
    if (!isStopped || (await Promise.race([inTime, sleep(1500, false)]))) {
      await drained
      continue
    }
    t.ok(sent < 64 * mebibyte, `${sent} of ${bodyBytes} bytes were taken while the datanode stood`)
    process.kill(pid, 'SIGCONT')
    isStopped = false
    await drained
  }
  if (isStopped) process.kill(pid, 'SIGCONT')
  t.equal(isStopped, false, 'the client was stopped at some point')
  await new Promise((resolve) => socket.once('close', resolve))
  t.match(answer, /^HTTP\/1\.1 201/)
  t.equal((await client.stat('/slow')).size, bodyBytes, 'and finished when it went on')
})

t.test('a gateway that stops gives back what is being uploaded', async (t) => {
  const other = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  await client.mkdir('/stop')
  await client.writeFile('/stop/log', 'begin', { replication: 1 })
  const begun = [
    `PUT ${prefix}/stop/new?op=CREATE&data=true&replication=1&${user} HTTP/1.1`,
    `POST ${prefix}/stop/log?op=APPEND&data=true&${user} HTTP/1.1`,
  ].map((head) => {
    const socket = connect(other.port, head)
    socket.write('Content-Length: 50000000\r\n\r\n')
    socket.write(Buffer.alloc(mebibyte, 'x'))
    return socket
  })
  for (let left = 500; (await client.readdir('/stop')).length < 2 && left > 0; left -= 1) {
    await sleep(10)
  }
  for (let left = 500; (await client.isFileClosed('/stop/log')) && left > 0; left -= 1) {
    await sleep(10)
  }
  await other.stop()
  t.same(await client.readdir('/stop'), ['log'], 'the new file is gone when the gateway is')
  for (let left = 500; !(await client.isFileClosed('/stop/log')) && left > 0; left -= 1) {
    await sleep(20)
  }
  t.ok(await client.isFileClosed('/stop/log'))
  for (const socket of begun) socket.destroy()
})

t.test('WorkInFlight waits for what is tracked, and no longer than it is told', async (t) => {
  const work = new WorkInFlight()
  await work.settled(1)
  let finish: () => void = () => undefined
  work.track(
    new Promise((resolve) => {
      finish = resolve
    }),
  )
  t.equal(work.count, 1)
  await work.settled(5)
  t.equal(work.count, 1, 'given up')
  finish()
  await work.settled(60_000)
  t.equal(work.count, 0)
})
