/** Answers "is what is installed and built still what the sources say?", fast enough to ask every time. */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'

const productFolders = [
  'base',
  'protocol',
  'transport',
  'namenode',
  'datanode',
  'client',
  'fuse',
  'ops',
]
const productFiles = ['package.json', 'package-lock.json', 'tsconfig.json']
const testFolders = ['test']

function* filesUnder(folder) {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesUnder(path)
    else if (entry.isFile()) yield path
  }
}

function digestOf(paths) {
  const hash = createHash('sha256')
  hash.update(process.version)
  for (const path of paths) {
    const { mtimeMs, size } = statSync(path)
    hash.update(`${path}\0${mtimeMs}\0${size}\n`)
  }
  return hash.digest('hex')
}

/** Digests of names, sizes and times: of everything that runs, and of the tests. */
export function fingerprint(root) {
  const under = (folders) => folders.flatMap((folder) => [...filesUnder(join(root, folder))])
  return {
    product: digestOf([
      ...productFiles.map((file) => join(root, file)),
      ...under(productFolders).filter((path) => /\.(tsx?|mjs|css|html)$/.test(path)),
    ]),
    tests: digestOf(under(testFolders)),
  }
}

/** What an installation depends on: the lock file, and the machine that native packages were chosen for. */
export function installKey(root) {
  const hash = createHash('sha256')
  hash.update(readFileSync(join(root, 'package-lock.json')))
  hash.update(`${process.platform} ${process.arch} ${process.versions.modules}`)
  return hash.digest('hex')
}

/** True when node_modules, however it came to be, holds what the lock file lists. */
export function installedMatchesLock(root) {
  const installedFile = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installedFile)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true
    const found = installed[path]
    if (found === undefined) return entry.optional === true || entry.devOptional === true
    return found.version === entry.version && found.integrity === entry.integrity
  })
}

/**
 * Removes compiled files whose source is gone, so that deleted tests do not run on, and copies the
 * fixtures that tests read relative to themselves.
 */
export function pruneOutputs(root, dist) {
  const bundles = [join(dist, 'bin'), join(dist, 'page')]
  for (const path of [...filesUnder(dist)]) {
    if (bundles.some((bundle) => path.startsWith(bundle)) || !/\.(js|d\.ts)(\.map)?$/.test(path))
      continue
    const source = path.replace(/\.(js|d\.ts)(\.map)?$/, '.ts')
    if (!existsSync(join(root, relative(dist, source)))) rmSync(path)
  }
  for (const path of filesUnder(join(root, 'test'))) {
    if (!path.includes('/fixtures/')) continue
    cpSync(path, join(dist, relative(root, path)), { preserveTimestamps: true })
  }
}
