import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Prng } from '../base/prng.ts'
import { type ErrorCode, isDfsError } from '../protocol/errors.ts'
import type { EncodableRequestOf, MethodsOf, ResponseOf, Service } from '../protocol/message.ts'
import { clientNamenodeProtocol } from '../protocol/messages/client-namenode.ts'
import type { RpcClient } from '../transport/rpc-client.ts'
import { pause, throwIfAborted } from './abort.ts'
import { decideCallRetry, type RetryPolicy } from './core/retry.ts'
import { refine } from './errors.ts'
import { codeOf, type ReportEvent } from './events.ts'

type Protocol = typeof clientNamenodeProtocol

/** Name of a ClientProtocol method. */
export type NamenodeMethod = keyof MethodsOf<Protocol>
/** What `method` takes. */
export type NamenodeRequest<N extends NamenodeMethod> = EncodableRequestOf<Protocol, N>
/** What `method` answers. */
export type NamenodeReply<N extends NamenodeMethod> = ResponseOf<Protocol, N>

/** Options of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Replaces the proxy's policy where the caller has its own idea of patience. */
  readonly policy?: RetryPolicy
}

/** Parts of a {@link NamenodeProxy}. */
export interface NamenodeProxyOptions {
  readonly rpc: RpcClient
  readonly policy: RetryPolicy
  readonly clock: Clock
  readonly prng: Prng
  readonly logger: Logger
  readonly report: ReportEvent
}

/**
 * ClientProtocol with the patience a file system needs: calls that got lost, or that the namenode put
 * off, are repeated until the policy's time is over, so a restart of the namenode is a pause.
 *
 * Every repetition carries the call id of the first attempt and a higher retry count. The namenode's retry
 * cache answers repeated at-most-once calls (HDFS: RetryCache) from memory, so nothing happens twice.
 */
export class NamenodeProxy {
  readonly #options: NamenodeProxyOptions

  constructor(options: NamenodeProxyOptions) {
    this.#options = options
  }

  /**
   * Calls `method`.
   *
   * @throws {@link DfsError} whatever the namenode answers, or the last error when patience is over
   */
  call<N extends NamenodeMethod>(
    method: N,
    request: NamenodeRequest<N>,
    options: CallOptions = {},
  ): Promise<NamenodeReply<N>> {
    return this.callService(clientNamenodeProtocol, method, request, options)
  }

  /** As {@link call}, of a method of another protocol that the namenode serves. */
  async callService<M, N extends keyof MethodsOf<Service<M>> & string>(
    service: Service<M>,
    method: N,
    request: EncodableRequestOf<Service<M>, N>,
    options: CallOptions = {},
  ): Promise<ResponseOf<Service<M>, N>> {
    const { rpc, clock } = this.#options
    const { signal } = options
    throwIfAborted(signal)
    const startedAt = clock.monotonic()
    const callId = rpc.nextCallId()
    for (let attempt = 1; ; attempt += 1) {
      try {
        const reply = await rpc.call(service, method, request, {
          ...(signal === undefined ? {} : { signal }),
          retry: { callId, retryCount: attempt - 1 },
        })
        this.#ended(method, startedAt, attempt, undefined)
        return reply
      } catch (error) {
        await this.#waitToRetry(method, error, attempt, startedAt, options).catch(
          (last: unknown) => {
            this.#ended(method, startedAt, attempt, codeOf(last))
            throw last
          },
        )
      }
    }
  }

  /** Closes the connection; calls in flight fail. */
  close(): void {
    this.#options.rpc.close()
  }

  #ended(method: string, startedAt: number, attempts: number, code: ErrorCode | undefined): void {
    const { clock, report } = this.#options
    const durationMs = clock.monotonic() - startedAt
    report({ kind: 'namenode-call', method, durationMs, attempts, code })
  }

  /** Returns when the call may be repeated; throws the error when it may not. */
  async #waitToRetry(
    method: string,
    error: unknown,
    attempt: number,
    startedAt: number,
    { signal, policy = this.#options.policy }: CallOptions,
  ): Promise<void> {
    if (!isDfsError(error)) throw error
    const refined = refine(error)
    const decision = decideCallRetry(
      {
        code: refined.code,
        attempt,
        elapsedMs: this.#options.clock.monotonic() - startedAt,
        jitterPermille: this.#options.prng.below(1000),
      },
      policy,
    )
    if (decision.kind !== 'retry' || signal?.aborted === true) throw refined
    this.#options.logger.debug('namenode-call-retry', { method, attempt, code: refined.code })
    await pause(decision.delayMs, signal)
  }
}
