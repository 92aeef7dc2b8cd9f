import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

function findRoot(from: string): string {
  const isRoot = existsSync(join(from, 'biome.json')) && existsSync(join(from, 'tsconfig.json'))
  if (isRoot) return from
  const parent = dirname(from)
  if (parent === from) throw new Error('cannot find the repository root above the compiled tests')
  return findRoot(parent)
}

/** Absolute path of the checkout, wherever the compiled tests lie inside it. */
export const repositoryRoot =
  process.env['TREFOIL_ROOT'] ?? findRoot(dirname(fileURLToPath(import.meta.url)))
