import { Operator } from '../../client/index.ts'
import type { OperatorMethod, OperatorReply, OperatorRequest } from '../../client/operator.ts'
import { DfsError } from '../../protocol/errors.ts'

type Answers = {
  [N in OperatorMethod]?: (request: OperatorRequest<N>) => OperatorReply<N>
}

/** The SDK's operator over answers that a test gives; methods without one are refused as Apache's namenode would. */
export class FakeOperator {
  answers: Answers = {}
  readonly operator: Operator

  constructor() {
    const callService = (_service: unknown, method: string, request: unknown): Promise<unknown> => {
      const answer = (this.answers as Record<string, ((request: unknown) => unknown) | undefined>)[
        method
      ]
      if (answer === undefined) {
        const message = `Unknown protocol: no answer to ${method}`
        return Promise.reject(new DfsError('NO_SUCH_PROTOCOL', message))
      }
      return new Promise((resolve) => {
        resolve(answer(request))
      })
    }
    this.operator = new Operator({ namenode: { callService } as never })
  }
}
