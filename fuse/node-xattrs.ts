import { type DfsClient, DfsFsError } from '../client/index.ts'
import { MountError } from './errno.ts'
import type { Identities } from './identity.ts'
import { type AclKind, aclKindByName, decodeAcl, encodeAcl } from './posix-acl.ts'

/** Where attributes are, and who asks. */
export interface XattrSource {
  readonly client: DfsClient
  readonly path: string
  /** What a look at the node said a moment ago; undefined when nobody looked. */
  readonly hasAcl: boolean | undefined
}

const clusterNames = /^(user|trusted)\./
const flags = { create: 1, replace: 2 } as const

/**
 * getxattr(2) and its kin, in errno(3)'s terms. The cluster keeps the namespaces `user` and `trusted`; access control lists are
 * attributes for the kernel only; everything else of `security` and `system` is not there.
 */
export class NodeXattrs {
  readonly #identities: Identities

  constructor(identities: Identities) {
    this.#identities = identities
  }

  /** @throws MountError ENODATA, EOPNOTSUPP */
  async get({ client, path, hasAcl }: XattrSource, name: string): Promise<Buffer> {
    const kind = aclKindByName.get(name)
    if (kind !== undefined) {
      const bytes = hasAcl === false ? undefined : await this.#acl(client, path, kind)
      return bytes ?? missing(name)
    }
    // The kernel asks for security.capability before every write.
    if (name.startsWith('security.')) return missing(name)
    requireKept(name)
    const values = await client.attributes.getXattrs(path)
    return values.get(name) ?? missing(name)
  }

  async list({ client, path, hasAcl }: XattrSource): Promise<string[]> {
    const names = (await client.attributes.listXattrs(path)).filter((name) =>
      clusterNames.test(name),
    )
    if (hasAcl === false) return names
    const { entries } = await client.attributes.getAcl(path)
    const kept = [...aclKindByName].filter(
      ([, kind]) => encodeAcl(entries, kind, this.#identities) !== undefined,
    )
    return [...names, ...kept.map(([name]) => name)]
  }

  /**
   * @param how XATTR_CREATE 1, XATTR_REPLACE 2, or 0
   * @throws MountError EEXIST, ENODATA, E2BIG, ENOSPC, EOPNOTSUPP, EINVAL
   */
  async set(
    { client, path }: XattrSource,
    name: string,
    value: Buffer,
    how: number,
  ): Promise<void> {
    const kind = aclKindByName.get(name)
    if (kind !== undefined) {
      await client.attributes.setAcl(path, decodeAcl(value, kind, this.#identities))
      return
    }
    requireKept(name)
    const mode =
      (how & flags.create) !== 0 ? 'create' : (how & flags.replace) !== 0 ? 'replace' : undefined
    try {
      await client.attributes.setXattr(path, name, value, { mode })
    } catch (error) {
      throw await this.#whyNotSet(client, path, { name, mode, error })
    }
  }

  async remove({ client, path }: XattrSource, name: string): Promise<void> {
    const kind = aclKindByName.get(name)
    if (kind === 'default') return client.attributes.removeDefaultAcl(path)
    if (kind === 'access') return removeAccessAcl(client, path)
    if (name.startsWith('security.')) missing(name)
    requireKept(name)
    try {
      await client.attributes.removeXattr(path, name)
    } catch (error) {
      if (error instanceof DfsFsError && error.dfsCode === 'IO_ERROR') missing(name)
      throw error
    }
  }

  async #acl(client: DfsClient, path: string, kind: AclKind): Promise<Buffer | undefined> {
    const { entries } = await client.attributes.getAcl(path)
    return encodeAcl(entries, kind, this.#identities)
  }

  /** HDFS says it with one class for several reasons. */
  async #whyNotSet(
    client: DfsClient,
    path: string,
    { name, mode, error }: { name: string; mode: 'create' | 'replace' | undefined; error: unknown },
  ): Promise<unknown> {
    if (!(error instanceof DfsFsError)) return error
    if (error.dfsCode === 'INVALID_ARGUMENT') return new MountError('E2BIG', error.message)
    if (error.dfsCode !== 'IO_ERROR') return error
    const isThere = (await client.attributes.listXattrs(path)).includes(name)
    if (mode === 'create' && isThere) return new MountError('EEXIST', error.message)
    if (mode === 'replace' && !isThere) return new MountError('ENODATA', error.message)
    return new MountError('ENOSPC', error.message)
  }
}

/** The mode stays as it is: what the mask left the group is the group's own then. */
async function removeAccessAcl(client: DfsClient, path: string): Promise<void> {
  const { mode } = await client.attributes.getAcl(path)
  const rights = (bits: number): string =>
    `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${(bits & 1) === 0 ? '-' : 'x'}`
  const [owner, group, other] = [mode >> 6, mode >> 3, mode].map(rights)
  await client.attributes.setAcl(path, `user::${owner},group::${group},other::${other}`)
}

function requireKept(name: string): void {
  if (clusterNames.test(name)) return
  throw new MountError('EOPNOTSUPP', `The cluster keeps no attribute "${name}"`)
}

function missing(name: string): never {
  throw new MountError('ENODATA', `There is no attribute "${name}"`)
}
