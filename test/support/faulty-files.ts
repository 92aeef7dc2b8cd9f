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

/** Operations that wait. */
interface Hold {
  readonly operations: readonly (keyof FileSystem)[]
  readonly path: RegExp
  readonly until: Promise<void>
  /** The disk has done it already, and only its answer waits. */
  readonly isDone?: boolean
}

/** Real file operations on a disk that fails as it is told. */
export class FaultyFiles {
  readonly files: FileSystem
  readonly #pathByDescriptor = new Map<number, string>()
  readonly #holds: Hold[] = []
  /** Operations that began with a descriptor closed before: on a real disk they hit whatever has its number then. */
  readonly lateUses: string[] = []
  #faults: { fault: Fault; left: number }[] = []

  constructor() {
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
      closeSmallFile: (descriptor) => {
        this.#pathByDescriptor.delete(descriptor)
        systemFiles.closeSmallFile(descriptor)
      },
      syncFile: (descriptor) =>
        this.#use('syncFile', descriptor, () => systemFiles.syncFile(descriptor)),
      syncFileData: (descriptor) =>
        this.#use('syncFileData', descriptor, () => systemFiles.syncFileData(descriptor)),
      renameFile: (source, target) =>
        this.#run('renameFile', source, () => systemFiles.renameFile(source, target)),
      truncateFile: (descriptor, length) =>
        this.#use('truncateFile', descriptor, () => systemFiles.truncateFile(descriptor, length)),
      removeFile: (path) => this.#run('removeFile', path, () => systemFiles.removeFile(path)),
      makeDirectory: (path) =>
        this.#run('makeDirectory', path, () => systemFiles.makeDirectory(path)),
      listDirectory: (path) =>
        this.#run('listDirectory', path, () => systemFiles.listDirectory(path)),
      fileBytes: (descriptor) =>
        this.#use('fileBytes', descriptor, () => systemFiles.fileBytes(descriptor)),
      fileModifiedAt: (descriptor) =>
        this.#use('fileModifiedAt', descriptor, () => systemFiles.fileModifiedAt(descriptor)),
      touchFile: (path, atMs) =>
        this.#run('touchFile', path, () => systemFiles.touchFile(path, atMs)),
      pathBytes: (path) => this.#run('pathBytes', path, () => systemFiles.pathBytes(path)),
      spaceOf: (path) => this.#run('spaceOf', path, () => systemFiles.spaceOf(path)),
      writeAt: (descriptor, bytes, position) =>
        this.#use('writeAt', descriptor, () => systemFiles.writeAt(descriptor, bytes, position)),
      readAt: (descriptor, target, position) =>
        this.#use('readAt', descriptor, () => systemFiles.readAt(descriptor, target, position)),
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

  /** Holds matching operations back until `until` settles. */
  hold(hold: Hold): void {
    this.#holds.push(hold)
  }

  async #use<T>(
    operation: keyof FileSystem,
    descriptor: number,
    real: () => Promise<T>,
  ): Promise<T> {
    const path = this.#pathByDescriptor.get(descriptor) ?? 'a closed file'
    return this.#run(operation, path, () => {
      if (this.#pathByDescriptor.get(descriptor) === path) return real()
      this.lateUses.push(`${operation} ${path}`)
      throw Object.assign(new Error(`EBADF: ${operation} '${path}'`), { code: 'EBADF' })
    })
  }

  async #run<T>(operation: keyof FileSystem, path: string, real: () => Promise<T>): Promise<T> {
    await this.#before(operation, path)
    await this.#held(operation, path, false)
    const result = await real()
    await this.#held(operation, path, true)
    return result
  }

  async #held(operation: keyof FileSystem, path: string, isDone: boolean): Promise<void> {
    for (const hold of this.#holds) {
      const isMeant = hold.operations.includes(operation) && hold.path.test(path)
      if (isMeant && (hold.isDone ?? false) === isDone) await hold.until
    }
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
