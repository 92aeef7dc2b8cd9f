/** A deliberate bug: one place of the product, changed so that it compiles and is wrong. */
export interface Mutant {
  readonly name: string
  /** Source file, from the root of the tree. */
  readonly file: string
  /** Found exactly once in the file. */
  readonly search: string
  readonly replace: string
}

/** Each breaks one promise; the simulator must notice. What it notices first is in docs/SIMULATION.md. */
export const mutants: readonly Mutant[] = [
  // The order of durability.
  {
    name: 'journal: acknowledge before the sync',
    file: 'namenode/shell/journal.ts',
    search: 'await open.file.sync()\n',
    replace: 'void open.file.sync()\n',
  },
  {
    name: 'namenode: reply before the transaction is durable',
    file: 'namenode/shell/namenode.ts',
    search: '.then(() => reply)',
    replace: ' && Promise.resolve(reply)',
  },
  {
    name: 'checkpointer: fold before the transactions are durable',
    file: 'namenode/shell/checkpointer.ts',
    search: '    await journal.durableThrough(batch.throughTxid)\n',
    replace: '',
  },
  {
    name: 'journal: drop a segment that is not folded',
    file: 'namenode/shell/journal.ts',
    search: ' || next.firstTxid > txid + 1) return',
    replace: ') return',
  },
  {
    name: 'recovery: leave the tail of a killed process unsynced',
    file: 'namenode/shell/journal-recovery.ts',
    search: '    else await storage.sync(segment.name)\n',
    replace: '',
  },
  {
    name: 'recovery: skip the first transaction behind the store',
    file: 'namenode/shell/journal-recovery.ts',
    search: 'if (txid <= this.#options.appliedTxid) return',
    replace: 'if (txid <= this.#options.appliedTxid + 1) return',
  },
  {
    name: 'recovery: skip the last transaction of a torn segment',
    file: 'namenode/shell/journal-recovery.ts',
    search: 'storage.truncate(segment.name, end.validBytes)',
    replace: 'storage.truncate(segment.name, Math.max(0, end.validBytes - 64))',
  },
  // One apply.
  {
    name: 'apply: drop a deleted entry',
    file: 'namenode/core/residency.ts',
    search: 'this.entries.set(change.parent, change.name, undefined, at)',
    replace: 'this.entries.provide(change.parent, change.name, undefined)',
  },
  {
    name: 'apply: forget the ids that were handed out',
    file: 'namenode/core/namesystem.ts',
    search: 'blockId: change.nextBlockId ?? this.#nextIds.blockId,',
    replace: 'blockId: this.#nextIds.blockId,',
  },
  {
    name: 'fold: lose renamed entries',
    file: 'namenode/shell/fold-batch.ts',
    search: "      case 'entry.delete':\n",
    replace: "      case 'entry.delete':\n        if (change.name.startsWith('f')) break\n",
  },
  {
    name: 'residency: evict what is not folded',
    file: 'namenode/core/residency.ts',
    search:
      '      oldestLoadStartedAt < this.#foldedThrough ? oldestLoadStartedAt : this.#foldedThrough',
    replace: '      oldestLoadStartedAt',
  },
  {
    name: 'retry cache: forget answers',
    file: 'namenode/core/retry-cache.ts',
    search: '    replies.set(callId, shared(reply))\n',
    replace: '',
  },
  // Ids, stamps, leases.
  {
    name: 'draft: reuse a block id',
    file: 'namenode/core/draft.ts',
    search: 'this.#blockId = (id + 1) as BlockId',
    replace: 'this.#blockId = (id % 2 === 0 ? id + 1 : id) as BlockId',
  },
  {
    name: 'draft: hand a generation stamp out twice',
    file: 'namenode/core/draft.ts',
    search: 'this.#generationStamp = (stamp + 1) as GenerationStamp',
    replace: 'this.#generationStamp = (stamp % 2 === 0 ? stamp + 1 : stamp) as GenerationStamp',
  },
  {
    name: 'update-pipeline: forget to bump the stamp',
    file: 'namenode/core/operations/update-pipeline.ts',
    search: 'draft.putBlock(file, { ...block, generationStamp, length })',
    replace: 'draft.putBlock(file, { ...block, length })',
  },
  {
    name: 'leases: never expire',
    file: 'namenode/core/lease-expiry.ts',
    search: '    step(id, true)\n',
    replace: '    void id\n',
  },
  {
    name: 'block synchronization: believe any recovery',
    file: 'namenode/core/operations/commit-block-synchronization.ts',
    search: 'if (stamp !== request.newGenerationStamp) {',
    replace: 'if (request.newGenerationStamp < 0) {',
  },
  {
    name: 'rename: overwrite though it may not',
    file: 'namenode/core/operations/rename.ts',
    search: '  if (!overwrite) {',
    replace: '  if (!overwrite && last.childCount > 0) {',
  },
  // What the namenode believes of replicas.
  {
    name: 'ledger: count a stale replica as good',
    file: 'namenode/core/replica-ledger.ts',
    search: "  if (replica.generationStamp < stamp) return 'stale-stamp'\n",
    replace: '',
  },
  {
    name: 'ledger: count a corrupt replica as good',
    file: 'namenode/core/replica-ledger.ts',
    search:
      '    if (this.map.replicaOn(at, storage.index) === undefined) return false\n    const [',
    replace:
      '    if (this.map.replicaOn(at, storage.index) !== undefined) return false\n    const [',
  },
  {
    name: 'repair: delete what is corrupt before it is copied',
    file: 'namenode/core/repair.ts',
    search: 'const trustedCount = health.trusted.filter((other) => other.node !== node).length',
    replace: 'const trustedCount = health.wanted',
  },
  {
    name: 'repair: trim below what is wanted',
    file: 'namenode/core/repair.ts',
    search: 'chooseExcess(health.trusted, health.wanted)',
    replace: 'chooseExcess(health.trusted, Math.max(1, health.wanted - 1))',
  },
  {
    name: 'repair: forget a copy that never arrived',
    file: 'namenode/core/repair.ts',
    search: 'this.pending.expire(now)',
    replace: 'this.pending.expire(millis(0))',
  },
  {
    name: 'start: delete as garbage before all rows are loaded',
    file: 'namenode/core/replica-ledger.ts',
    search: 'this.map.find(id) ?? (mayBeEarly(id) ? this.#add(id) : undefined)',
    replace: 'this.map.find(id)',
  },
  {
    name: 'reports: let a full report undo what was said after it was taken',
    file: 'namenode/core/recent-reports.ts',
    search: '    return last > 0 || (last < 0 && -last >= stamp)',
    replace: '    return last > 0 && -last >= stamp',
  },
  // Datanodes.
  {
    name: 'receiver: acknowledge before the replica is finalized',
    file: 'datanode/core/block-receiver.ts',
    search: 'isSafe: how === undefined && !isLast })',
    replace: 'isSafe: true })',
  },
  {
    name: 'receiver: treat an hsync as an hflush',
    file: 'datanode/core/block-receiver.ts',
    search: "if (packet.isSync) return 'sync'",
    replace: "if (packet.isSync) return 'flush'",
  },
  {
    name: 'receiver: acknowledge without the downstream',
    file: 'datanode/core/block-receiver.ts',
    search: 'const downstream = isAwaited ? this.#lostStatuses : nobody',
    replace: 'const downstream = nobody',
  },
  {
    name: 'block recovery: let a stale replica take part',
    file: 'datanode/core/block-recovery.ts',
    search: 'if (answer.generationStamp < generationStamp || answer.length === 0) continue',
    replace: 'if (answer.length === 0) continue',
  },
  {
    name: 'block recovery: give a block up when some do not answer',
    file: 'datanode/core/block-recovery.ts',
    search: "if (failures.length === 0 || provesEmpty) return { kind: 'delete' }",
    replace: "if (failures.length >= 0 || provesEmpty) return { kind: 'delete' }",
  },
  {
    name: 'block recovery: cut to the shortest replica, restarted ones too',
    file: 'datanode/core/block-recovery.ts',
    search: 'const chosen = open.length > 0 ? open : candidates',
    replace: 'const chosen = candidates',
  },
  {
    name: 'session: no full report after a registration',
    file: 'datanode/core/namenode-session.ts',
    search: '    this.#needsFullReport = true\n',
    replace: '',
  },
  {
    name: 'session: forget what could not be reported',
    file: 'datanode/core/report-queue.ts',
    search: "    if (event.kind === 'received') this.#isDue = true\n",
    replace: "    if (event.kind === 'received') events.delete(event.blockId)\n",
  },
  // The client.
  {
    name: 'writer: do not send unacknowledged packets again',
    file: 'client/core/write-pipeline.ts',
    search: 'this.#dataQueue = [...unacked, ...this.#dataQueue]',
    replace: 'this.#dataQueue = [...unacked.slice(1), ...this.#dataQueue]',
  },
  {
    name: 'writer: count what was sent as acknowledged',
    file: 'client/core/write-pipeline.ts',
    search:
      'this.#bytesAcked = Math.max(this.#bytesAcked, packet.offsetInBlock + packet.dataBytes)',
    replace: 'this.#bytesAcked = this.#bytesSent',
  },
]
