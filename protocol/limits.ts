/**
 * Every bound in the system, with its unit in the name and the reason for its value. A bound that an
 * operator may change is a configuration default in the role's config.ts and refers to this file.
 */

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

export const limits = {
  /** Largest RPC frame either side accepts (ipc.maximum.data.length of HDFS). */
  rpcFrameBytesMax: 128 * mebibyte,
  /** Largest frame accepted before the connection context names a user; bounds what a stranger can make us hold. */
  rpcFrameBeforeContextBytesMax: 64 * kibibyte,
  /** Calls of one connection that may wait for their answer; further ones are not read from the socket. */
  rpcCallsInFlightPerConnectionMax: 1024,
  /** Replies of one connection that its peer has not taken; no more calls are read meanwhile. */
  rpcUnsentBytesPerConnectionMax: 4 * mebibyte,
  /** Connections one server holds; further ones are closed at once. */
  rpcConnectionsMax: 20_000,
  /** A connection that has not finished its preamble and context by then is closed. */
  rpcHandshakeMs: 30_000,
  /** Retry-cache entries live this long (dfs.namenode.retrycache.expirytime.millis). */
  retryCacheMs: 600_000,
  /** Answers kept in memory, 100 to 500 bytes each; older ones are looked up in the store. */
  retryCacheEntriesMax: 32_768,

  /** Whole data-transfer packet, PLEN + HLEN (dfs.data.transfer.max.packet.size). */
  packetBytesMax: 16 * mebibyte,
  /** Encoded packet header message; 25 or 27 bytes in practice. */
  packetHeaderBytesMax: 64,
  /** Encoded operation (OpWriteBlock with many targets is below 10 KiB). */
  operationBytesMax: 1 * mebibyte,
  /** Data of a packet we send. Bigger ones gain nothing (measured). */
  packetDataBytes: 64 * kibibyte,
  /** Concurrent transfers of one datanode (dfs.datanode.max.transfer.threads is 4096). */
  transfersPerDatanodeMax: 4096,
  /** Unacknowledged packets of one writer (dfs.client.write.max-packets-in-flight). */
  packetsInFlightMax: 80,
  /** A datanode that alone keeps an acknowledgement waiting for this long is called slow in it. */
  slowAckMs: 1_000,
  /** A data connection is kept open this long between operations (dfs.datanode.socket.reuse.keepalive). */
  transferKeepAliveMs: 4_000,

  /** Bytes covered by one XXH64 in a meta file. */
  digestSpanBytes: 64 * kibibyte,
  bytesPerChecksumMax: 1 * mebibyte,

  /** One path component, UTF-8 bytes (dfs.namenode.fs-limits.max-component-length). */
  pathComponentBytesMax: 255,
  /** Whole path, characters, and its components (HDFS: MAX_PATH_LENGTH, MAX_PATH_DEPTH). */
  pathCharactersMax: 8000,
  pathDepthMax: 1000,
  /** Entries of an access ACL, and of a default ACL (AclTransformation.MAX_ENTRIES). */
  aclEntriesPerScopeMax: 32,
  /** Extended attributes of an inode, user and trusted ones (dfs.namenode.fs-limits.max-xattrs-per-inode). */
  xattrsPerInodeMax: 32,
  /** Name and value of an extended attribute together (dfs.namenode.fs-limits.max-xattr-size). */
  xattrBytesMax: 16_384,
  /** Bytes of a symbolic link's target in UTF-8, as Linux has it (PATH_MAX without the NUL). */
  linkTargetBytesMax: 4095,
  /** Names of one inode: its row holds them all, and is journaled with each change of it. */
  namesPerInodeMax: 1000,
  /** Entries one getListing answers (dfs.ls.limit). */
  listingEntriesMax: 1000,
  blocksPerFileMax: 10_000,
  blockSizeBytesMin: 1 * mebibyte,
  replicationMin: 1,
  replicationMax: 512,

  /** Soft limit after which another client may take a lease over, hard limit after which the namenode closes the file. */
  leaseSoftLimitMs: 60_000,
  leaseHardLimitMs: 1_200_000,

  /** Ticks of the namenode further apart than this show that it was stalled itself; the excess is not a datanode's silence. */
  namenodeTickGapMsMax: 1000,
  /** A datanode whose contact was lost so often within so long is unsteady, until it was live for so long without a break. */
  unsteadyLossesMin: 3,
  unsteadyWindowMs: 600_000,
  steadyAgainMs: 120_000,
  /** Blocks the namenode examines for repair in one tick; each costs a few microseconds. */
  repairBlocksPerTickMax: 2000,
  /** Block map entries a background pass looks at in one tick, and those it examines: about 10 ms each. */
  scannedBlocksPerTickMax: 250_000,
  visitedBlocksPerTickMax: 10_000,
  /** Block map entries the balancer looks at in one tick, and moves it has under way. */
  balancedBlocksPerTickMax: 20_000,
  balanceMovesMax: 256,
  /** Replicas told to be deleted in one heartbeat's answer (dfs.block.invalidate.limit). */
  invalidationsPerHeartbeatMax: 1000,
  /** An ordered deletion that is not reported done by then is ordered again, this many times in all. */
  invalidationRetryMs: 60_000,
  invalidationAttemptsMax: 3,
  /** Block recoveries ordered in one heartbeat's answer. */
  recoveriesPerHeartbeatMax: 100,
  /** A copy between datanodes is taken for lost after this plus its length at the lowest rate. */
  copyTimeoutMs: 30_000,
  copyBytesPerSecondMin: 2 * mebibyte,
  /** Copies, and bytes of copies, that one datanode may have outstanding; both adapt to its speed between the bounds. */
  copiesInFlightPerDatanodeMin: 32,
  copiesInFlightPerDatanodeMax: 512,
  copyBytesInFlightMin: 64 * mebibyte,
  copyBytesInFlightMax: 2048 * mebibyte,
  /** The other datanodes of a pipeline report a completed block within this, or their replicas count as lost. */
  pipelineReportMs: 10_000,
  /** A full report may be older than an incremental one by this much when it arrives. */
  reportRaceMs: 30_000,
} as const
