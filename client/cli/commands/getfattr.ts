import { encodeXattrValue, type XAttrEncoding, xattrEncodings } from '../../index.ts'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, value } from '../options.ts'
import { walkTree } from '../tree.ts'

const options = {
  recursive: flag('R recursive', 'show what is below directories, too'),
  name: value('n name', 'NAME', 'show this attribute, such as user.origin'),
  dump: flag('d dump', 'show all attributes'),
  encoding: value('e encoding', 'ENCODING', 'write values as text (the default), hex or base64'),
} as const

export const command = defineCommand({
  name: 'getfattr',
  usage: 'getfattr [-R] {-n NAME|-d} [-e text|hex|base64] PATH...',
  description:
    'Shows extended attributes. Those of the namespace user are for whoever may read the file, trusted ones for superusers.',
  examples: ['dfs getfattr -d /data/a.csv', 'dfs getfattr -n user.origin -e hex /data/a.csv'],
  options,
  async run(context, { recursive, name, dump, encoding }, operands) {
    if ((name === undefined) === !dump) throw new UsageError('Give one of -n NAME and -d')
    const written = encodingOf(encoding)
    if (operands.length === 0) throw new UsageError('Name a path')
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          const subjects = recursive ? walkTree(fs, status, context.signal) : [status]
          for await (const { path } of subjects) {
            context.out.line(`# file: ${path}`)
            await context.attempt(path, async () => {
              const names = name === undefined ? [] : [name]
              const values = await fs.attributes.getXattrs(path, names)
              context.out.lines([...values].map(([key, bytes]) => line(key, bytes, written)))
            })
          }
        }
      })
    }
  },
})

function line(name: string, bytes: Buffer, encoding: XAttrEncoding): string {
  return bytes.length === 0 ? name : `${name}=${encodeXattrValue(bytes, encoding)}`
}

function encodingOf(text: string | undefined): XAttrEncoding {
  const wanted = text?.toLowerCase() ?? 'text'
  const found = xattrEncodings.find((encoding) => encoding === wanted)
  if (found !== undefined) return found
  throw new UsageError(`Cannot write values as "${wanted}": need text, hex or base64`)
}
