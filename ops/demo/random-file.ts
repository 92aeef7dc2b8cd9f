import { open } from 'node:fs/promises'

/**
 * Writes `length` bytes that do not compress and do not repeat within 4 GiB to `path`; the same length
 * and seed always give the same bytes.
 */
export async function writeRandomFile(path: string, length: number, seed = 1): Promise<void> {
  const words = new Uint32Array(1 << 18)
  const bytes = new Uint8Array(words.buffer)
  const file = await open(path, 'w')
  try {
    let state = (seed * 2654435761) >>> 0
    for (let written = 0; written < length; written += bytes.length) {
      for (let index = 0; index < words.length; index += 1) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        words[index] = state ^ (state >>> 15)
      }
      await file.write(bytes, 0, Math.min(bytes.length, length - written))
    }
  } finally {
    await file.close()
  }
}
