/** One place of the product, changed so that it compiles and is wrong. */
export interface Change {
  /** Source file, from the root of the tree. */
  readonly file: string
  /** Found exactly once in the file. */
  readonly search: string
  readonly replace: string
}

/** A deliberate bug. */
export interface Mutant extends Change {
  readonly name: string
  /** A second line of defence that must be gone, too, for anybody to come to harm. */
  readonly also?: readonly Change[]
  /** Passes without the bug and fails with it. */
  readonly seed: number
  /** What makes the bug likely to show, as for `--set`. */
  readonly set?: readonly string[]
}

/** A deletion is not judged once more when its order is sent. */
const askNoMore: Change = {
  file: 'namenode/core/repair.ts',
  search: 'if (trustedCount >= neededCount) return true',
  replace: 'if (trustedCount >= 0) return true',
}

const takeFromTheEmptier: Change = {
  file: 'namenode/core/balance-plan.ts',
  search: 'else if (surplus < 0) targets.push(share)',
  replace: 'else if (surplus > 0) targets.push(share)',
}

/** The oldest load says how far the store is, also when there is none. */
const boundByLoadsOnly: Change = {
  file: 'namenode/shell/miss-loader.ts',
  search: 'let oldest = this.#options.store.position.appliedTxid',
  replace: 'let oldest = Number.MAX_SAFE_INTEGER as TxId',
}

/** Each breaks one promise; the simulator must notice. What it notices first is in docs/SIMULATION.md. */
export const mutants: readonly Mutant[] = [
  // The order of durability.
  {
    name: 'journal: acknowledge before the sync',
    file: 'namenode/shell/journal.ts',
    search: 'await open.file.sync()\n',
    replace: 'void open.file.sync()\n',
    seed: 48,
  },
  {
    name: 'namenode: reply before the transaction is durable',
    file: 'namenode/shell/namenode.ts',
    search: '.then(() => reply)',
    replace: ' && Promise.resolve(reply)',
    seed: 4,
  },
  {
    name: 'checkpointer: fold before the transactions are durable',
    file: 'namenode/shell/checkpointer.ts',
    search: '    await journal.durableThrough(batch.throughTxid)\n',
    replace: '',
    seed: 57,
  },
  {
    name: 'journal: drop a segment that is not folded',
    file: 'namenode/shell/journal.ts',
    search: ' || next.firstTxid > txid + 1) return',
    replace: ') return',
    seed: 51,
  },
  {
    name: 'recovery: leave the tail of a killed process unsynced',
    file: 'namenode/shell/journal-recovery.ts',
    search: '    else await storage.sync(segment.name)\n',
    replace: '',
    seed: 57,
  },
  {
    name: 'recovery: skip the first transaction behind the store',
    file: 'namenode/shell/journal-recovery.ts',
    search: 'if (txid <= this.#options.appliedTxid) return',
    replace: 'if (txid <= this.#options.appliedTxid + 1) return',
    seed: 1,
  },
  {
    name: 'recovery: skip the last transaction of a torn segment',
    file: 'namenode/shell/journal-recovery.ts',
    search: 'storage.truncate(segment.name, end.validBytes)',
    replace: 'storage.truncate(segment.name, Math.max(0, end.validBytes - 64))',
    seed: 7,
  },
  // One apply.
  {
    name: 'apply: drop a deleted entry',
    file: 'namenode/core/residency.ts',
    search: 'this.entries.set(change.parent, change.name, undefined, at)',
    replace: 'this.entries.provide(change.parent, change.name, undefined)',
    seed: 3,
  },
  {
    name: 'apply: forget the ids that were handed out',
    file: 'namenode/core/namesystem.ts',
    search: 'blockId: change.nextBlockId ?? this.#nextIds.blockId,',
    replace: 'blockId: this.#nextIds.blockId,',
    seed: 1,
  },
  {
    name: 'fold: lose renamed entries',
    file: 'namenode/shell/fold-batch.ts',
    search: "      case 'entry.delete':\n",
    replace: "      case 'entry.delete':\n        if (change.name.startsWith('f')) break\n",
    seed: 3,
  },
  {
    name: 'residency: evict what is not folded',
    file: 'namenode/core/residency.ts',
    search:
      '      oldestLoadStartedAt < this.#foldedThrough ? oldestLoadStartedAt : this.#foldedThrough',
    replace: '      oldestLoadStartedAt',
    also: [boundByLoadsOnly],
    seed: 9,
  },
  {
    name: 'residency: evict what a load under way brings back as it was',
    file: 'namenode/core/residency.ts',
    search:
      '      oldestLoadStartedAt < this.#foldedThrough ? oldestLoadStartedAt : this.#foldedThrough',
    replace: '      this.#foldedThrough',
    seed: 168,
    set: [
      'settings.dfs.namenode.resident-inodes=3',
      'storeDelayMsMax=1000',
      'faultEveryMs=0',
      'clients=3',
      'operationsPerClient=30',
      'thinkMsMax=20',
    ],
  },
  {
    name: 'retry cache: forget answers',
    file: 'namenode/core/retry-cache.ts',
    search: '    replies.set(callId, shared(reply))\n',
    replace: '',
    seed: 1097,
  },
  // Ids, stamps, leases.
  {
    name: 'draft: reuse a block id',
    file: 'namenode/core/draft.ts',
    search: 'this.#blockId = (id + 1) as BlockId',
    replace: 'this.#blockId = (id % 2 === 0 ? id + 1 : id) as BlockId',
    seed: 1,
  },
  {
    name: 'draft: hand a generation stamp out twice',
    file: 'namenode/core/draft.ts',
    search: 'this.#generationStamp = (stamp + 1) as GenerationStamp',
    replace: 'this.#generationStamp = (stamp % 2 === 0 ? stamp + 1 : stamp) as GenerationStamp',
    seed: 1,
  },
  {
    name: 'update-pipeline: forget to bump the stamp',
    file: 'namenode/core/operations/update-pipeline.ts',
    search: 'draft.putBlock(file, { ...block, generationStamp, length })',
    replace: 'draft.putBlock(file, { ...block, length })',
    seed: 3,
  },
  {
    name: 'leases: never expire',
    file: 'namenode/core/lease-expiry.ts',
    search: '    step(id, true)\n',
    replace: '    void id\n',
    seed: 7,
  },
  {
    name: 'block synchronization: believe any recovery',
    file: 'namenode/core/operations/commit-block-synchronization.ts',
    search: 'if (stamp !== request.newGenerationStamp) {',
    replace: 'if (request.newGenerationStamp < 0) {',
    seed: 59,
    set: [
      'faults.crash-client=100',
      'faults.partition-namenode=100',
      'faults.freeze-datanode=60',
      'operations.fight=60',
      'operations.write=100',
      'settings.dfs.namenode.lease.hard-limit=16000',
      'settings.dfs.namenode.lease.soft-limit=5000',
      'network.lossOneIn=40',
      'network.lateOneIn=50',
      'network.lateMsMax=3000',
    ],
  },
  {
    name: 'splice: exchange without comparing',
    file: 'namenode/core/operations/splice.ts',
    search: '  return removed.every((block, at) => isSameBlock(before[index + at], block))',
    replace: '  return index + removed.length <= before.length',
    seed: 152,
  },
  {
    name: 'splice: let the places of blocks that are gone stay taken',
    file: 'namenode/core/operations/splice.ts',
    search: 'index: isFreeing ? end : noPlace',
    replace: 'index: isFreeing ? noPlace : noPlace',
    seed: 38,
  },
  {
    name: 'rename: overwrite though it may not',
    file: 'namenode/core/operations/rename.ts',
    search: '  if (!overwrite) {',
    replace: '  if (!overwrite && last.childCount > 0) {',
    seed: 25,
  },
  // What the namenode believes of replicas.
  {
    name: 'ledger: count a stale replica as good',
    file: 'namenode/core/replica-ledger.ts',
    search: "  if (replica.generationStamp < stamp) return 'stale-stamp'\n",
    replace: '',
    seed: 20,
  },
  {
    name: 'ledger: count a corrupt replica as good',
    file: 'namenode/core/replica-ledger.ts',
    search:
      '    if (this.map.replicaOn(at, storage.index) === undefined) return false\n    const [',
    replace: "    if (kind === 'complete') return false\n    const [",
    seed: 1,
    set: ['faults.rot=300', 'operations.append=0', 'operations.truncate=0', 'operations.write=100'],
  },
  {
    name: 'repair: trim below what is wanted',
    file: 'namenode/core/repair.ts',
    search: 'chooseExcess(health.trusted, health.wanted, moved)',
    replace: 'chooseExcess(health.trusted, Math.max(1, health.wanted - 1), moved)',
    also: [askNoMore],
    seed: 53,
  },
  {
    name: 'repair: forget a copy that never arrived',
    file: 'namenode/core/repair.ts',
    search: 'this.pending.expire(now)',
    replace: 'this.pending.expire(millis(0))',
    seed: 33,
  },
  {
    name: 'start: delete as garbage before all rows are loaded',
    file: 'namenode/core/replica-ledger.ts',
    search: 'this.map.find(id) ?? (mayBeEarly(id) ? this.#add(id) : undefined)',
    replace: 'this.map.find(id)',
    seed: 9,
    set: [
      'storeDelayMsMax=4000',
      'settings.dfs.namenode.reports.wait=0',
      'faults.kill-namenode=300',
      'operations.write=100',
    ],
  },
  // Balancing.
  {
    name: 'balancing: trim a moved block below what is wanted',
    file: 'namenode/core/repair.ts',
    search: 'chooseExcess(health.trusted, health.wanted, moved)',
    replace: 'chooseExcess(health.trusted, health.wanted - (moved === undefined ? 0 : 1), moved)',
    also: [askNoMore],
    seed: 26,
  },
  {
    name: 'balancing: wait for ever for a copy that failed',
    file: 'namenode/core/balancer.ts',
    search: 'if (hasLeft || isNeeded || (!hasArrived && !isComing)) this.#moves.delete(id)',
    replace: 'if (hasLeft || isNeeded) this.#moves.delete(id)',
    seed: 92,
  },
  {
    name: 'balancing: give to the fuller',
    file: 'namenode/core/balance-plan.ts',
    search: 'if (surplus > 0) sources.push(share)',
    replace: 'if (surplus < 0) sources.push(share)',
    also: [takeFromTheEmptier],
    seed: 4,
  },
  // Datanodes.
  {
    name: 'receiver: acknowledge before the replica is finalized',
    file: 'datanode/core/block-receiver.ts',
    search: 'isSafe: how === undefined && !isLast })',
    replace: 'isSafe: true })',
    seed: 1,
  },
  {
    name: 'receiver: treat an hsync as an hflush',
    file: 'datanode/core/block-receiver.ts',
    search: "if (packet.isSync) return 'sync'",
    replace: "if (packet.isSync) return 'flush'",
    seed: 3,
    set: ['safetyPercent=40', 'faults.power-all=200', 'operations.write=300'],
  },
  {
    name: 'receiver: acknowledge without the downstream',
    file: 'datanode/core/block-receiver.ts',
    search: 'const downstream = isAwaited ? this.#lostStatuses : nobody',
    replace: 'const downstream = nobody',
    seed: 38,
  },
  {
    name: 'session: no full report after a registration',
    file: 'datanode/core/namenode-session.ts',
    search: '    this.#needsFullReport = true\n',
    replace: '',
    seed: 208,
  },
  {
    name: 'session: forget what could not be reported',
    file: 'datanode/core/report-queue.ts',
    search: "    if (event.kind === 'received') this.#isDue = true\n",
    replace: "    if (event.kind === 'received') events.delete(event.blockId)\n",
    seed: 1,
    set: ['faultEveryMs=0', 'network.lossOneIn=0', 'network.lateOneIn=0', 'operations.fight=0'],
  },
  {
    name: 'replicas: give a new stamp to what nobody has read',
    file: 'datanode/core/replica-rules.ts',
    search: "if (state !== 'finalized') return false",
    replace: "if (state !== 'rur') return false",
    seed: 7,
    set: ['faults.rot=300', 'operations.append=100'],
  },
  {
    name: 'scrubber: leave out what was there at the start',
    file: 'datanode/core/scrubber.ts',
    search: '    this.#times = sorted.map(({ verifiedAt }) => verifiedAt)\n    this.#head = 0\n',
    replace:
      '    this.#times = sorted.map(({ verifiedAt }) => verifiedAt)\n    this.#head = sorted.length\n',
    seed: 76,
  },
  {
    name: 'scrubber: believe a time in the future',
    file: 'datanode/core/scrubber.ts',
    search: 'if (ageMs >= 0 && ageMs < periodMs * dueShare) return undefined',
    replace: 'if (ageMs < periodMs * dueShare) return undefined',
    seed: 40,
    set: ['scrubPeriodMs=20000', 'faults.rot=100', 'faults.jump-clock=100'],
  },
  // What readers see of a file that is being written.
  {
    name: 'locations: take a block that is being written for complete',
    file: 'namenode/core/located-blocks.ts',
    search: "const isLastBlockComplete = last?.state === 'complete'",
    replace: "const isLastBlockComplete = last?.state !== 'committed'",
    seed: 4,
    set: ['followEveryMs=50', 'safetyPercent=40'],
  },
  // The client.
  {
    name: 'writer: do not send unacknowledged packets again',
    file: 'client/core/write-pipeline.ts',
    search: 'this.#dataQueue = [...unacked, ...this.#dataQueue]',
    replace: 'this.#dataQueue = [...unacked.slice(1), ...this.#dataQueue]',
    seed: 7,
  },
  {
    name: 'writer: count what was sent as acknowledged',
    file: 'client/core/write-pipeline.ts',
    search:
      'this.#bytesAcked = Math.max(this.#bytesAcked, packet.offsetInBlock + packet.dataBytes)',
    replace: 'this.#bytesAcked = this.#bytesSent',
    seed: 40,
  },
]
