/** Which datanode a client is sent to for data, as HDFS's namenode chooses it (NamenodeWebHdfsMethods.chooseDatanode). */
import type { DatanodeID } from '../../../protocol/messages/hdfs-blocks.ts'
import type { NamenodeReply } from '../../index.ts'
import type { Exchange } from './exchange.ts'

type LocatedBlocks = NonNullable<NamenodeReply<'getBlockLocations'>['locations']>
type Datanode = LocatedBlocks['blocks'][number]['locs'][number]

/** Chooses for one operation; `undefined` when no datanode can be asked. */
export type DatanodeChoice = (exchange: Exchange) => Promise<DatanodeID | undefined>

/** For reading: a datanode with the block at the offset. */
export const withBlockAtOffset: DatanodeChoice = async (exchange) => {
  const offset = exchange.parameters.long('offset', { min: 0 }) ?? 0
  return (await withReplica(exchange, offset)) ?? (await anyDatanode(exchange, 0))
}

/** For what concerns the end of a file: a datanode with its last block. */
export const withLastBlock: DatanodeChoice = async (exchange) => {
  const { client, path } = exchange
  const { size } = await client.stat(path)
  return (await withReplica(exchange, Math.max(0, size - 1))) ?? (await anyDatanode(exchange, 0))
}

/** For a new file: where the first replica goes if the client writes it. */
export const forNewBlock: DatanodeChoice = async (exchange) => {
  const { client, parameters } = exchange
  const blockSize = parameters.long('blocksize', { min: 1 })
  return await anyDatanode(exchange, blockSize ?? (await client.serverDefaults()).blockSize)
}

/** The client's own machine if it has a replica, else the first one in the namenode's order, which is random among equals. */
async function withReplica(exchange: Exchange, offset: number): Promise<DatanodeID | undefined> {
  const { client, path } = exchange
  const request = { src: path, offset, length: 1n }
  const { locations } = await client.callNamenode('getBlockLocations', request)
  const block = locations?.blocks[0]
  const excluded = excludedOf(exchange)
  const usable = (block?.locs ?? []).filter((node) => isUsable(node, excluded))
  const own = usable.find(({ id }) => id.ipAddr === clientHost(exchange))
  return (own ?? usable[0])?.id
}

async function anyDatanode(exchange: Exchange, blockSize: number): Promise<DatanodeID | undefined> {
  const { client } = exchange
  return await client.operator.chooseDatanode({
    ...{ clientHost: clientHost(exchange), blockSize },
    excluded: [...excludedOf(exchange)],
  })
}

function isUsable({ id, adminState }: Datanode, excluded: ReadonlySet<string>): boolean {
  if (adminState === 'DECOMMISSIONED' || adminState === 'IN_MAINTENANCE') return false
  if (id.infoPort === 0) return false
  return ![id.ipAddr, id.hostName].some((host) =>
    [host, `${host}:${id.xferPort}`, `${host}:${id.infoPort}`].some((name) => excluded.has(name)),
  )
}

/** Datanodes that the client could not reach. */
function excludedOf({ parameters }: Exchange): ReadonlySet<string> {
  const names = parameters.text('excludedatanodes')?.split(',') ?? []
  return new Set(names.map((name) => name.trim()).filter((name) => name !== ''))
}

function clientHost({ request }: Exchange): string {
  return (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
}
