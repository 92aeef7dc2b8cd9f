import type { Clock } from '../../base/clock.ts'
import { CopyPace, type CopyUrgency, type ForegroundUse } from '../core/copy-pace.ts'
import type { FileSystem } from './files.ts'

/**
 * The disk operations of copies on one volume, started as {@link CopyPace} says. Each volume has its own, so that a disk that
 * hangs keeps nobody from the others. An operation in the lane waits for the disk only, never for another one in the lane.
 */
export class CopyLane {
  readonly #clock: Clock
  readonly #pace: CopyPace<() => Promise<void>>

  constructor(clock: Clock, foreground: ForegroundUse) {
    this.#clock = clock
    this.#pace = new CopyPace(foreground)
  }

  /** Runs `operate` when its turn comes. */
  run<T>(urgency: CopyUrgency, operate: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pace.ask(urgency, () => operate().then(resolve, reject))
      this.#start()
    })
  }

  /** `disk`, with what may take long in the lane. */
  files(disk: FileSystem, urgency: CopyUrgency): FileSystem {
    const paced = <T>(operate: () => Promise<T>): Promise<T> => this.run(urgency, operate)
    return {
      openFile: (path, flags) => paced(() => disk.openFile(path, flags)),
      closeFile: (descriptor) => disk.closeFile(descriptor),
      closeSmallFile: (descriptor) => disk.closeSmallFile(descriptor),
      syncFile: (descriptor) => paced(() => disk.syncFile(descriptor)),
      syncFileData: (descriptor) => paced(() => disk.syncFileData(descriptor)),
      renameFile: (source, target) => disk.renameFile(source, target),
      truncateFile: (descriptor, length) => paced(() => disk.truncateFile(descriptor, length)),
      removeFile: (path) => disk.removeFile(path),
      makeDirectory: (path) => disk.makeDirectory(path),
      listDirectory: (path) => disk.listDirectory(path),
      fileBytes: (descriptor) => disk.fileBytes(descriptor),
      fileModifiedAt: (descriptor) => disk.fileModifiedAt(descriptor),
      touchFile: (path, atMs) => disk.touchFile(path, atMs),
      pathBytes: (path) => disk.pathBytes(path),
      spaceOf: (path) => disk.spaceOf(path),
      writeAt: async (file, bytes, position) => {
        let done = 0
        while (done < bytes.length) {
          const piece = bytes.subarray(done, done + this.#pieceBytes())
          const at = position + done
          await paced(() => disk.writeAt(file, piece, at))
          done += piece.length
        }
      },
      readAt: async (file, target, position) => {
        let done = 0
        while (done < target.length) {
          const piece = target.subarray(done, done + this.#pieceBytes())
          const at = position + done
          const read = await paced(() => disk.readAt(file, piece, at))
          done += read
          if (read < piece.length) break
        }
        return done
      },
    }
  }

  #pieceBytes(): number {
    return this.#pace.pieceBytes(this.#clock.monotonic())
  }

  #start(): void {
    const now = this.#clock.monotonic()
    for (let next = this.#pace.next(now); next !== undefined; next = this.#pace.next(now)) {
      const { urgency, operation } = next
      const ended = (): void => {
        this.#pace.ended(urgency)
        this.#start()
      }
      operation().then(ended, ended)
    }
  }
}
