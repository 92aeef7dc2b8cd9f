import type { Test } from 'tap'
import { DfsClient, type DfsClientOptions } from '../../client/index.ts'
import { FakeNamenode } from './fake-namenode.ts'

/** A client and the fake cluster it talks to. */
export interface SdkFixture {
  readonly cluster: FakeNamenode
  readonly client: DfsClient
}

/** Starts a fake cluster with `datanodes` nodes and a client of it; the test's teardown stops both. */
export async function startSdk(
  t: Test,
  datanodes = 3,
  options: DfsClientOptions = {},
): Promise<SdkFixture> {
  const cluster = await new FakeNamenode(datanodes).start()
  const client = new DfsClient({ uri: cluster.uri, user: 'root', ...options })
  t.teardown(async () => {
    await client.close()
    await cluster.stop()
  })
  return { cluster, client }
}

/** `length` bytes that repeat nowhere near a packet or block boundary. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let index = 0; index < length; index += 1) bytes[index] = (index * 7 + (index >> 9)) & 255
  return bytes
}
