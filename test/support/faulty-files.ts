import { type FileSystem, systemFiles } from '../../datanode/shell/files.ts'

/** An operation that goes wrong. */
export interface Fault {
  /** Names of file operations, as {@link FileSystem} calls them. */
  readonly operations: readonly (keyof FileSystem)[]
  /** Paths it concerns; those of descriptors are the ones they were opened with. */
  readonly path: RegExp
  readonly errno: string
  /** How often it happens; for ever when absent. */
  readonly times?: number
}

/** Real file operations on a disk that fails as it is told. */
export class FaultyFiles {
  readonly files: FileSystem
  readonly #pathByDescriptor = new Map<number, string>()
  readonly #gates: { readonly path: RegExp; readonly until: Promise<void> }[] = []
  #faults: { fault: Fault; left: number }[] = []

  constructor() {
    const at = (descriptor: number): string => this.#pathByDescriptor.get(descriptor) ?? ''
    this.files = {
      openFile: async (path, flags) => {
        await this.#before('openFile', path)
        const descriptor = await systemFiles.openFile(path, flags)
        this.#pathByDescriptor.set(descriptor, path)
        return descriptor
      },
      closeFile: (descriptor) => {
        this.#pathByDescriptor.delete(descriptor)
        return systemFiles.closeFile(descriptor)
      },
      syncFile: (descriptor) =>
        this.#run('syncFile', at(descriptor), () => systemFiles.syncFile(descriptor)),
      syncFileData: (descriptor) =>
        this.#run('syncFileData', at(descriptor), () => systemFiles.syncFileData(descriptor)),
      renameFile: (source, target) =>
        this.#run('renameFile', source, () => systemFiles.renameFile(source, target)),
      truncateFile: (descriptor, length) =>
        this.#run('truncateFile', at(descriptor), () =>
          systemFiles.truncateFile(descriptor, length),
        ),
      removeFile: (path) => this.#run('removeFile', path, () => systemFiles.removeFile(path)),
      makeDirectory: (path) =>
        this.#run('makeDirectory', path, () => systemFiles.makeDirectory(path)),
      listDirectory: (path) =>
        this.#run('listDirectory', path, () => systemFiles.listDirectory(path)),
      fileBytes: (descriptor) =>
        this.#run('fileBytes', at(descriptor), () => systemFiles.fileBytes(descriptor)),
      fileModifiedAt: (descriptor) =>
        this.#run('fileModifiedAt', at(descriptor), () => systemFiles.fileModifiedAt(descriptor)),
      touchFile: (path, atMs) =>
        this.#run('touchFile', path, () => systemFiles.touchFile(path, atMs)),
      pathBytes: (path) => this.#run('pathBytes', path, () => systemFiles.pathBytes(path)),
      spaceOf: (path) => this.#run('spaceOf', path, () => systemFiles.spaceOf(path)),
      writeAt: (descriptor, bytes, position) =>
        this.#run('writeAt', at(descriptor), () =>
          systemFiles.writeAt(descriptor, bytes, position),
        ),
      readAt: (descriptor, target, position) =>
        this.#run('readAt', at(descriptor), () => systemFiles.readAt(descriptor, target, position)),
    }
  }

  /** From now on `fault` happens. */
  add(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY })
  }

  /** The disk works again. */
  heal(): void {
    this.#faults = []
  }

  /** Holds renames of matching files back until `until` settles. */
  holdRenames(path: RegExp, until: Promise<void>): void {
    this.#gates.push({ path, until })
  }

  async #run<T>(operation: keyof FileSystem, path: string, real: () => Promise<T>): Promise<T> {
    await this.#before(operation, path)
    const result = await real()
    if (operation === 'renameFile') {
      for (const gate of this.#gates) if (gate.path.test(path)) await gate.until
    }
    return result
  }

  async #before(operation: keyof FileSystem, path: string): Promise<void> {
    const hit = this.#faults.find(
      ({ fault, left }) =>
        left > 0 && fault.operations.includes(operation) && fault.path.test(path),
    )
    if (hit === undefined) return
    hit.left -= 1
    await Promise.resolve()
    const { errno } = hit.fault
    throw Object.assign(new Error(`${errno}: injected, ${operation} '${path}'`), { code: errno })
  }
}
