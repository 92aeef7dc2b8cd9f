/** Builds the operators' page: `page.mjs DIST` writes DIST/page, with the hash of its content in each file's name. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const root = fileURLToPath(new URL('../..', import.meta.url))
// Vite would take a relative path from the page's folder.
const dist = resolve(process.argv[2] ?? join(root, 'dist'))

await build({
  root: join(root, 'client/gateway/page'),
  configFile: false,
  logLevel: 'warn',
  // The tree may be mounted read-only but for dist.
  cacheDir: join(dist, '.vite'),
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: join(dist, 'page'),
    emptyOutDir: true,
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // An icon as a data: URL would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
}).catch((error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
