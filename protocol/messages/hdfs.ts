/**
 * Messages shared by the HDFS protocols, from four files by topic.
 */
export * from './hdfs-blocks.ts'
export * from './hdfs-events.ts'
export * from './hdfs-features.ts'
export * from './hdfs-files.ts'
