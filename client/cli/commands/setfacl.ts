import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { flag, type OptionValues, value } from '../options.ts'
import { forEachBounded } from '../parallel.ts'
import { walkTree } from '../tree.ts'

const options = {
  recursive: flag('R recursive', 'change what is below directories, too'),
  removeAll: flag('b remove-all', 'remove everything but owner, group and others'),
  removeDefault: flag('k remove-default', 'remove the default list'),
  modify: value('m modify', 'ENTRIES', 'add or change entries; the others stay'),
  remove: value('x remove', 'ENTRIES', 'remove entries, written without rights'),
  set: value('set', 'ENTRIES', 'replace the list; needs the entries user, group and other'),
} as const

const changesAtOnce = 16

type Change = (fs: FileSystem, path: string, isDirectory: boolean) => Promise<void>

export const command = defineCommand({
  name: 'setfacl',
  usage: 'setfacl [-R] {-b|-k|-m ENTRIES|-x ENTRIES|--set ENTRIES} PATH...',
  description:
    'Changes access control lists. ENTRIES are [default:]user|group|mask|other:[NAME]:rwx, separated by commas. ' +
    'Only the owner and superusers may. Default entries are for directories; -R passes files over with them. ' +
    'Settings are given with -D here, since --set means a list.',
  examples: [
    'dfs setfacl -m user:bob:r-x,default:user:bob:r-x /data',
    'dfs setfacl -x user:bob /data',
    'dfs setfacl --set user::rwx,group::r-x,other::--- /data',
  ],
  options,
  async run(context, chosen, operands) {
    const change = changeOf(chosen)
    if (operands.length === 0) throw new UsageError('Name a path')
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          const subjects = chosen.recursive ? walkTree(fs, status, context.signal) : [status]
          await forEachBounded(subjects, changesAtOnce, async (subject) => {
            const isDirectory = !chosen.recursive || subject.isDirectory()
            await context.attempt(subject.path, () => change(fs, subject.path, isDirectory))
          })
        }
      })
    }
  },
})

/** Exactly one of the options says what is to be done. */
function changeOf(chosen: OptionValues<typeof options>): Change {
  const changes: Change[] = []
  const { modify, remove, set } = chosen
  if (chosen.removeAll) changes.push((fs, path) => fs.attributes.removeAcl(path))
  if (chosen.removeDefault) {
    changes.push((fs, path, isDirectory) =>
      isDirectory ? fs.attributes.removeDefaultAcl(path) : Promise.resolve(),
    )
  }
  if (modify !== undefined) {
    changes.push(withEntries(modify, (fs, path, spec) => fs.attributes.modifyAcl(path, spec)))
  }
  if (remove !== undefined) {
    changes.push(
      withEntries(remove, (fs, path, spec) => fs.attributes.removeAclEntries(path, spec)),
    )
  }
  if (set !== undefined) {
    changes.push(withEntries(set, (fs, path, spec) => fs.attributes.setAcl(path, spec)))
  }
  const [change, ...others] = changes
  if (change === undefined || others.length > 0) {
    throw new UsageError('Give exactly one of -b, -k, -m, -x and --set')
  }
  return change
}

/** Of a tree's files only the access entries change. */
function withEntries(
  spec: string,
  apply: (fs: FileSystem, path: string, spec: string) => Promise<void>,
): Change {
  const entries = spec.split(',')
  const access = entries.filter((entry) => !entry.trim().startsWith('default:')).join(',')
  return async (fs, path, isDirectory) => {
    const chosen = isDirectory ? spec : access
    if (chosen !== '') await apply(fs, path, chosen)
  }
}
