import t from 'tap'
import { copyPaceLimits, ForegroundUse } from '../../../datanode/core/copy-pace.ts'
import { CopyLane } from '../../../datanode/shell/copy-lane.ts'
import type { FileSystem } from '../../../datanode/shell/files.ts'

const { pieceBytesBusy } = copyPaceLimits
const length = 2 * pieceBytesBusy + 1000

/** A disk that notes where and how much is read and written; its file has `fileBytes` bytes. */
function laneOn(isBusy: boolean, fileBytes = length) {
  const seen: [number, number][] = []
  const disk: Partial<FileSystem> = {
    writeAt: async (_file, bytes, position) => {
      seen.push([position, bytes.length])
    },
    readAt: async (_file, target, position) => {
      seen.push([position, target.length])
      return Math.max(0, Math.min(target.length, fileBytes - position))
    },
  }
  const foreground = new ForegroundUse()
  if (isBusy) foreground.used(0)
  const lane = new CopyLane({ monotonic: () => 0 } as never, foreground)
  return { files: lane.files(disk as FileSystem, 'urgent'), seen }
}

const pieces = [
  [4096, pieceBytesBusy],
  [4096 + pieceBytesBusy, pieceBytesBusy],
  [4096 + 2 * pieceBytesBusy, 1000],
]

t.test('copies read and write in pieces while a client is there', async (t) => {
  const write = laneOn(true)
  await write.files.writeAt(1, Buffer.alloc(length), 4096)
  t.same(write.seen, pieces)
  const read = laneOn(true, 4096 + length)
  t.equal(await read.files.readAt(1, Buffer.alloc(length), 4096), length)
  t.same(read.seen, pieces)
})

t.test('a read that ends early says how much there was', async (t) => {
  const { files, seen } = laneOn(true, pieceBytesBusy + 10)
  t.equal(await files.readAt(1, Buffer.alloc(length), 0), pieceBytesBusy + 10)
  t.equal(seen.length, 2)
})

t.test('without clients nothing is cut', async (t) => {
  const { files, seen } = laneOn(false)
  await files.writeAt(1, Buffer.alloc(length), 0)
  t.same(seen, [[0, length]])
})
