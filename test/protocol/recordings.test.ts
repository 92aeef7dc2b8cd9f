import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { decodeRpc, decodeTransfers, parseRecording } from '../support/conversation.ts'

/*
 * Conversations of Hadoop 3.5.0 with its own client, gohdfs and hdfs-native, one folder per action, one
 * file per connection: `namenode` and `ipcN` are Hadoop RPC, `datanodeN` is data transfer.
 */
const fixtures = join(dirname(fileURLToPath(import.meta.url)), 'fixtures')
const files = readdirSync(fixtures, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.hex'))
  .sort()

function load(file: string): ReturnType<typeof parseRecording> {
  return parseRecording(readFileSync(join(fixtures, file), 'utf8'))
}

function rpcLine(file: string): string {
  const { user, exchanges } = decodeRpc(load(file))
  const methods = exchanges.map(
    ({ method, header }) => `${method}${header?.status === 'ERROR' ? '!' : ''}`,
  )
  return `${file}: ${user} ${methods.join(' ')}`
}

function transferLine(file: string): string {
  const transfers = decodeTransfers(load(file)).map(
    ({ operation, packets, chunks, acks, responses }) => {
      const { kind, message } = operation
      const stage = kind === 'writeBlock' ? ` ${message.stage}` : ''
      const counts = [
        [packets.length, 'packets'],
        [chunks, 'chunks'],
        [acks.length, 'acks'],
        [responses.length, 'responses'],
      ]
      return `${kind}${stage} ${counts.map(([count, what]) => `${String(count)} ${String(what)}`).join(', ')}`
    },
  )
  return `${file}: ${transfers.join('; ')}`
}

t.test(
  'recordings of real programs decode to the last byte, every chunk checksum right',
  async (t) => {
    const lines = files.map((file) =>
      file.includes('datanode') && /\/\d\d-datanode/.test(file)
        ? transferLine(file)
        : rpcLine(file),
    )
    const summary = join(fixtures, 'summary.txt')
    t.equal(`${lines.join('\n')}\n`, readFileSync(summary, 'utf8'))
  },
)

t.test('an error of a real namenode has its class, its message and no message body', async (t) => {
  const { exchanges } = decodeRpc(load('java-namespace/01-namenode.hex'))
  const failed = exchanges.filter(({ header }) => header?.status === 'ERROR')
  t.ok(failed.length >= 2)
  for (const { header, response } of failed) {
    t.equal(response, undefined)
    t.match(header, {
      exceptionClassName: /^(org\.apache\.hadoop|java)\./,
      errorDetail: 'ERROR_APPLICATION',
      serverIpcVersionNum: 9,
    })
  }
})

t.test('values above 2^53 in recordings are exact', async (t) => {
  const { exchanges } = decodeRpc(load('java-namespace/01-namenode.hex'))
  const summary = exchanges.find(({ method }) => method === 'getContentSummary')
  t.match(summary?.response, { summary: { quota: 2n ** 64n - 1n, spaceQuota: 2n ** 64n - 1n } })
  const { exchanges: recovery } = decodeRpc(load('java-pipeline-recovery/01-namenode.hex'))
  const bumped = recovery.find(({ method }) => method === 'updateBlockForPipeline')
  t.match(bumped?.response, { block: { offset: 2n ** 64n - 1n, locs: [] } })
})

t.test('a truncated recording is reported, not ignored', async (t) => {
  const { client, server } = load('java-append/01-datanode1.hex')
  t.throws(() => decodeTransfers({ client: client.subarray(0, -1), server }), /end inside/)
  t.throws(() => decodeTransfers({ client, server: server.subarray(0, -1) }), /end inside/)
})
