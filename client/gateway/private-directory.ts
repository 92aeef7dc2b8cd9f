import { DfsError } from '../../protocol/errors.ts'
import { type DfsClient, DfsFsError } from '../index.ts'

/** The verbs that secrets are kept with. */
export type SecretFileSystem = Pick<
  DfsClient,
  'stat' | 'opendir' | 'mkdir' | 'chmod' | 'readFile' | 'writeFile' | 'rename' | 'rm'
>

/**
 * A directory of the superuser's in the cluster that nobody else may enter, with one file `ID.json` for each secret. A
 * file never changes, so every gateway and datanode sees all of them and nobody overwrites another's.
 */
export class PrivateDirectory {
  readonly path: string
  readonly #fs: SecretFileSystem

  constructor(fs: SecretFileSystem, path: string) {
    this.#fs = fs
    this.path = path
  }

  /** Adds a file; its id is 16 hex digits. Whoever sees the name sees all of it. */
  async add(id: string, content: object): Promise<void> {
    await this.#fs.mkdir(this.path, { recursive: true, mode: 0o700 })
    await this.#fs.chmod(this.path, 0o700)
    const options = { mode: 0o600, flags: 'wx' } as const
    const temporary = `${this.path}/${id}.new`
    await this.#fs.writeFile(temporary, `${JSON.stringify(content)}\n`, options)
    await this.#fs.rename(temporary, this.#fileOf(id), { overwrite: false })
  }

  /**
   * Ids of all files; none while there is no directory.
   *
   * @throws {@link DfsError} PERMISSION_DENIED when others could put files there
   */
  async ids(): Promise<string[]> {
    try {
      const { mode } = await this.#fs.stat(this.path)
      if ((mode & 0o077) !== 0) {
        const text = `Others may enter "${this.path}" (mode ${mode.toString(8)}): need mode 700`
        throw new DfsError('PERMISSION_DENIED', text, { path: this.path })
      }
      const ids: string[] = []
      for await (const { name } of this.#fs.opendir(this.path)) {
        const id = /^([0-9a-f]{16})\.json$/.exec(name)?.[1]
        if (id !== undefined) ids.push(id)
      }
      return ids
    } catch (error) {
      if (error instanceof DfsFsError && error.dfsCode === 'FILE_NOT_FOUND') return []
      throw error
    }
  }

  /** @throws DfsFsError FILE_NOT_FOUND when there is none */
  async read(id: string): Promise<unknown> {
    return JSON.parse(await this.#fs.readFile(this.#fileOf(id), 'utf8'))
  }

  /** @throws DfsFsError FILE_NOT_FOUND when there is none */
  async remove(id: string): Promise<void> {
    await this.#fs.rm(this.#fileOf(id))
  }

  #fileOf(id: string): string {
    if (!/^[0-9a-f]{16}$/.test(id)) {
      throw new DfsError('INVALID_ARGUMENT', `"${id}" is no id here: need 16 hex digits`)
    }
    return `${this.path}/${id}.json`
  }
}
