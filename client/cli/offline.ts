/** `dfs offline`: what the readers of ops/offline find, for people and as JSON. */
import { type BlockReport, readBlockFile } from '../../ops/offline/block-file.ts'
import { type JournalItem, readJournalFile } from '../../ops/offline/journal-file.ts'
import {
  type BlockItem,
  SchemaFile,
  type SchemaReport,
  type TreeItem,
} from '../../ops/offline/schema-file.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { CommandContext } from './command.ts'
import type { OfflineOptions } from './commands/offline.ts'
import { CommandError } from './failures.ts'

export async function showJournal(
  context: CommandContext,
  file: string,
  { json }: OfflineOptions,
): Promise<void> {
  const { out } = context
  let records = 0
  let isDamaged = false
  for await (const item of readJournalFile(file)) {
    await out.ready()
    if (item.kind === 'record') records += 1
    if (item.kind === 'bad' || item.kind === 'lost') isDamaged = true
    if (json) out.line(asJson({ file, ...item }))
    else out.lines(journalLines(item))
  }
  if (!json) out.line(`${file}: ${records} transactions, ${isDamaged ? 'DAMAGED' : 'whole'}`)
  if (isDamaged) context.failureCount += 1
}

function journalLines(item: JournalItem): readonly string[] {
  switch (item.kind) {
    case 'header':
      return [
        `layout version ${item.layoutVersion}, cluster ${item.clusterId}, first transaction ${item.firstTxid}`,
      ]
    case 'bad':
      return [
        `BAD at offset ${item.offset}: ${item.bytes} bytes that are no valid record: ${item.found}`,
      ]
    case 'lost':
      return [`LOST: transactions ${item.fromTxid} to ${item.throughTxid}`]
    case 'record': {
      const { txid, wallTime, changes, answered } = item.transaction
      return [
        `${txid} ${new Date(wallTime).toISOString()} offset ${item.offset}`,
        ...changes.map((change) => `    ${asJson(change)}`),
        ...(answered === undefined ? [] : [`    answered ${asJson(answered)}`]),
      ]
    }
  }
}

export async function showSchema(
  context: CommandContext,
  file: string,
  { tree, blocks, full, json }: OfflineOptions,
): Promise<void> {
  const { out } = context
  const schema = await SchemaFile.open(file).catch(asCommandError)
  try {
    if (tree !== undefined) await showTree(context, schema.tree(tree), json)
    if (blocks !== undefined) {
      const { items, damage } = await schema.blocks(blocks)
      if (json) out.json({ path: blocks, blocks: items, damage })
      else out.lines(items.map(blockLine))
      if (damage !== undefined) context.fail(new CommandError(damage), blocks)
    }
    if (tree !== undefined || blocks !== undefined) return
    const report = await schema.report(full)
    const isDamaged =
      report.findings.length > 0 || report.tables.some(({ damage }) => damage !== undefined)
    if (json) out.json(report)
    else out.lines([...schemaLines(report), `${report.file}: ${isDamaged ? 'DAMAGED' : 'whole'}`])
    if (isDamaged) context.failureCount += 1
  } catch (error) {
    asCommandError(error)
  } finally {
    await schema.close()
  }
}

async function showTree(
  context: CommandContext,
  items: AsyncIterable<TreeItem>,
  json: boolean,
): Promise<void> {
  const { out } = context
  for await (const item of items) {
    await out.ready()
    if (json) out.line(asJson(item))
    else {
      const { kind, id, size, owner, mtime, path, isOpen } = item
      const date = new Date(mtime).toISOString()
      out.line(`${kind} ${id} ${size} ${owner} ${date} ${path}${isOpen ? ' (open)' : ''}`)
    }
    if (item.damage !== undefined) context.fail(new CommandError(item.damage), item.path)
  }
}

function blockLine({ index, id, generationStamp, length, state, digest }: BlockItem): string {
  const hash = digest === undefined ? '' : ` digest ${digest}`
  return `${index} blk_${id}_${generationStamp} ${length} ${state}${hash}`
}

function schemaLines({ schemaVersion, meta, tables, findings }: SchemaReport): readonly string[] {
  return [
    `layout version ${schemaVersion ?? 'unreadable'}`,
    ...Object.entries(meta).map(([key, text]) => `${key} ${text}`),
    ...tables.map(({ table, fromFront, fromBack, damage }) =>
      damage === undefined
        ? `table ${table}: ${fromFront} rows`
        : `table ${table}: DAMAGED: ${fromFront} rows from the front and ${fromBack} from the back can be ` +
          `read; ${damage}`,
    ),
    ...findings.map((finding) => `FOUND: ${finding}`),
  ]
}

export async function showBlock(
  context: CommandContext,
  file: string,
  { json }: OfflineOptions,
): Promise<void> {
  const report = await readBlockFile(file).catch(asCommandError)
  if (json) context.out.json(report)
  else context.out.lines(replicaLines(report))
  if (report.faults.length > 0 || report.wrong.length > 0) context.failureCount += 1
}

function replicaLines(report: BlockReport): readonly string[] {
  const { blockId, generationStamp, dataBytes, coveredBytes, goodBytes, digest } = report
  const isWhole = report.faults.length === 0 && report.wrong.length === 0
  return [
    `block ${blockId}, generation stamp ${generationStamp ?? 'unknown'}`,
    `data ${report.dataFile}, ${dataBytes} bytes`,
    `meta ${report.metaFile ?? 'missing'}`,
    ...(report.checksumType === undefined
      ? []
      : [
          `checksums ${report.checksumType} per ${report.bytesPerChecksum ?? 0} bytes, XXH64 per ` +
            `${report.spanBytes ?? 0} bytes`,
        ]),
    ...(digest === undefined ? [] : [`digest of the block ${digest}`]),
    ...(report.syncedBytes === undefined ? [] : [`synced through byte ${report.syncedBytes}`]),
    ...report.faults.map((fault) => `FAULT: ${fault}`),
    ...report.wrong.map(({ from, below, what }) => `WRONG: bytes ${from} to ${below - 1}: ${what}`),
    `${goodBytes} of ${dataBytes} bytes verified, ${coveredBytes} have checksums: ` +
      (isWhole ? 'whole' : 'DAMAGED'),
  ]
}

function asCommandError(error: unknown): never {
  if (error instanceof DfsError) throw new CommandError(error.message)
  throw error
}

function asJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'bigint' ? item.toString(16).padStart(16, '0') : item,
  )
}
