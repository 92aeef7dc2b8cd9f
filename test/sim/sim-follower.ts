import { isDfsError } from '../../protocol/errors.ts'
import type { SimConfig } from './config.ts'
import { contentLength } from './content.ts'
import type { FileSystemModel, Finding } from './model.ts'
import { SimClient } from './sim-client.ts'
import { readOpenFile } from './sim-files.ts'

export interface FollowerParts {
  readonly model: FileSystemModel
  readonly config: SimConfig
  readonly witness: {
    readonly violation: (message: string) => void
    readonly trace: (what: string) => void
  }
}

/**
 * Reads a file again and again from another client while `writer` writes it, the open block as far as a datanode says:
 * what had been flushed before a look must be in it. Returns how to end that.
 */
export function followFile(writer: SimClient, path: string, parts: FollowerParts): () => void {
  if (parts.config.followEveryMs === 0) return () => undefined
  const { world, life, clientName, prng } = writer
  const reader = new SimClient(world, `${clientName}-reader`, prng.next())
  const forget = life.onDeath(() => {
    reader.life.kill()
  })
  void lookAgain(reader, path, parts)
  return () => {
    forget()
    reader.life.kill()
  }
}

async function lookAgain(
  reader: SimClient,
  path: string,
  { model, config, witness }: FollowerParts,
): Promise<void> {
  for (;;) {
    await reader.pause(1 + reader.prng.below(2 * config.followEveryMs))
    const before = model.snapshot(path)
    let finding: Finding
    try {
      finding = { kind: 'file', ...(await readOpenFile(reader, path)), reachesEnd: true }
    } catch (error) {
      if (!isDfsError(error)) throw error
      witness.trace(`follow-failed ${path} ${error.code}`)
      continue
    }
    const wrong = model.glance(path, finding, before)
    witness.trace(`follow ${path} ${contentLength(finding.content)}`)
    if (wrong !== undefined) witness.violation(`reader that follows ${wrong}`)
  }
}
