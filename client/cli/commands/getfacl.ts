import { type AclStatus, effectiveAclText } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { walkTree } from '../tree.ts'

const options = { recursive: flag('R recursive', 'show what is below directories, too') } as const

const stickyBit = 0o1000

export const command = defineCommand({
  name: 'getfacl',
  usage: 'getfacl [-R] PATH...',
  description:
    'Shows access control lists, and of directories the default ones that new entries take over. ' +
    'Where the mask takes rights away, what is left is behind the entry.',
  examples: ['dfs getfacl /data', 'dfs getfacl -R /data'],
  options,
  async run(context, { recursive }, operands) {
    if (operands.length === 0) throw new UsageError('Name a path')
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          const subjects = recursive ? walkTree(fs, status, context.signal) : [status]
          for await (const { path } of subjects) {
            await context.attempt(path, async () => {
              show(context, path, await fs.attributes.getAcl(path))
            })
          }
        }
      })
    }
  },
})

function show({ out }: CommandContext, path: string, acl: AclStatus): void {
  const { owner, group, mode } = acl
  out.lines([`# file: ${path}`, `# owner: ${owner}`, `# group: ${group}`])
  if ((mode & stickyBit) !== 0) out.line(`# flags: --${(mode & 1) === 0 ? 'T' : 't'}`)
  out.lines(effectiveAclText(acl))
  out.line('')
}
