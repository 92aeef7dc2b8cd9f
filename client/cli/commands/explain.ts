import type { BlockExplanation, LocatedFileStatus, NodeStatus } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { blockText, datanodeText, pauseText } from '../explain-text.ts'
import { CommandError, UsageError } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { counted } from '../format.ts'
import { flag, type OptionValues } from '../options.ts'
import { walkLocated } from '../remote-walk.ts'

const options = {
  all: flag('a all', 'explain healthy blocks, too'),
  json: flag('json', 'a JSON object per block or datanode'),
} as const

/** Blocks explained of one path before the rest is only counted. */
const blocksExplainedMax = 50

export const command = defineCommand({
  name: 'explain',
  usage: 'explain [-a] PATH|BLOCK|NODE...',
  description:
    'Says why something is not healthy, what is being done about it, since when and until when. Of a file or tree: every ' +
    'block that lacks anything (all of them with -a). Of a block (blk_1073741825): its replicas and what each is worth. Of a ' +
    'datanode (HOST, HOST:PORT or uuid): what it holds and what it has to do. Exit code 1 when something is not healthy.',
  examples: [
    'dfs explain /data/report.csv',
    'dfs explain blk_1073741825',
    'dfs explain 127.0.0.1:9866',
  ],
  options,
  async run(context, options, operands) {
    if (operands.length === 0) throw new UsageError('Name a path, a block or a datanode')
    for (const operand of operands) {
      await context.attempt(operand, () => explain(context, operand, options))
    }
  },
})

type ExplainOptions = OptionValues<typeof options>

async function explain(
  context: CommandContext,
  operand: string,
  options: ExplainOptions,
): Promise<void> {
  const block = /^(?:BP-[^:]*:)?blk_(\d+)(?:_\d+)?(?:\.meta)?$/.exec(operand)
  if (block !== null) {
    await explainBlock(context, Number(block[1]), options)
    return
  }
  const isPath = operand.includes('/') || (await context.session.expandIfAny(operand)).length > 0
  if (isPath) {
    await explainPath(context, operand, options)
    return
  }
  const { operator } = await context.session.fs()
  // Refuses what names none or several, and says which ones there are.
  for (const node of await operator.nodes({ node: operand, signal: context.signal })) {
    await explainNode(context, node, options)
  }
}

async function explainBlock(
  context: CommandContext,
  id: number,
  { json }: ExplainOptions,
): Promise<void> {
  const fs = await context.session.fs()
  const explanation = await fs.operator.explainBlock(id)
  const { block } = explanation
  if (block === undefined) {
    throw new CommandError('No such block: no file has it, and no datanode has reported it')
  }
  if (json) context.out.line(JSON.stringify(explanation))
  else {
    context.out.lines(pauseText(explanation.paused))
    context.out.lines(
      blockText(block, block.path ?? 'a file that only a superuser may name', Date.now()),
    )
  }
  if (!block.isHealthy) context.failureCount += 1
}

async function explainNode(
  context: CommandContext,
  node: NodeStatus,
  { json }: ExplainOptions,
): Promise<void> {
  const fs = await context.session.fs()
  const explanation = await fs.operator.explainDatanode(node.uuid)
  if (explanation.datanode === undefined)
    throw new CommandError('The datanode is not known any more')
  if (json) context.out.line(JSON.stringify(explanation))
  else {
    context.out.lines(pauseText(explanation.paused))
    context.out.lines(datanodeText(explanation.datanode, node))
  }
  if (explanation.datanode.liveness !== 'live') context.failureCount += 1
}

/** Counts of one path's explanation. */
interface Findings {
  files: number
  blocks: number
  unhealthy: number
  explained: number
  isPauseTold: boolean
}

async function explainPath(
  context: CommandContext,
  operand: string,
  options: ExplainOptions,
): Promise<void> {
  const { out, signal } = context
  const findings = { files: 0, blocks: 0, unhealthy: 0, explained: 0, isPauseTold: options.json }
  for (const { fs, path } of await context.session.expand(operand)) {
    for await (const status of walkLocated(fs, path, signal)) {
      await out.ready()
      if (!status.isFile()) continue
      findings.files += 1
      await explainFile(context, fs, { status, options, findings })
    }
  }
  const { files, blocks, unhealthy, explained } = findings
  if (unhealthy > 0) context.failureCount += 1
  if (options.json) return
  const untold = unhealthy - explained
  if (!options.all && untold > 0) out.line(`… and ${counted(untold, 'block')} more`)
  const whole = `${counted(blocks, 'block')} of ${counted(files, 'file')}`
  out.line(unhealthy === 0 ? `${whole}: healthy` : `${whole}: ${unhealthy} not healthy`)
}

async function explainFile(
  context: CommandContext,
  fs: FileSystem,
  {
    status,
    options,
    findings,
  }: { status: LocatedFileStatus; options: ExplainOptions; findings: Findings },
): Promise<void> {
  for (const [index, location] of status.blocks.entries()) {
    findings.blocks += 1
    // The namenode lists good replicas alone: a block with all of them needs no second question.
    const isWhole = !location.isCorrupt && location.datanodes.length === status.replication
    const isClean = isWhole && location.datanodes.every(({ adminState }) => adminState === 'NORMAL')
    if (isClean && !options.all) continue
    const explanation = await fs.operator.explainBlock(location.blockId)
    const isHealthy = explanation.block?.isHealthy === true
    if (!isHealthy) findings.unhealthy += 1
    if ((isHealthy && !options.all) || findings.explained >= blocksExplainedMax) continue
    if (!isHealthy) findings.explained += 1
    print(context, explanation, { where: `block ${index} of ${status.path}`, options, findings })
  }
}

function print(
  { out }: CommandContext,
  explanation: BlockExplanation,
  { where, options, findings }: { where: string; options: ExplainOptions; findings: Findings },
): void {
  if (options.json) {
    out.line(JSON.stringify(explanation))
    return
  }
  if (!findings.isPauseTold) out.lines(pauseText(explanation.paused))
  findings.isPauseTold = true
  if (explanation.block !== undefined) out.lines(blockText(explanation.block, where, Date.now()))
}
