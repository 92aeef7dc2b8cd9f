/**
 * What operators asked of datanodes: to be drained for good (decommission), or for a while
 * (maintenance). The rows are journaled by the namesystem and arrive here through its `apply`, so that a
 * restart, a standby and the simulator know them before any datanode registers.
 *
 *     normal ──drain──▶ decommission-in-progress ──every block elsewhere──▶ decommissioned
 *        │    maintain                                                            │
 *        ├────────────▶ entering-maintenance ──enough elsewhere──▶ in-maintenance │
 *        └◀── resume, or the maintenance's end, from every state ─────────────────┘
 *
 * A goal that was reached stays reached: what is lost elsewhere later is repair's business, not the operator's.
 * Only when a newer version of a block comes to be on nothing but datanodes that may leave is it taken back.
 */
import { DfsError } from '../../protocol/errors.ts'
import type { DatanodeUuid } from '../../protocol/ids.ts'
import type { AdminState } from '../../protocol/states.ts'
import type { DatanodeRow } from './changes.ts'
import type { DatanodeRecord, DatanodeRegistry } from './datanode-registry.ts'

/** A datanode as an operator names it. */
export interface NamedDatanode {
  readonly uuid: DatanodeUuid
  /** `host:port`. */
  readonly name: string
}

/** Admin state that a row, or the absence of one, means. */
export function adminStateOf(row: DatanodeRow | undefined): AdminState {
  if (row === undefined) return 'normal'
  if (row.goal === 'decommissioned') {
    return row.isReached ? 'decommissioned' : 'decommission-in-progress'
  }
  return row.isReached ? 'in-maintenance' : 'entering-maintenance'
}

/** True when the operator was told that the datanode may be switched off. */
export function mayLeave(state: AdminState): boolean {
  return state === 'decommissioned' || state === 'in-maintenance'
}

/** The rows by datanode, in the order in which they were asked. */
export class DatanodeGoals {
  readonly #registry: DatanodeRegistry
  readonly #rows = new Map<DatanodeUuid, DatanodeRow>()

  constructor(registry: DatanodeRegistry) {
    this.#registry = registry
  }

  rows(): IterableIterator<DatanodeRow> {
    return this.#rows.values()
  }

  row(uuid: DatanodeUuid): DatanodeRow | undefined {
    return this.#rows.get(uuid)
  }

  put(row: DatanodeRow): void {
    this.#rows.set(row.uuid, row)
    this.settle(row.uuid)
  }

  delete(uuid: DatanodeUuid): void {
    this.#rows.delete(uuid)
    this.settle(uuid)
  }

  /** Gives a registered datanode the state that its row means. */
  settle(uuid: DatanodeUuid): void {
    const node = this.#registry.find(uuid)
    if (node !== undefined) node.adminState = adminStateOf(this.#rows.get(uuid))
  }

  /**
   * Finds the datanode that `text` names: a uuid, `host:port`, or a host with one datanode on it. Of
   * several identities at one address only the one that is not dead is meant.
   * @throws {@link DfsError} INVALID_ARGUMENT when it names none, or several.
   */
  named(text: string): NamedDatanode {
    const uuid = text as DatanodeUuid
    const row = this.#rows.get(uuid)
    const exact = this.#registry.find(uuid) ?? row
    if (exact !== undefined) return { uuid, name: exact.name }
    const nodes = [...this.#registry.nodes()].filter((node) => isCalled(node, text))
    const alive = nodes.filter(({ liveness }) => liveness !== 'dead')
    const found: readonly NamedDatanode[] = alive.length > 0 ? alive : nodes
    const away =
      found.length > 0 ? [] : [...this.#rows.values()].filter(({ name }) => name === text)
    const [first, ...others] = [...found, ...away]
    if (first === undefined) {
      const known = [...this.#registry.nodes()].map(({ name }) => name).join(', ')
      throw new DfsError(
        'INVALID_ARGUMENT',
        `No datanode is called "${text}"; known are ${known === '' ? 'none' : known}`,
      )
    }
    if (others.length > 0) {
      const meant = [first, ...others].map(({ name, uuid: id }) => `${name} (${id})`).join(', ')
      throw new DfsError(
        'INVALID_ARGUMENT',
        `"${text}" names ${others.length + 1} datanodes: ${meant}; name one by host:port or by uuid`,
      )
    }
    return { uuid: first.uuid, name: first.name }
  }
}

function isCalled(node: DatanodeRecord, text: string): boolean {
  const { transferPort } = node.descriptor
  return node.hosts.some((host) => host === text || `${host}:${transferPort}` === text)
}
