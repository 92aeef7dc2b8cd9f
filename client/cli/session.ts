import { userInfo } from 'node:os'
import type { Settings } from '../../protocol/settings.ts'
import type { FileStatus } from '../index.ts'
import { CommandError, isLoop, isMissing } from './failures.ts'
import type { FileSystem } from './file-system.ts'
import { expandGlob, isPattern, unescapeGlob } from './glob.ts'

export interface ConnectOptions {
  readonly uri: string
  readonly user: string
  readonly settings: Partial<Settings>
}

/** Opens a client for one cluster. */
export type Connect = (options: ConnectOptions) => Promise<FileSystem>

/** A path of a cluster, as an argument named it. */
export interface RemotePath {
  readonly fs: FileSystem
  /** Absolute. */
  readonly path: string
  /** As the user typed it, for messages. */
  readonly shown: string
}

/** A path that exists. */
export interface RemoteFile extends RemotePath {
  readonly status: FileStatus
}

export interface SessionOptions {
  readonly connect: Connect
  readonly user: string | undefined
  /** Answers, once and only when needed, which cluster and which settings hold without a URI in the path. */
  readonly configure: () => Promise<{ uri: string; settings: Partial<Settings> }>
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The clusters one command talks to: one by default, others when a path names them. */
export class Session {
  readonly user: string
  readonly #connect: Connect
  readonly #configure: SessionOptions['configure']
  #configuration: ReturnType<SessionOptions['configure']> | undefined
  readonly #clientByUri = new Map<string, Promise<FileSystem>>()

  constructor(options: SessionOptions) {
    this.#connect = options.connect
    this.#configure = options.configure
    this.user = options.user ?? options.env['HADOOP_USER_NAME'] ?? userInfo().username
  }

  /** URI of the default cluster. */
  async uri(): Promise<string> {
    return (await this.configuration()).uri
  }

  configuration(): ReturnType<SessionOptions['configure']> {
    this.#configuration ??= this.#configure()
    return this.#configuration
  }

  /** Client of the default cluster. */
  async fs(): Promise<FileSystem> {
    return this.#clientFor(await this.uri())
  }

  /** Resolves one argument that is not a pattern: absolute, relative to the user's home, or a URI. */
  async locate(argument: string): Promise<RemotePath> {
    const { fs, path } = await this.#locatePattern(argument)
    return { fs, path: unescapeGlob(path), shown: argument }
  }

  /**
   * Resolves one argument to what exists.
   *
   * @throws CommandError when nothing matches
   */
  async expand(argument: string): Promise<RemoteFile[]> {
    const found = await this.expandIfAny(argument)
    if (found.length > 0) return found
    if (argument === '.') throw missingHome(this.user)
    throw new CommandError(
      isPattern(argument) ? 'No path matches' : 'No such file or directory',
      argument,
    )
  }

  /** Like {@link expand}, with no match being no error. */
  async expandIfAny(argument: string): Promise<RemoteFile[]> {
    const { fs, path } = await this.#locatePattern(argument)
    const statuses = await expandGlob(path, {
      stat: (path) => statIfAny(fs, path),
      list: (directory) => fs.opendir(directory),
    })
    return statuses.map((status) => ({
      fs,
      status,
      path: status.path,
      shown: isPattern(path) ? status.path : argument,
    }))
  }

  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.#clientByUri.values())
    for (const client of clients) {
      if (client.status === 'fulfilled') await client.value.close()
    }
  }

  async #locatePattern(argument: string): Promise<{ fs: FileSystem; path: string }> {
    if (argument === '') throw new CommandError('An empty path names nothing')
    const match = /^hdfs:\/\/([^/]*)(\/.*)?$/s.exec(argument)
    if (match === null) {
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(argument)) {
        throw new CommandError('Only hdfs:// URIs and plain paths name remote files', argument)
      }
      return { fs: await this.fs(), path: this.#absolute(argument) }
    }
    const [, authority = '', path = '/'] = match
    const uri = authority === '' ? await this.uri() : `hdfs://${authority}`
    return { fs: await this.#clientFor(uri), path: this.#absolute(path) }
  }

  async #clientFor(uri: string): Promise<FileSystem> {
    const known = this.#clientByUri.get(uri)
    if (known !== undefined) return known
    const { settings } = await this.configuration()
    const opening = this.#clientByUri.get(uri) ?? this.#connect({ uri, user: this.user, settings })
    this.#clientByUri.set(uri, opening)
    return opening
  }

  #absolute(path: string): string {
    const whole = path.startsWith('/') ? path : `/user/${this.user}/${path}`
    const components: string[] = []
    for (const component of whole.split('/')) {
      if (component === '..') components.pop()
      else if (component !== '' && component !== '.') components.push(component)
    }
    return `/${components.join('/')}`
  }
}

/** Undefined when there is nothing at `path`; a link that leads nowhere is itself. */
export async function statIfAny(fs: FileSystem, path: string): Promise<FileStatus | undefined> {
  const look = (): Promise<FileStatus> =>
    fs.stat(path).catch((error: unknown) => {
      if (isMissing(error) || isLoop(error)) return fs.lstat(path)
      throw error
    })
  try {
    return await look()
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function missingHome(user: string): CommandError {
  const home = `/user/${user}`
  return new CommandError(
    `Your home directory ${home} does not exist; make it with \`dfs mkdir -p ${home}\`, or name a path`,
  )
}
