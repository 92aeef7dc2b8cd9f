/**
 * How much to move between datanodes so that each is about as full as the whole cluster, as HDFS's Balancer
 * pairs them: what is too full gives to what is too empty, then to what is below average, and what is still
 * too empty takes from what is above average.
 *
 *     0 %        average - threshold      average      average + threshold        100 %
 *     |  too empty  |   below average       |    above average   |    too full    |
 */

/** A datanode as the plan sees it; bytes. */
export interface NodeFill<Node> {
  readonly node: Node
  readonly capacity: number
  readonly used: number
}

/** Bytes that should go from one datanode to another. */
export interface Flow<Node> {
  readonly source: Node
  readonly target: Node
  readonly bytes: number
}

export interface BalancePlan<Node> {
  /** Used share of the whole cluster, 0 to 1. */
  readonly average: number
  readonly flows: readonly Flow<Node>[]
}

/** What a datanode must give or take to be within the threshold, and what it may to reach the average. */
interface Share<Node> {
  readonly node: Node
  must: number
  may: number
}

/** Plans for datanodes that are in service. @param threshold distance from the average that is fine, 0 to 1 */
export function planBalance<Node>(
  fills: readonly NodeFill<Node>[],
  threshold: number,
): BalancePlan<Node> {
  const capacity = fills.reduce((sum, fill) => sum + fill.capacity, 0)
  const average = capacity === 0 ? 0 : fills.reduce((sum, { used }) => sum + used, 0) / capacity
  const sources: Share<Node>[] = []
  const targets: Share<Node>[] = []
  for (const { node, capacity: size, used } of fills) {
    const surplus = used - average * size
    const margin = threshold * size
    const share = {
      node,
      must: Math.max(0, Math.abs(surplus) - margin),
      may: Math.abs(surplus),
    }
    if (surplus > 0) sources.push(share)
    else if (surplus < 0) targets.push(share)
  }
  const flows = new Flows<Node>()
  flows.pair(sources, targets, 'must', 'must')
  flows.pair(sources, targets, 'must', 'may')
  flows.pair(sources, targets, 'may', 'must')
  return { average, flows: flows.list() }
}

class Flows<Node> {
  readonly #bytes = new Map<Node, Map<Node, number>>()

  /** Pairs what is left, the neediest first. */
  pair(
    sources: readonly Share<Node>[],
    targets: readonly Share<Node>[],
    give: 'must' | 'may',
    take: 'must' | 'may',
  ): void {
    const byNeed = (key: 'must' | 'may') => (left: Share<Node>, right: Share<Node>) =>
      right[key] - left[key]
    for (const source of [...sources].sort(byNeed(give))) {
      for (const target of [...targets].sort(byNeed(take))) {
        const bytes = Math.floor(Math.min(source[give], target[take]))
        if (bytes <= 0) continue
        this.#add(source.node, target.node, bytes)
        for (const share of [source, target]) {
          share.must = Math.max(0, share.must - bytes)
          share.may = Math.max(0, share.may - bytes)
        }
      }
    }
  }

  list(): readonly Flow<Node>[] {
    return [...this.#bytes].flatMap(([source, byTarget]) =>
      [...byTarget].map(([target, bytes]) => ({ source, target, bytes })),
    )
  }

  #add(source: Node, target: Node, bytes: number): void {
    const byTarget = this.#bytes.get(source) ?? new Map<Node, number>()
    byTarget.set(target, (byTarget.get(target) ?? 0) + bytes)
    this.#bytes.set(source, byTarget)
  }
}
