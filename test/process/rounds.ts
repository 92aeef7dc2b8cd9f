import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../base/prng.ts'
import type { DfsClient } from '../../client/index.ts'
import type { RealCluster } from '../support/cluster.ts'

/** What became of one round of {@link runRounds}. */
export interface RoundReport {
  readonly round: number
  readonly victim: string
  readonly acknowledged: number
  readonly refused: number
}

interface Acknowledged {
  readonly path: string
  readonly digest: string
}

function digestOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** Writes files of many sizes until told to stop; remembers those whose write was acknowledged. */
async function writeUntil(
  client: DfsClient,
  directory: string,
  prng: Prng,
  isOver: () => boolean,
): Promise<{ acknowledged: Acknowledged[]; refused: number }> {
  const acknowledged: Acknowledged[] = []
  let refused = 0
  await client.mkdir(directory, { recursive: true })
  for (let index = 0; !isOver(); index += 1) {
    const length = prng.chance(1, 4) ? prng.below(6 * 2 ** 20) : prng.below(20_000)
    const data = Buffer.alloc(length, prng.below(256))
    if (length > 8) data.writeUInt32LE(prng.next(), length - 8)
    const path = `${directory}/file-${index}`
    try {
      await client.writeFile(path, data)
      acknowledged.push({ path, digest: digestOf(data) })
    } catch {
      refused += 1
      await sleep(20)
    }
  }
  return { acknowledged, refused }
}

/**
 * Kills one role with -9 at a random moment while several clients write, starts it again, and reads back every
 * file that was ever acknowledged.
 *
 * @param onRound sees each round as it ends; throws to stop
 */
export async function runRounds(
  cluster: RealCluster,
  options: { readonly rounds: number; readonly seed: number; readonly writers: number },
  onRound: (report: RoundReport) => void,
): Promise<void> {
  const prng = new Prng(options.seed)
  const client = cluster.client()
  const all: Acknowledged[] = []
  try {
    for (let round = 0; round < options.rounds; round += 1) {
      const victim = prng.pick(['namenode' as const, ...cluster.datanodeRoles])
      let isOver = false
      const writing = Array.from({ length: options.writers }, (_, writer) =>
        writeUntil(client, `/round-${round}/writer-${writer}`, new Prng(prng.next()), () => isOver),
      )
      await sleep(200 + prng.below(800))
      await cluster.kill(victim)
      await sleep(prng.below(500))
      cluster.start(victim)
      await cluster.ready()
      await sleep(100)
      isOver = true
      const results = await Promise.all(writing)
      for (const { acknowledged } of results) all.push(...acknowledged)
      await readBack(client, all)
      onRound({
        round,
        victim,
        acknowledged: results.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0),
        refused: results.reduce((sum, { refused }) => sum + refused, 0),
      })
    }
  } finally {
    await client.close()
  }
}

async function readBack(client: DfsClient, files: readonly Acknowledged[]): Promise<void> {
  for (const { path, digest } of files) {
    const found = digestOf(await client.readFile(path))
    if (found !== digest)
      throw new Error(`"${path}" was acknowledged with ${digest} and reads as ${found}`)
  }
}
