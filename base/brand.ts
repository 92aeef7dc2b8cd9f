declare const brandName: unique symbol

/** A primitive with a name that the compiler keeps apart from other primitives. */
export type Brand<T, Name extends string> = T & { readonly [brandName]: Name }

/** Milliseconds, either of the wall clock since the epoch or of a monotonic clock; the name of the value says which. */
export type Millis = Brand<number, 'Millis'>

/** Wraps a number of milliseconds. */
export function millis(value: number): Millis {
  return value as Millis
}
