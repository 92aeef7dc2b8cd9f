/**
 * What `npm start`, `npm test` and the other scripts call: installs and builds what is missing, and
 * only then, prints one line per step, and goes on with the work. Plain JavaScript without
 * dependencies, because on a fresh clone there is nothing else to run.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  fingerprint,
  installedMatchesLock,
  installKey,
  pruneOutputs,
} from './build/fingerprint.mjs'
import { withLock } from './build/lock.mjs'

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const dist = join(root, 'dist')
const installStamp = join(root, 'node_modules', '.trefoil-install')
const buildStamp = join(dist, '.build-stamp.json')

const usage = `usage: node ops/bootstrap.mjs COMMAND [ARGUMENT...]
  start [OPTION...]   install, build, then "dfs up OPTION..."
  test [PATTERN...]   install, build, then every check and test, or only the test files that match
  build               install and build
  run FILE.ts [...]   install, build, then run one program of the tree`

function say(line) {
  process.stdout.write(`trefoil: ${line}\n`)
}

function fail(message, output = '') {
  if (output !== '') process.stderr.write(`${output.trimEnd()}\n`)
  process.stderr.write(`trefoil: ${message}\n`)
  process.exit(1)
}

/** Runs a step to its end; its output is shown only when it fails. */
function step(title, command, args) {
  const startedMs = performance.now()
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (status !== 0) {
    const reason = error === undefined ? `exit status ${status}` : error.message
    fail(`${title} failed (${reason})`, `${stdout ?? ''}${stderr ?? ''}`)
  }
  say(`${title}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
}

function readText(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

function needsInstall() {
  const key = installKey(root)
  if (readText(installStamp) === key) return false
  if (!installedMatchesLock(root)) return true
  writeFileSync(installStamp, key)
  return false
}

function install() {
  const npm = process.env['npm_execpath']
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  if (npm === undefined) step('installed packages (npm ci)', 'npm', args)
  else step('installed packages (npm ci)', process.execPath, [npm, ...args])
  writeFileSync(installStamp, installKey(root))
}

/** `product` leaves the tests out, so that editing a test does not delay `npm start`. */
function isBuilt(scope, current) {
  const text = readText(buildStamp)
  if (text === '') return false
  const stamp = JSON.parse(text)
  return stamp.product === current.product && (scope === 'product' || stamp.tests === current.tests)
}

function build(current) {
  rmSync(buildStamp, { force: true })
  step('compiled (tsc)', process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'])
  pruneOutputs(root, dist)
  step('bundled dist/bin/dfs.js (esbuild)', process.execPath, ['ops/build/bundle.mjs', dist])
  step('built the page (vite)', process.execPath, ['ops/build/page.mjs', dist])
  writeFileSync(buildStamp, JSON.stringify(current))
}

/** Installs and builds what is missing. `scope` is 'product' or 'all'. */
function prepare(scope) {
  if (!needsInstall() && isBuilt(scope, fingerprint(root))) return
  mkdirSync(dist, { recursive: true })
  withLock(join(dist, '.bootstrap.lock'), say, () => {
    if (needsInstall()) install()
    const current = fingerprint(root)
    if (!isBuilt(scope, current)) build(current)
  })
}

/** Continues inside this process as if `file` had been started with `args`: no second Node start-up. */
async function become(file, args) {
  process.argv = [process.argv[0], file, ...args]
  await import(file)
}

async function main([command, ...args]) {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    fail(`Node ${process.versions.node} is too old: Trefoil needs Node 20 or later`)
  }
  switch (command) {
    case 'start':
      prepare('product')
      return await become(join(dist, 'bin/dfs.js'), ['up', ...args])
    case 'build':
      return prepare('all')
    case 'run': {
      const [file, ...rest] = args
      if (file === undefined) break
      prepare('all')
      const compiled = join(dist, file.replace(/\.ts$/, '.js'))
      if (!existsSync(compiled)) fail(`there is no ${file} in this tree`)
      return await become(compiled, rest)
    }
    case 'test': {
      prepare('all')
      const { runSuite } = await import('./build/test-suite.mjs')
      process.exitCode = (await runSuite(root, dist, args)) ? 0 : 1
      return
    }
  }
  process.stderr.write(`${usage}\n`)
  process.exitCode = 2
}

await main(process.argv.slice(2))
