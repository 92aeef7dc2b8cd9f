import { MountError } from './errno.ts'

/** The kernel's number of the root. */
export const rootNode = 1

/** An inode that the kernel knows, by its number in the cluster. */
export interface Node {
  readonly id: number
  /** Where it was last seen; the root is its own parent. */
  parent: number
  name: string
  /** Times the kernel was told of it and has not forgotten. */
  lookups: number
  /** Permission bits when it was last seen. */
  mode?: number
  /** The version of the content that the kernel may have pages of, all of them; see `OpenInode.keepsPages`. */
  cachedVersion?: string | undefined
  /** Whether the inode had entries in an ACL, and when that was seen, in the milliseconds of `performance.now()`. */
  acl?: { readonly isThere: boolean; readonly seenAtMs: number }
}

/**
 * The inodes that the kernel knows, by number and by name. Memory follows the kernel's own cache: what it forgets goes.
 * The cluster finds inodes by id (`/.reserved/.inodes/ID`), so renames by others do not lead astray.
 */
export class NodeTable {
  readonly #byId = new Map<number, Node>()
  readonly #byName = new Map<string, Node>()

  constructor() {
    this.#byId.set(rootNode, {
      id: rootNode,
      parent: rootNode,
      name: '',
      lookups: 1,
    })
  }

  get size(): number {
    return this.#byId.size
  }

  /** @throws MountError ESTALE for a number that the kernel was never told or has forgotten */
  get(id: number): Node {
    const node = this.#byId.get(id)
    if (node === undefined) throw new MountError('ESTALE', `No inode has the number ${id}`)
    return node
  }

  find(id: number): Node | undefined {
    return this.#byId.get(id)
  }

  /** Notes where an inode was seen, and that the kernel is told of it. */
  remember(id: number, parent: number, name: string): Node {
    let node = this.#byId.get(id)
    if (node === undefined) {
      node = { id, parent, name, lookups: 0 }
      this.#byId.set(id, node)
    }
    node.lookups += 1
    this.place(node, parent, name)
    return node
  }

  /** Counts one more who was told of an inode. */
  hold(id: number): void {
    this.get(id).lookups += 1
  }

  /** Notes that `node` has this name now. */
  place(node: Node, parent: number, name: string): void {
    this.#unname(node)
    node.parent = parent
    node.name = name
    this.#byName.set(keyOf(parent, name), node)
  }

  named(parent: number, name: string): Node | undefined {
    return this.#byName.get(keyOf(parent, name))
  }

  forget(id: number, count: number): void {
    const node = this.#byId.get(id)
    if (node === undefined || id === rootNode) return
    node.lookups -= count
    if (node.lookups > 0) return
    this.#byId.delete(id)
    this.#unname(node)
  }

  /** Path of an inode in the cluster. */
  pathOf(id: number): string {
    return id === rootNode ? '/' : `/.reserved/.inodes/${this.get(id).id}`
  }

  /** Path of an entry of a directory. */
  childPath(parent: number, name: string): string {
    return parent === rootNode ? `/${name}` : `${this.pathOf(parent)}/${name}`
  }

  #unname(node: Node): void {
    const key = keyOf(node.parent, node.name)
    if (this.#byName.get(key) === node) this.#byName.delete(key)
  }
}

function keyOf(parent: number, name: string): string {
  return `${parent}/${name}`
}
