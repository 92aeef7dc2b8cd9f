import { LaunchError } from './launch-error.ts'
import { findListener, isPortFree, pickFreePort, processText } from './processes.ts'

/** A port that the cluster is to listen on. */
export interface WantedPort {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** The option that changes it. */
  readonly option: string
}

/**
 * The port itself when nobody listens there, a free one for 0.
 *
 * @throws LaunchError naming the process that has it
 */
export async function claimPort({ host, port, option }: WantedPort): Promise<number> {
  if (port === 0) return await pickFreePort(host)
  if (await isPortFree(host, port)) return port
  const holder = findListener(port)
  const who = holder === undefined ? 'a process of another user' : processText(holder)
  throw new LaunchError(
    `port ${port} on ${host} is taken by ${who}; stop it, or choose another port with ${option} (0 picks one)`,
  )
}
