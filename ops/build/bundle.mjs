/**
 * Bundles the `dfs` command: `bundle.mjs DIST` writes DIST/bin/dfs.js and its chunks. One entry, split
 * at every dynamic import, so that `dfs ls` loads its own few chunks and no daemon; packages stay outside
 * and load with the chunk that needs them.
 */
import { chmodSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const staleChunkAgeMs = 24 * 60 * 60 * 1000

const root = fileURLToPath(new URL('../..', import.meta.url))
const outdir = join(process.argv[2] ?? join(root, 'dist'), 'bin')

const options = {
  absWorkingDir: root,
  entryPoints: { dfs: 'client/cli/main.ts' },
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  chunkNames: 'chunks/[name]-[hash]',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
}
// esbuild has printed what is wrong; its exception would only repeat it.
const { metafile } = await build(options).catch(() => process.exit(1))
chmodSync(join(outdir, 'dfs.js'), 0o755)

// A daemon that runs since before this build still imports its own chunks lazily: those stay for a day.
const chunks = join(outdir, 'chunks')
const current = new Set(Object.keys(metafile.outputs).map((path) => join(root, path)))
for (const name of existsSync(chunks) ? readdirSync(chunks) : []) {
  const path = join(chunks, name)
  const ageMs = Date.now() - statSync(path).mtimeMs
  if (!current.has(path) && ageMs > staleChunkAgeMs) rmSync(path)
}
