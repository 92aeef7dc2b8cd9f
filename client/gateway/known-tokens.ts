import type { Token, TokenStore } from './tokens.ts'

/** How old what is known may be: a token counts, and a revoked one stops counting, within this time. */
const maxAgeMs = 1_000

/** The tokens as a gateway knows them. Their files never change, so each is read once. */
export class KnownTokens {
  readonly #store: Pick<TokenStore, 'ids' | 'read'>
  /** Damaged ones have no token: they let nobody in, and still make tokens mandatory. */
  #tokens = new Map<string, Token | undefined>()
  #refreshedAtMs = Number.NEGATIVE_INFINITY
  #refreshing: Promise<void> | undefined

  constructor(store: Pick<TokenStore, 'ids' | 'read'>) {
    this.#store = store
  }

  /** All tokens by id. Fails when they cannot be read: nobody is let in on old knowledge. */
  async all(): Promise<ReadonlyMap<string, Token | undefined>> {
    if (performance.now() - this.#refreshedAtMs > maxAgeMs) {
      this.#refreshing ??= this.#refresh().finally(() => {
        this.#refreshing = undefined
      })
      await this.#refreshing
    }
    return this.#tokens
  }

  async #refresh(): Promise<void> {
    const startedAtMs = performance.now()
    const tokens = new Map<string, Token | undefined>()
    for (const id of await this.#store.ids()) {
      const token = this.#tokens.get(id) ?? (await this.#store.read(id).catch(() => undefined))
      tokens.set(id, token)
    }
    this.#tokens = tokens
    this.#refreshedAtMs = startedAtMs
  }
}
