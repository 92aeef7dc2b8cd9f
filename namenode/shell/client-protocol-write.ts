import { DfsError } from '../../protocol/errors.ts'
import {
  blockId,
  clientName,
  type DatanodeUuid,
  datanodeUuid,
  generationStamp,
  type InodeId,
  inodeId,
  storageUuid,
} from '../../protocol/ids.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import {
  createFlags,
  type DatanodeID,
  type DatanodeInfo,
  type ExtendedBlock,
} from '../../protocol/messages/hdfs.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { BlockReference, ReplicaLocation } from '../core/requests.ts'
import { appendReply } from './append-reply.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'
import { wireFileStatus, wireLocatedBlock, wirePlacelessBlock } from './wire-views.ts'

const modeMask = 0o1777
const nothing = {}

/** Methods of a writer, from create to complete. */
export function writeHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  const { blockPoolId } = context
  const block = (wire: ExtendedBlock): BlockReference => blockOf(wire, blockPoolId)
  return {
    create: (request, call) => {
      const { src, masked, unmasked, createFlag, createParent, replication, blockSize } = request
      refuseUnsupported(request)
      return mapReply(
        context.executeOnce(call, {
          kind: 'create',
          path: pathOf(src),
          mode: masked.perm & modeMask,
          unmaskedMode: unmasked === undefined ? undefined : unmasked.perm & modeMask,
          clientName: clientName(request.clientName),
          overwrite: (createFlag & createFlags.OVERWRITE) !== 0,
          createIfMissing: (createFlag & createFlags.CREATE) !== 0,
          ...{ createParent, replication, blockSize },
        }),
        (view) => ({ fs: wireFileStatus(context, view) }),
      )
    },
    addBlock: (request, call) =>
      mapReply(
        context.execute(call, {
          kind: 'addBlock',
          ...writerOf(request.src, request.fileId, request.clientName),
          previous: request.previous === undefined ? undefined : block(request.previous),
          excluded: avoided(context, request.excludeNodes),
          favored: request.favoredNodes,
          isLastTry: false,
        }),
        (view) => ({ block: wireLocatedBlock(context, view) }),
      ),
    abandonBlock: ({ b, src, holder, fileId }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'abandonBlock',
          ...writerOf(src, fileId, holder),
          block: block(b),
        }),
        () => nothing,
      ),
    complete: ({ src, fileId, clientName: holder, last }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'complete',
          ...writerOf(src, fileId, holder),
          last: last === undefined ? undefined : block(last),
          isLastTry: false,
        }),
        (result) => ({ result }),
      ),
    fsync: ({ src, fileId, client, lastBlockLength }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'fsync',
          ...writerOf(src, fileId, client),
          lastBlockLength,
        }),
        () => nothing,
      ),
  }
}

/** Methods that open a closed file again. */
export function reopeningHandlers(
  context: ClientContext,
): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    append: ({ src, clientName: holder, flag = 0 }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'append',
          path: pathOf(src),
          clientName: clientName(holder),
          newBlock: (flag & createFlags.NEW_BLOCK) !== 0,
        }),
        (view) => appendReply(context, view),
      ),
    truncate: ({ src, newLength, clientName: holder }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'truncate',
          path: pathOf(src),
          newLength,
          clientName: clientName(holder),
        }),
        (result) => ({ result }),
      ),
  }
}

/** Methods that mend a pipeline. */
export function pipelineHandlers(
  context: ClientContext,
): RpcHandlers<typeof clientNamenodeProtocol> {
  const { blockPoolId } = context
  const block = (wire: ExtendedBlock): BlockReference => blockOf(wire, blockPoolId)
  return {
    updateBlockForPipeline: (request, call) =>
      mapReply(
        context.execute(call, {
          kind: 'updateBlockForPipeline',
          block: block(request.block),
          clientName: clientName(request.clientName),
        }),
        (stamped) => ({ block: wirePlacelessBlock(context, stamped, []) }),
      ),
    updatePipeline: (request, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'updatePipeline',
          clientName: clientName(request.clientName),
          oldBlock: block(request.oldBlock),
          newBlock: block(request.newBlock),
          locations: locationsOf(request.newNodes, request.storageIDs),
        }),
        () => nothing,
      ),
    getAdditionalDatanode: (request, call) =>
      mapReply(
        context.execute(call, {
          kind: 'getAdditionalDatanode',
          ...writerOf(request.src, request.fileId, request.clientName),
          block: block(request.blk),
          existing: locationsOf(
            request.existings.map(({ id }) => id),
            request.existingStorageUuids,
          ),
          excluded: avoided(context, request.excludes),
          count: request.numAdditionalNodes,
        }),
        (found) => ({ block: wirePlacelessBlock(context, found.block, found.locations) }),
      ),
  }
}

/** Methods that keep or take leases, and reports of corrupt replicas. */
export function leaseHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  const { namenode, blockPoolId } = context
  return {
    renewLease: (request) => {
      namenode.namesystem.renewLease(namenode.now(), clientName(request.clientName))
      return nothing
    },
    recoverLease: (request, call) =>
      mapReply(
        context.execute(call, {
          kind: 'recoverLease',
          path: pathOf(request.src),
          clientName: clientName(request.clientName),
        }),
        (result) => ({ result }),
      ),
    reportBadBlocks: ({ blocks }) => {
      for (const bad of blocks) {
        const reference = blockOf(bad.b, blockPoolId)
        const locations = locationsOf(
          bad.locs.map(({ id }) => id),
          bad.storageIDs,
        )
        for (const location of locations) {
          namenode.blocks.reportBadReplica(reference.id, reference.generationStamp, location)
        }
      }
      return nothing
    },
  }
}

/** Reads a block that a client names. */
export function blockOf(wire: ExtendedBlock, blockPoolId: string): BlockReference {
  if (wire.poolId !== blockPoolId) {
    throw new DfsError(
      'IO_ERROR',
      `Block pool must be ${blockPoolId}, got ${wire.poolId}: the block belongs to another namenode`,
      { blockId: wire.blockId },
    )
  }
  return {
    id: blockId(wire.blockId),
    generationStamp: generationStamp(wire.generationStamp),
    length: wire.numBytes,
  }
}

/**
 * Datanodes that a writer wants to avoid. As HDFS does, one is known by UUID and transfer port together: a datanode that came
 * back under another port is not the one that failed.
 */
function avoided(
  { namenode }: ClientContext,
  excluded: readonly DatanodeInfo[],
): readonly DatanodeUuid[] {
  return excluded.flatMap(({ id }) => {
    const uuid = datanodeUuid(id.datanodeUuid)
    const known = namenode.blocks.datanode(uuid)
    return known === undefined || known.transferPort === id.xferPort ? [uuid] : []
  })
}

/** Pairs datanodes with storages; a client that leaves the storages out names the datanodes only. */
export function locationsOf(
  datanodes: readonly DatanodeID[],
  storages: readonly string[],
): readonly ReplicaLocation[] {
  return datanodes.map((datanode, index) => ({
    datanode: datanodeUuid(datanode.datanodeUuid),
    storage: storageUuid(storages[index] ?? ''),
  }))
}

function writerOf(
  path: string,
  fileId: number,
  holder: string,
): { path: string; inodeId: InodeId | undefined; clientName: ReturnType<typeof clientName> } {
  return {
    path: pathOf(path),
    inodeId: fileId === 0 ? undefined : inodeId(fileId),
    clientName: clientName(holder),
  }
}

function refuseUnsupported(request: {
  readonly src: string
  readonly createFlag: number
  readonly ecPolicyName?: string | undefined
  readonly storagePolicy?: string | undefined
}): void {
  const { src, ecPolicyName = '', createFlag } = request
  const refuse = (what: string): never => {
    throw new DfsError('UNSUPPORTED_OPERATION', `Cannot create "${src}": ${what}`, { path: src })
  }
  if (ecPolicyName !== '') refuse(`erasure coding (policy "${ecPolicyName}") is not supported`)
  if ((createFlag & createFlags.LAZY_PERSIST) !== 0) refuse('LAZY_PERSIST is not supported')
}
