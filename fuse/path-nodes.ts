import type { NodeAttributes } from './attributes.ts'
import type { MountedTree } from './mounted-tree.ts'
import { rootNode } from './node-table.ts'

const directoriesMax = 1024
/** As long as the kernel may answer for a name itself. */
const validityMs = 1000

interface KnownDirectory {
  readonly node: number
  readonly until: number
}

/** A directory and a name in it. */
export interface Entry {
  readonly parent: number
  readonly name: string
}

/**
 * Inodes of a tree by path, for a driver that knows nothing but paths. Who uses an inode holds it meanwhile, as a kernel
 * does; directories on the way are held for a second longer.
 */
export class PathNodes {
  readonly #tree: MountedTree
  readonly #uid: number
  /** The one used last is last. */
  readonly #directories = new Map<string, KnownDirectory>()

  constructor(tree: MountedTree, uid: number) {
    this.#tree = tree
    this.#uid = uid
  }

  /** Looks an inode up and holds it; who asked gives it back with `forget(node, 1)` of the tree. */
  async hold(path: string): Promise<NodeAttributes> {
    if (path === '/') {
      const attributes = await this.#tree.names.getattr({ uid: this.#uid }, rootNode)
      this.#tree.hold(rootNode)
      return attributes
    }
    return this.within(path, (entry) => this.#tree.names.lookup({ uid: this.#uid }, entry))
  }

  /** Runs `action` on the inode at `path`. */
  async use<T>(path: string, action: (found: NodeAttributes) => Promise<T>): Promise<T> {
    const found = await this.hold(path)
    try {
      return await action(found)
    } finally {
      this.#tree.forget(found.node, 1)
    }
  }

  /** Runs `action` on the directory that `path` is in and the last name of it. */
  async within<T>(path: string, action: (entry: Entry) => Promise<T>): Promise<T> {
    const slash = path.lastIndexOf('/')
    const parent = await this.#holdDirectory(path.slice(0, slash))
    try {
      return await action({ parent, name: path.slice(slash + 1) })
    } finally {
      this.#tree.forget(parent, 1)
    }
  }

  /** Directories have other names now, or are gone. */
  forgetDirectories(): void {
    for (const { node } of this.#directories.values()) this.#tree.forget(node, 1)
    this.#directories.clear()
  }

  async #holdDirectory(path: string): Promise<number> {
    if (path === '') {
      this.#tree.hold(rootNode)
      return rootNode
    }
    const known = this.#directories.get(path)
    if (known !== undefined && known.until > Date.now()) {
      this.#tree.hold(known.node)
      return known.node
    }
    const { node } = await this.hold(path)
    this.#know(path, node)
    return node
  }

  #know(path: string, node: number): void {
    this.#tree.hold(node)
    const before = this.#directories.get(path)
    if (before !== undefined) this.#tree.forget(before.node, 1)
    this.#directories.delete(path)
    this.#directories.set(path, { node, until: Date.now() + validityMs })
    const [oldest] = this.#directories
    if (this.#directories.size <= directoriesMax || oldest === undefined) return
    this.#directories.delete(oldest[0])
    this.#tree.forget(oldest[1].node, 1)
  }
}
