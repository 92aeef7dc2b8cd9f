import type { Token, TokenStore } from '../../gateway/tokens.ts'
import { DfsClient } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { parseDuration } from '../format.ts'
import { flag, list, type OptionValues, value } from '../options.ts'

const options = {
  path: list('path', 'PATH', 'what the token covers, with all below it (default /)'),
  readOnly: flag('read-only', 'the token may read only'),
  expires: value('expires', 'TIME', 'how long it is valid, such as 12h or 30d (default: for ever)'),
  for: value('for', 'NAME', 'user that its holder acts as (default: you)'),
} as const

export const command = defineCommand({
  name: 'token',
  usage:
    'token create [--path PATH]... [--read-only] [--expires TIME] [--for NAME] | list | revoke ID...',
  description:
    'Bearer tokens let programs and people in through the HTTP gateway. As soon as one exists, every request needs one, ' +
    'and the gateway may listen on more than loopback. `create` prints the token, which is stored only as a hash and ' +
    'never shown again; gateways take changes within a second. Tokens belong to the superuser of the cluster.',
  examples: [
    'dfs token create --path /data/incoming --for loader --expires 30d',
    'curl -H "Authorization: Bearer $TOKEN" -T a.csv http://HOST:9880/files/data/incoming/a.csv',
    'dfs token revoke 0123456789abcdef',
  ],
  options,
  async run(context, given, [verb, ...operands]) {
    const action = actionOf(verb, given, operands)
    const { settings } = await context.session.configuration()
    const { TokenStore } = await import('../../gateway/tokens.ts')
    const { user } = context.session
    const client = new DfsClient({ uri: await context.session.uri(), user, settings })
    try {
      await action(context, new TokenStore(client))
    } finally {
      await client.close()
    }
  },
})

type Action = (context: CommandContext, tokens: TokenStore) => Promise<void>

function actionOf(
  verb: string | undefined,
  given: OptionValues<typeof options>,
  operands: readonly string[],
): Action {
  if (verb === 'revoke') {
    if (operands.length === 0) throw new UsageError('Name the id of a token')
    return (context, tokens) => revoke(context, tokens, operands)
  }
  if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
  if (verb === 'list') return show
  if (verb !== 'create') throw new UsageError('Say create, list or revoke')
  const { expires, readOnly } = given
  const paths = given.path.length === 0 ? ['/'] : given.path.map(coveredPath)
  const durationMs = expires === undefined ? undefined : parseDuration(expires)
  if (expires !== undefined && (durationMs === undefined || durationMs === 0)) {
    throw new UsageError(`Cannot use --expires ${expires}: need a time such as 12h or 30d`)
  }
  return async (context, tokens) => {
    const { token, text } = await tokens.create({
      user: given.for ?? context.session.user,
      paths,
      right: readOnly ? 'read' : 'write',
      expiresAtMs: durationMs === undefined ? null : Date.now() + durationMs,
    })
    context.note(`token ${describe(token)}; this is the only time it is shown`)
    context.out.line(text)
  }
}

async function show(context: CommandContext, tokens: TokenStore): Promise<void> {
  for (const id of await tokens.ids()) {
    await context.attempt(id, async () => {
      context.out.line(describe(await tokens.read(id)))
    })
  }
}

async function revoke(
  context: CommandContext,
  tokens: TokenStore,
  ids: readonly string[],
): Promise<void> {
  for (const id of ids) {
    await context.attempt(id, async () => {
      await tokens.revoke(id)
      context.out.line(`Revoked: ${id}`)
    })
  }
}

function describe({ id, user, right, paths, expiresAtMs }: Token): string {
  const isOver = expiresAtMs !== null && expiresAtMs <= Date.now()
  const end = expiresAtMs === null ? 'never' : new Date(expiresAtMs).toISOString()
  const rights = right === 'read' ? 'read' : 'read,write'
  return `${id} user=${user} rights=${rights} paths=${paths.join(',')} ${isOver ? 'expired' : 'expires'}=${end}`
}

function coveredPath(path: string): string {
  if (path === '/') return path
  if (!path.startsWith('/') || /\/\.{0,2}(\/|$)/.test(path)) {
    throw new UsageError(`Cannot use --path ${path}: need an absolute path without "." and ".."`)
  }
  return path
}
