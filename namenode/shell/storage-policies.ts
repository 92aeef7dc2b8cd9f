/** The storage policies that every HDFS has. Blocks here are on DISK, which is what HOT asks for. */
import type { EncodableOf } from '../../protocol/message.ts'
import type { blockStoragePolicy, StorageType } from '../../protocol/messages/hdfs.ts'

export type WirePolicy = EncodableOf<typeof blockStoragePolicy>

/** Policy of everything that has none of its own. */
export const hotPolicyId = 7

const none: readonly StorageType[] = []

export const hotPolicy = policy(hotPolicyId, 'HOT', ['DISK'], none, ['ARCHIVE'])

/** All of them, highest id first. */
export const storagePolicies: readonly WirePolicy[] = [
  policy(15, 'LAZY_PERSIST', ['RAM_DISK', 'DISK'], ['DISK'], ['DISK']),
  policy(14, 'ALL_NVDIMM', ['NVDIMM'], ['DISK'], ['DISK']),
  policy(12, 'ALL_SSD', ['SSD'], ['DISK'], ['DISK']),
  policy(10, 'ONE_SSD', ['SSD', 'DISK'], ['SSD', 'DISK'], ['SSD', 'DISK']),
  hotPolicy,
  policy(5, 'WARM', ['DISK', 'ARCHIVE'], ['DISK', 'ARCHIVE'], ['DISK', 'ARCHIVE']),
  policy(2, 'COLD', ['ARCHIVE'], none, none),
  policy(1, 'PROVIDED', ['PROVIDED', 'DISK'], ['PROVIDED', 'DISK'], ['PROVIDED', 'DISK']),
]

function policy(
  policyId: number,
  name: string,
  creation: readonly StorageType[],
  creationFallback: readonly StorageType[],
  replicationFallback: readonly StorageType[],
): WirePolicy {
  return {
    policyId,
    name,
    creationPolicy: { storageTypes: creation },
    creationFallbackPolicy: { storageTypes: creationFallback },
    replicationFallbackPolicy: { storageTypes: replicationFallback },
  }
}
