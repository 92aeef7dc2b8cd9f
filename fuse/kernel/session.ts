import { errnoOf, MountError } from '../errno.ts'
import type { MountedTree } from '../mounted-tree.ts'
import { protocolMajor, renameNoReplace } from './protocol.ts'
import {
  attributesReply,
  createReply,
  DirectoryReply,
  entryReply,
  initReply,
  openReply,
  replyHeader,
  statfsReply,
  writeReply,
} from './replies.ts'
import { BadRequest, decodeRequest, type RequestBody, type RequestHeader } from './requests.ts'

const noBytes = Buffer.alloc(0)

/** A reply in pieces, or undefined where the kernel wants none. */
export type Reply = readonly Buffer[] | undefined

/** Answers the kernel's requests from a tree. */
export class KernelSession {
  readonly #tree: MountedTree

  constructor(tree: MountedTree) {
    this.#tree = tree
  }

  /**
   * Carries out the request in `buffer`, which belongs to it until the promise resolves. Never rejects: what fails is answered
   * with its errno.
   */
  async handle(buffer: Buffer): Promise<Reply> {
    let header: RequestHeader | undefined
    try {
      const request = decodeRequest(buffer)
      header = request.header
      const payload = await this.#answer(header, request.body)
      return payload === undefined
        ? undefined
        : [replyHeader(header.unique, 0, payload.length), payload]
    } catch (error) {
      const isBad = error instanceof BadRequest
      const answered = isBad ? error.header : header
      const errno = errnoOf(isBad ? new MountError('EINVAL', error.message) : error)
      return answered === undefined ? undefined : [replyHeader(answered.unique, errno, 0)]
    }
  }

  // One row per kind of request; the compiler checks that none is missing.
  // eslint-disable-next-line max-lines-per-function -- a table
  async #answer(header: RequestHeader, body: RequestBody): Promise<Buffer | undefined> {
    const { uid, node } = header
    const tree = this.#tree
    switch (body.kind) {
      case 'init':
        if (body.major !== protocolMajor)
          throw new MountError('EPROTO', `FUSE ${body.major} is not spoken`)
        return initReply(body)
      case 'lookup':
        return entryReply(await tree.lookup(uid, node, body.name))
      case 'forget':
        for (const { node: id, count } of body.forgets) tree.forget(id, count)
        return undefined
      case 'interrupt':
        return undefined
      case 'getattr':
        return attributesReply(await tree.getattr(uid, node))
      case 'setattr':
        return attributesReply(await tree.setattr(uid, node, body.changes))
      case 'mkdir':
        return entryReply(await tree.mkdir(uid, node, body.name, body.mode))
      case 'mknod':
        return entryReply(await tree.mknod(uid, node, body.name, body.mode))
      case 'unlink':
        await tree.unlink(uid, node, body.name)
        return noBytes
      case 'rmdir':
        await tree.rmdir(uid, node, body.name)
        return noBytes
      case 'rename':
        return this.#rename(header, body)
      case 'open':
        return openReply(await tree.open(uid, node, body.flags))
      case 'create': {
        const { name, mode, flags } = body
        const made = await tree.create(uid, { parent: node, name, mode }, flags)
        return createReply(made.attributes, made.handle)
      }
      case 'read': {
        const bytes = Buffer.allocUnsafe(body.size)
        return bytes.subarray(0, await tree.read(body.handle, bytes, body.offset))
      }
      case 'write':
        return writeReply(await tree.write(body.handle, body.bytes, body.offset))
      case 'flush':
      case 'fsync':
        await tree.sync(body.handle)
        return noBytes
      case 'release':
        await tree.release(body.handle)
        return noBytes
      case 'opendir':
        return openReply(tree.opendir(uid, node))
      case 'readdir':
      case 'readdirplus':
        return this.#readdir(node, body)
      case 'releasedir':
        tree.closedir(body.handle)
        return noBytes
      case 'statfs':
        return statfsReply(await tree.statfs())
      case 'fsyncdir':
      case 'destroy':
        return noBytes
      case 'symlink':
      case 'link':
        throw new MountError('EPERM', 'The cluster has no links')
      case 'unknown':
        throw new MountError('ENOSYS', `Requests of kind ${header.opcode} are not served`)
    }
  }

  async #rename(
    { uid, node }: RequestHeader,
    body: RequestBody & { readonly kind: 'rename' },
  ): Promise<Buffer> {
    const { name, newParent, newName, flags } = body
    if ((flags & ~renameNoReplace) !== 0) throw new MountError('EINVAL', 'Names are not exchanged')
    const isExclusive = (flags & renameNoReplace) !== 0
    await this.#tree.rename(
      uid,
      { parent: node, name },
      { parent: newParent, name: newName },
      isExclusive,
    )
    return noBytes
  }

  async #readdir(
    node: number,
    body: RequestBody & { readonly kind: 'read' | 'readdir' | 'readdirplus' },
  ): Promise<Buffer> {
    const { handle, offset, size, kind } = body
    const isPlus = kind === 'readdirplus'
    const reply = new DirectoryReply(size, isPlus)
    let index = offset
    for await (const entry of this.#tree.entries(handle, node, offset)) {
      index += 1
      const { name, status, attributes } = entry
      if (!reply.add({ name, offset: index, attributes }, status !== undefined)) break
      if (isPlus) this.#tree.rememberEntry(node, entry)
    }
    return reply.bytes()
  }
}
