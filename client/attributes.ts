import type { AclEntry } from '../protocol/messages/hdfs.ts'
import { xAttrSetFlags } from '../protocol/messages/hdfs.ts'
import type { ClientContext } from './context.ts'
import { aclEntryText, effectiveLines, parseAclSpec, wholeAcl } from './core/acl-spec.ts'
import { parseXattrName, xattrName } from './core/xattr-text.ts'
import type { VerbOptions } from './namespace.ts'

/** The access control list of a path; entries are written `default:user:bob:rwx`. */
export interface AclStatus {
  readonly owner: string
  readonly group: string
  /** Permission bits; with an extended access ACL those of the group are its mask. */
  readonly mode: number
  /** All entries, those that the mode holds, too. */
  readonly entries: readonly string[]
}

/** Options of `setXattr`. */
export interface SetXattrOptions extends VerbOptions {
  /** `create`: it must be new; `replace`: it must be there. By default it may be either. */
  readonly mode?: 'create' | 'replace' | undefined
}

/** Runs an action on an absolute path, and gives its failures their names. */
export type OnPath = <T>(path: string, action: (at: string) => Promise<T>) => Promise<T>

/**
 * Access control lists and extended attributes of paths. Lists are written as for `setfacl`,
 * `[default:]user|group|mask|other:[NAME]:rwx,…`; attributes are named `user.NAME`, `trusted.NAME` and so on.
 */
export class FileAttributes {
  readonly #context: ClientContext
  readonly #on: OnPath

  constructor(context: ClientContext, on: OnPath) {
    this.#context = context
    this.#on = on
  }

  getAcl(path: string, { signal }: VerbOptions = {}): Promise<AclStatus> {
    return this.#on(path, async (src) => {
      const { result } = await this.#context.namenode.call('getAclStatus', { src }, { signal })
      const { owner, group, permission, entries } = result
      const mode = permission?.perm ?? 0
      return { owner, group, mode, entries: wholeAcl(mode, entries).map(aclEntryText) }
    })
  }

  /** Replaces the access list, the default list or both, as far as `spec` has entries of them. */
  setAcl(path: string, spec: string | readonly AclEntry[], options?: VerbOptions): Promise<void> {
    return this.#change('setAcl', path, () => entriesOf(spec, true), options)
  }

  /** Adds entries, or changes those that are there. */
  modifyAcl(
    path: string,
    spec: string | readonly AclEntry[],
    options?: VerbOptions,
  ): Promise<void> {
    return this.#change('modifyAclEntries', path, () => entriesOf(spec, true), options)
  }

  /** Takes entries away; `spec` names them without rights. */
  removeAclEntries(
    path: string,
    spec: string | readonly AclEntry[],
    options?: VerbOptions,
  ): Promise<void> {
    return this.#change('removeAclEntries', path, () => entriesOf(spec, false), options)
  }

  /** Takes everything away but what the mode holds. */
  removeAcl(path: string, { signal }: VerbOptions = {}): Promise<void> {
    return this.#on(path, async (src) => {
      await this.#context.namenode.call('removeAcl', { src }, { signal })
    })
  }

  removeDefaultAcl(path: string, { signal }: VerbOptions = {}): Promise<void> {
    return this.#on(path, async (src) => {
      await this.#context.namenode.call('removeDefaultAcl', { src }, { signal })
    })
  }

  /** Value of one attribute; ENODATA when it is not there. */
  async getXattr(path: string, name: string, options?: VerbOptions): Promise<Buffer> {
    const values = await this.getXattrs(path, [name], options)
    return values.get(name) ?? Buffer.alloc(0)
  }

  /** Values by name: of `names`, all of which must be there, or of every attribute. */
  getXattrs(
    path: string,
    names: readonly string[] = [],
    { signal }: VerbOptions = {},
  ): Promise<Map<string, Buffer>> {
    return this.#on(path, async (src) => {
      const request = { src, xAttrs: names.map(parseXattrName) }
      const { xAttrs } = await this.#context.namenode.call('getXAttrs', request, { signal })
      return new Map(xAttrs.map((xattr) => [xattrName(xattr), Buffer.from(xattr.value ?? [])]))
    })
  }

  /** Names of the attributes that the user may see. */
  listXattrs(path: string, { signal }: VerbOptions = {}): Promise<string[]> {
    return this.#on(path, async (src) => {
      const { xAttrs } = await this.#context.namenode.call('listXAttrs', { src }, { signal })
      return xAttrs.map(xattrName)
    })
  }

  setXattr(
    path: string,
    name: string,
    value: Uint8Array | string,
    { mode, signal }: SetXattrOptions = {},
  ): Promise<void> {
    return this.#on(path, async (src) => {
      const bytes = typeof value === 'string' ? Buffer.from(value) : value
      const { XATTR_CREATE, XATTR_REPLACE } = xAttrSetFlags
      const create = mode === 'replace' ? 0 : XATTR_CREATE
      const replace = mode === 'create' ? 0 : XATTR_REPLACE
      const xAttr = { ...parseXattrName(name), value: Uint8Array.from(bytes) }
      const request = { src, xAttr, flag: create | replace }
      await this.#context.namenode.call('setXAttr', request, { signal })
    })
  }

  removeXattr(path: string, name: string, { signal }: VerbOptions = {}): Promise<void> {
    return this.#on(path, async (src) => {
      const request = { src, xAttr: parseXattrName(name) }
      await this.#context.namenode.call('removeXAttr', request, { signal })
    })
  }

  #change(
    method: 'setAcl' | 'modifyAclEntries' | 'removeAclEntries',
    path: string,
    spec: () => readonly AclEntry[],
    { signal }: VerbOptions = {},
  ): Promise<void> {
    return this.#on(path, async (src) => {
      await this.#context.namenode.call(method, { src, aclSpec: spec() }, { signal })
    })
  }
}

/** Lines of a list as `getfacl` shows them, with what the mask leaves of an entry behind it. */
export function effectiveAclText({ entries }: AclStatus): string[] {
  return effectiveLines(parseAclSpec(entries.join(','), true))
}

function entriesOf(
  spec: string | readonly AclEntry[],
  hasPermissions: boolean,
): readonly AclEntry[] {
  return typeof spec === 'string' ? parseAclSpec(spec, hasPermissions) : spec
}
