import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { forEachBounded } from '../parallel.ts'
import { walkTree } from '../tree.ts'

const options = { recursive: flag('R recursive', 'change what is below directories, too') } as const

const changesAtOnce = 16

export const command = defineCommand({
  name: 'chown',
  usage: 'chown [-R] OWNER[:GROUP]|:GROUP PATH...',
  description:
    'Changes owner and group. Only superusers may change the owner; the owner may change the group.',
  examples: ['dfs chown -R alice:analysts /user/alice'],
  options,
  async run(context, { recursive }, [spec, ...operands]) {
    if (spec === undefined || operands.length === 0) {
      throw new UsageError('Name an owner or group, and a path')
    }
    const { owner, group } = parseOwner(spec)
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          const subjects = recursive ? walkTree(fs, status, context.signal) : [status]
          await forEachBounded(subjects, changesAtOnce, async ({ path }) => {
            await context.attempt(path, () => fs.chown(path, owner, group))
          })
        }
      })
    }
  },
})

/** Reads `owner`, `owner:group`, `owner:` and `:group`. */
export function parseOwner(spec: string): {
  readonly owner: string | undefined
  readonly group: string | undefined
} {
  const match = /^([^:]*)(?::([^:]*))?$/.exec(spec)
  const owner = match?.[1] === '' ? undefined : match?.[1]
  const group = match?.[2] === '' ? undefined : match?.[2]
  if (owner === undefined && group === undefined) {
    throw new UsageError(`Cannot read "${spec}": need OWNER, OWNER:GROUP or :GROUP`)
  }
  return { owner, group }
}
