import { crc32 as nativeCrc32, crc32c as nativeCrc32c } from '@node-rs/crc32'
import xxhash from 'xxhash-wasm'

const xx = await xxhash()

/** CRC-32C (Castagnoli) of `data`, continuing from `initial`; an unsigned 32-bit number. */
export function crc32c(data: Uint8Array, initial = 0): number {
  return nativeCrc32c(data, initial)
}

/** CRC-32 (zlib) of `data`, continuing from `initial`; an unsigned 32-bit number. */
export function crc32(data: Uint8Array, initial = 0): number {
  return nativeCrc32(data, initial)
}

/** XXH64 of `data` with seed 0. A bigint, because all 64 bits count. */
export function xxh64(data: Uint8Array): bigint {
  return xx.h64Raw(data)
}

/** Streaming XXH64; `digest` may be called once, after the last `update`. */
export interface StreamingXxh64 {
  update(data: Uint8Array): void
  digest(): bigint
}

/** Starts a streaming XXH64 with seed 0. */
export function createXxh64(): StreamingXxh64 {
  const state = xx.create64()
  return {
    update(data) {
      state.update(data)
    },
    digest: () => state.digest(),
  }
}
