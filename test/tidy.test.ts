/** House rules as a test: layering, no cycles, no dead files, names, documents in step with the code. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { errorsMarkdown } from '../ops/errors-markdown.ts'
import { errorTable } from '../protocol/errors.ts'
import { productVersion } from '../protocol/product.ts'
import { repositoryRoot } from './support/repository.ts'

const roots = [
  'base',
  'protocol',
  'transport',
  'namenode',
  'datanode',
  'client',
  'fuse',
  'ops',
  'test',
]

/** Files under a folder of the repository, relative to its root. */
function filesUnder(folder: string, ending: string): string[] {
  const absolute = join(repositoryRoot, folder)
  if (!existsSync(absolute)) return []
  return readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(repositoryRoot, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('node_modules') && !file.includes('.tap'))
}

const sources = roots.flatMap((root) => [...filesUnder(root, '.ts'), ...filesUnder(root, '.tsx')])
const textByFile = new Map(
  sources.map((file) => [file, readFileSync(join(repositoryRoot, file), 'utf8')]),
)

interface Import {
  readonly from: string
  /** Repository path for relative imports, the specifier otherwise. */
  readonly to: string
  readonly isLocal: boolean
  readonly isTypeOnly: boolean
}

function importsOf(file: string, text: string): Import[] {
  const { importedFiles } = ts.preProcessFile(text, true, true)
  return importedFiles.map(({ fileName, pos }) => {
    const lineStart = text.lastIndexOf('\nimport', pos)
    const statement = text.slice(Math.max(lineStart, 0), pos)
    const isLocal = fileName.startsWith('.')
    return {
      from: file,
      to: isLocal
        ? relative(repositoryRoot, resolve(repositoryRoot, dirname(file), fileName))
        : fileName,
      isLocal,
      isTypeOnly: /^\s*import type\b/.test(statement),
    }
  })
}

const imports = [...textByFile].flatMap(([file, text]) => importsOf(file, text))

/** The layer of a file: `base`, `namenode/core`, `client/cli`, … */
function layerOf(file: string): string {
  const [top = '', second = ''] = file.split('/')
  if (['namenode', 'datanode'].includes(top)) {
    return ['core', 'format', 'shell'].includes(second) ? `${top}/${second}` : `${top}/main`
  }
  if (file.startsWith('client/gateway/page/')) return 'page'
  if (file === 'client/gateway/api/views.ts') return 'page/views'
  if (top === 'client')
    return ['core', 'cli', 'gateway'].includes(second) ? `${top}/${second}` : top
  return top
}

const roles = ['namenode', 'datanode'] as const
const shellLayers = roles.flatMap((role) => [`${role}/shell`, `${role}/main`])

/** Layers each layer may import, beside itself. */
const allowed = new Map<string, readonly string[]>([
  ['base', []],
  ['protocol', ['base']],
  ['transport', ['base', 'protocol']],
  ...roles.flatMap((role): [string, readonly string[]][] => {
    const own = ['core', 'format', 'shell', 'main'].map((part) => `${role}/${part}`)
    return [
      [`${role}/core`, ['base', 'protocol']],
      [`${role}/format`, ['base', 'protocol', `${role}/core`]],
      [`${role}/shell`, ['base', 'protocol', 'transport', ...own]],
      [`${role}/main`, ['base', 'protocol', 'transport', ...own]],
    ]
  }),
  ['client/core', ['base', 'protocol']],
  ['client', ['base', 'protocol', 'transport', 'client/core']],
  [
    'client/cli',
    ['base', 'protocol', 'transport', 'client', 'client/gateway', 'fuse', 'ops', ...shellLayers],
  ],
  ['client/gateway', ['base', 'protocol', 'transport', 'client', 'page/views']],
  ['page', ['page/views']],
  ['page/views', []],
  ['fuse', ['base', 'protocol', 'transport', 'client']],
  [
    'ops',
    [
      'base',
      'protocol',
      'transport',
      'client',
      'namenode/format',
      'datanode/format',
      ...shellLayers,
    ],
  ],
])

const withoutNodeOrNpm = new Set([
  'protocol',
  'namenode/core',
  'datanode/core',
  'client/core',
  'namenode/format',
  'datanode/format',
])
const baseFilesWithImports = new Set(['base/system.ts', 'base/checksum.ts'])

/** npm packages that enter through exactly one file (or folder ending in `/`) each. */
const doors = new Map<string, readonly string[]>([
  ['sqlite3', ['namenode/shell/sqlite-connection.ts']],
  ['@node-rs/crc32', ['base/checksum.ts']],
  ['xxhash-wasm', ['base/checksum.ts']],
  ['pino', ['transport/logger.ts']],
  ['valibot', ['transport/config-file.ts']],
  ['fuse-native', ['fuse/']],
  ['preact', ['client/gateway/page/']],
  ['preact/hooks', ['client/gateway/page/']],
])

t.test('every import stays within the layers that may know each other', async (t) => {
  for (const { from, to, isLocal } of imports) {
    if (!isLocal || from.startsWith('test/')) continue
    t.notOk(to.startsWith('test/'), `${from} imports ${to}: nothing imports test`)
    const layer = layerOf(from)
    const target = layerOf(to)
    if (target === layer) continue
    const permitted = allowed.get(layer) ?? []
    if (!permitted.includes(target)) t.fail(`${from} (${layer}) may not import ${to} (${target})`)
  }
})

t.test('outside code reaches the client through its one door', async (t) => {
  for (const { from, to } of imports) {
    const isOutside = ['client/cli', 'client/gateway', 'fuse', 'ops'].includes(layerOf(from))
    if (isOutside && layerOf(to) === 'client' && to !== 'client/index.ts') {
      t.fail(`${from} imports ${to}: use client/index.ts`)
    }
  }
})

t.test('pure layers import neither node: modules nor npm packages', async (t) => {
  for (const { from, to, isLocal } of imports) {
    const layer = layerOf(from)
    const isPure =
      withoutNodeOrNpm.has(layer) || (layer === 'base' && !baseFilesWithImports.has(from))
    if (isPure && !isLocal) t.fail(`${from} imports ${to}`)
    const isCore = layer.endsWith('/core')
    if (isCore && baseFilesWithImports.has(to))
      t.fail(`${from} imports ${to}: a core gets these injected`)
  }
})

t.test('each npm package enters through its one file', async (t) => {
  for (const { from, to } of imports) {
    const permitted = doors.get(to)
    if (permitted === undefined || from.startsWith('test/')) continue
    if (!permitted.some((door) => from === door || (door.endsWith('/') && from.startsWith(door)))) {
      t.fail(`${from} imports ${to}, which belongs to ${permitted.join(', ')}`)
    }
  }
})

t.test('files do not import each other in circles', async (t) => {
  const edges = new Map<string, string[]>()
  for (const { from, to, isLocal, isTypeOnly } of imports) {
    if (isLocal && !isTypeOnly) edges.set(from, [...(edges.get(from) ?? []), to])
  }
  const state = new Map<string, 'visiting' | 'done'>()
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'visiting') {
      t.fail(`import cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
      return
    }
    state.set(file, 'visiting')
    for (const next of edges.get(file) ?? []) visit(next, [...path, file])
    state.set(file, 'done')
  }
  for (const file of sources) visit(file, [])
})

t.test('every file is reached from somewhere', async (t) => {
  const imported = new Set(imports.map(({ to }) => to))
  const isEntry = (file: string): boolean =>
    file.endsWith('.test.ts') ||
    file.endsWith('.d.ts') ||
    file.startsWith('ops/bench/') ||
    file.startsWith('test/interop/') ||
    file.startsWith('test/process/') ||
    [
      'client/cli/main.ts',
      'client/gateway/page/main.tsx',
      'client/index.ts',
      'test/sim/mutants.ts',
      'test/sim/seed-worker.ts',
      'test/sim/sim.ts',
      'ops/demo.ts',
      'ops/docs.ts',
      'ops/screenshots.ts',
    ].includes(file)
  for (const file of sources) {
    if (!imported.has(file) && !isEntry(file)) t.fail(`${file} is imported by nothing`)
  }
})

t.test('names and texts follow the house style', async (t) => {
  for (const [file, text] of textByFile) {
    if (!/^[a-z0-9./-]+$/.test(file)) t.fail(`${file}: file names are kebab-case`)
    if (/\b(FIXME|XXX)\b/.test(text) && file !== 'test/tidy.test.ts')
      t.fail(`${file}: unfinished business`)
    if (
      file.endsWith('.test.ts') &&
      /\bt\.only\(|\.only\(/.test(text) &&
      file !== 'test/tidy.test.ts'
    ) {
      t.fail(`${file}: a bare .only`)
    }
    if (/\b(utils|helpers|common|misc)\.ts$/.test(file)) t.fail(`${file}: name what is inside`)
  }
  t.ok(filesUnder('base', '.ts').length <= 12, 'base stays small')
})

t.test('files of core, format and protocol open with what they are', async (t) => {
  for (const [file, text] of textByFile) {
    const layer = layerOf(file)
    if (layer !== 'protocol' && !layer.endsWith('/core') && !layer.endsWith('/format')) continue
    if (!text.startsWith('/**')) t.fail(`${file} must open with a comment saying what it is`)
  }
})

t.test('daemons call themselves by the version of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')) as {
    version: string
  }
  t.equal(productVersion, version)
})

t.test('each markdown file has one title', async (t) => {
  const pages = [
    ...filesUnder('docs', '.md'),
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
  ]
  for (const page of pages) {
    const text = readFileSync(join(repositoryRoot, page), 'utf8').replaceAll(
      /^```[\s\S]*?^```/gm,
      '',
    )
    t.equal(text.match(/^# /gm)?.length ?? 0, 1, `${page} has one H1`)
  }
})

t.test('paths named in the documents exist', async (t) => {
  for (const page of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/INVARIANTS.md']) {
    const text = readFileSync(join(repositoryRoot, page), 'utf8')
    for (const [, path = ''] of text.matchAll(
      /`((?:base|protocol|transport|namenode|datanode|client|fuse|ops|test|docs)\/[\w./-]*)`/g,
    )) {
      t.ok(existsSync(join(repositoryRoot, path)), `${page} names ${path}`)
    }
  }
})

t.test('docs/ERRORS.md is the error table', async (t) => {
  const page = readFileSync(join(repositoryRoot, 'docs/ERRORS.md'), 'utf8')
  t.equal(page, errorsMarkdown(errorTable), 'run `npm run docs` after changing protocol/errors.ts')
})

/** Codes that only other servers send to our client. */
const sentByOthers = new Set(['RETRIABLE', 'STANDBY', 'UNAUTHORIZED'])

t.test('every error code is used by production code and named by a test', async (t) => {
  const production = [...textByFile].filter(
    ([file]) => !file.startsWith('test/') && file !== 'protocol/errors.ts',
  )
  const tests = [...textByFile].filter(([file]) => file.startsWith('test/'))
  for (const code of Object.keys(errorTable)) {
    const quoted = new RegExp(`['"]${code}['"]`)
    t.ok(
      sentByOthers.has(code) || production.some(([, text]) => quoted.test(text)),
      `${code} is used`,
    )
    t.ok(
      tests.some(([, text]) => quoted.test(text)),
      `${code} is provoked by a test`,
    )
  }
})

t.test('every invariant says where it is enforced and tested', async (t) => {
  const page = readFileSync(join(repositoryRoot, 'docs/INVARIANTS.md'), 'utf8')
  const rows = page.split('\n').filter((line) => /^\|\s*[A-Z]\d+\s*\|/.test(line))
  t.ok(rows.length >= 20, 'the invariants are a table')
  const ids = rows.map((line) => line.split('|')[1]?.trim())
  t.same(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
    'every invariant has a number of its own',
  )
  for (const line of rows) {
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
    const [id = '', , enforced = '', tested = ''] = cells
    t.ok(enforced !== '' && tested !== '', `${id} names its enforcement and its test`)
  }
})

t.test('dependencies are those the architecture defends', async (t) => {
  const manifest = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
    optionalDependencies: Record<string, string>
  }
  const page = readFileSync(join(repositoryRoot, 'ARCHITECTURE.md'), 'utf8')
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    t.ok(page.includes(`\`${name}\``), `ARCHITECTURE.md defends ${name}`)
    t.ok(
      imports.some(({ to }) => to === name),
      `${name} is imported`,
    )
  }
})

t.test('generated and fetched things stay out of the repository', async (t) => {
  for (const file of sources)
    t.ok(statSync(join(repositoryRoot, file)).size < 200_000, `${file} is small`)
})
