import { constants } from 'node:fs'
import type { NewNode, RenameManner } from '../../client/index.ts'
import { kindOfMode } from '../attributes.ts'
import { errnoOf, MountError } from '../errno.ts'
import type { MountedTree } from '../mounted-tree.ts'
import { Interrupts } from './interrupts.ts'
import { fallocateBits, protocolMajor, renameBits } from './protocol.ts'
import {
  attributesReply,
  createReply,
  DirectoryReply,
  entryBytes,
  entryReply,
  initReply,
  openReply,
  replyHeader,
  statfsReply,
  type Validity,
  writeReply,
  xattrReply,
} from './replies.ts'
import {
  BadRequest,
  decodeRequest,
  type Request,
  type RequestBody,
  type RequestHeader,
} from './requests.ts'

const noBytes = Buffer.alloc(0)

/** Kinds whose answer begins with the number of an inode that the kernel knows from then on. */
const handsOutNode: ReadonlySet<RequestBody['kind']> = new Set([
  ...(['lookup', 'mkdir', 'mknod', 'symlink', 'link', 'create'] as const),
])

/** What follows the header of a reply. */
type Payload = Buffer | readonly Buffer[]

/** Takes a reply, in pieces. */
export type SendReply = (reply: readonly Buffer[]) => void

/** Answers the kernel's requests from a tree. */
export class KernelSession {
  /** Resolves when the kernel and this program have agreed on what they speak. */
  readonly started: Promise<void>
  #start: () => void = () => undefined
  readonly #tree: MountedTree
  readonly #validity: Validity
  readonly #interrupts = new Interrupts()

  constructor(tree: MountedTree, validity: Validity) {
    this.#tree = tree
    this.#validity = validity
    this.started = new Promise((resolve) => {
      this.#start = resolve
    })
  }

  /**
   * Takes the request in `buffer`, which belongs to it until the promise resolves: only the bytes of a write are needed until it
   * is carried out. Never rejects: what fails is answered with its errno. `send` is called once, or not at all where the
   * kernel wants no reply; for a caller who is being killed before the request is carried out.
   */
  async handle(buffer: Buffer, send: SendReply): Promise<void> {
    let request: Request
    try {
      request = decodeRequest(buffer)
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error
      const errno = errnoOf(new MountError('EINVAL', error.message))
      if (error.header !== undefined) send([replyHeader(error.header.unique, errno, 0)])
      return
    }
    const done = this.#carryOut(request, send)
    if (request.body.kind === 'write') await done
  }

  async #carryOut({ header, body }: Request, send: SendReply): Promise<void> {
    const caller: { isGone: boolean } = { isGone: false }
    this.#interrupts.add(header, () => {
      caller.isGone = true
      send([replyHeader(header.unique, errnoOf(new MountError('EINTR', 'Killed')), 0)])
    })
    try {
      const payload = await this.#answer(header, body)
      if (payload === undefined) return
      if (caller.isGone) await this.#takeBack(body, payload)
      else {
        const pieces = Buffer.isBuffer(payload) ? [payload] : payload
        const bytes = pieces.reduce((sum, { length }) => sum + length, 0)
        send([replyHeader(header.unique, 0, bytes), ...pieces])
        if (body.kind === 'init') this.#start()
      }
    } catch (error) {
      if (!caller.isGone) send([replyHeader(header.unique, errnoOf(error), 0)])
    } finally {
      this.#interrupts.remove(header.unique)
    }
  }

  // One row per kind of request; the compiler checks that none is missing.
  // eslint-disable-next-line max-lines-per-function -- a table
  async #answer(header: RequestHeader, body: RequestBody): Promise<Payload | undefined> {
    const { uid, gid, pid, node } = header
    const caller = { uid, gid, pid }
    const tree = this.#tree
    const { names } = tree
    if ('killsSetBits' in body && body.killsSetBits) await tree.dropSetBits(node)
    switch (body.kind) {
      case 'init':
        if (body.major !== protocolMajor)
          throw new MountError('EPROTO', `FUSE ${body.major} is not spoken`)
        return initReply(body)
      case 'lookup':
        return entryReply(
          await names.lookup(caller, { parent: node, name: body.name }),
          this.#validity,
        )
      case 'forget':
        for (const { node: id, count } of body.forgets) tree.forget(id, count)
        return undefined
      case 'interrupt':
        void this.#interrupts.interrupt(body.unique)
        return undefined
      case 'getattr':
        return attributesReply(await names.getattr(caller, node), this.#validity)
      case 'setattr':
        return attributesReply(await tree.setattr(caller, node, body.changes), this.#validity)
      case 'readlink':
        return Buffer.from(await names.readlink(caller, node))
      case 'mkdir':
      case 'mknod':
      case 'symlink':
        return entryReply(
          await names.make(caller, { parent: node, name: body.name }, nodeOf(body)),
          this.#validity,
        )
      case 'link':
        return entryReply(
          await names.link(caller, body.source, { parent: node, name: body.name }),
          this.#validity,
        )
      case 'getxattr':
        return xattrReply(await tree.getxattr(uid, node, body.name), body.size)
      case 'listxattr': {
        const found = await tree.listxattr(uid, node)
        return xattrReply(Buffer.from(found.map((name) => `${name}\0`).join('')), body.size)
      }
      case 'setxattr':
        await tree.setxattr(uid, node, body)
        return noBytes
      case 'removexattr':
        await tree.removexattr(uid, node, body.name)
        return noBytes
      case 'unlink':
        await names.unlink(caller, { parent: node, name: body.name })
        return noBytes
      case 'rmdir':
        await names.rmdir(caller, { parent: node, name: body.name })
        return noBytes
      case 'rename':
        return this.#rename(header, body)
      case 'open': {
        const handle = await tree.open(caller, node, body.flags)
        const isForReading = (body.flags & (constants.O_WRONLY | constants.O_RDWR)) === 0
        return openReply(handle, isForReading && (await tree.keepsPages(handle)))
      }
      case 'create': {
        const { name, mode, umask, flags } = body
        const made = await tree.create(caller, { parent: node, name, mode, umask }, flags)
        return createReply(made.attributes, made.handle, this.#validity)
      }
      case 'read':
        return tree.readPieces(body.handle, body.offset, body.size)
      case 'write':
        return writeReply(await tree.write(body.handle, body.bytes, body.offset, body.isFromCache))
      case 'fallocate':
        return this.#fallocate(body)
      case 'copyFileRange':
        return writeReply(await tree.copyRange(body.from, body.to, body.length))
      case 'flush':
      case 'fsync':
        await tree.sync(body.handle)
        return noBytes
      case 'release':
        await tree.release(body.handle)
        return noBytes
      case 'opendir':
        return openReply(tree.opendir(caller, node))
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
      case 'unknown':
        throw new MountError('ENOSYS', `Requests of kind ${header.opcode} are not served`)
    }
  }

  async #rename(
    { uid, gid, pid, node }: RequestHeader,
    body: RequestBody & { readonly kind: 'rename' },
  ): Promise<Buffer> {
    const { name, newParent, newName, flags } = body
    const [from, to] = [
      { parent: node, name },
      { parent: newParent, name: newName },
    ]
    await this.#tree.names.rename({ uid, gid, pid }, from, to, mannerOf(flags))
    return noBytes
  }

  async #fallocate(body: RequestBody & { readonly kind: 'fallocate' }): Promise<Buffer> {
    const { mode, handle, offset, length } = body
    const { keepSize, punchHole, zeroRange } = fallocateBits
    if ((mode & ~(keepSize | punchHole | zeroRange)) !== 0)
      throw new MountError('EOPNOTSUPP', 'Ranges are neither taken out of files nor put in')
    const how = {
      keepsSize: (mode & keepSize) !== 0,
      zeroes: (mode & (punchHole | zeroRange)) !== 0,
    }
    await this.#tree.allocate(handle, { offset, length }, how)
    return noBytes
  }

  /** Nobody was told of what an answer hands out: it is given back. */
  async #takeBack(body: RequestBody, payload: Payload): Promise<void> {
    const { kind } = body
    if (!Buffer.isBuffer(payload)) return
    const first = payload.length < 8 ? 0 : Number(payload.readBigUInt64LE(0))
    if (kind === 'open') await this.#tree.release(first)
    if (kind === 'opendir') this.#tree.closedir(first)
    if (kind === 'create') await this.#tree.release(Number(payload.readBigUInt64LE(entryBytes)))
    if (handsOutNode.has(kind)) this.#tree.forget(first, 1)
  }

  async #readdir(
    node: number,
    body: RequestBody & { readonly kind: 'read' | 'readdir' | 'readdirplus' },
  ): Promise<Buffer> {
    const { handle, offset, size, kind } = body
    const isPlus = kind === 'readdirplus'
    const reply = new DirectoryReply(size, isPlus ? this.#validity : undefined)
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

/** What a request that makes something asks for. */
function nodeOf(body: RequestBody & { readonly kind: 'mkdir' | 'mknod' | 'symlink' }): NewNode {
  if (body.kind === 'symlink') return { kind: 'symlink', mode: 0o777, target: body.target }
  const { mode, umask } = body
  if (body.kind === 'mkdir') return { kind: 'directory', mode, umask }
  const kind = kindOfMode(mode)
  if (kind === undefined) throw new MountError('EINVAL', `Mode ${mode} is of no kind of file`)
  return { kind, mode, umask, device: body.device }
}

function mannerOf(flags: number): RenameManner {
  switch (flags) {
    case 0:
      return 'replace'
    case renameBits.noReplace:
      return 'no-replace'
    case renameBits.exchange:
      return 'exchange'
    default:
      throw new MountError('EINVAL', `Names cannot be changed with flags ${flags}`)
  }
}
