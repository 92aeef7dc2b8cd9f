/** The runner behind `npm test` counts strictly: whatever goes wrong with a test file makes it fail. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { run } from '../support/foreign-program.ts'
import { repositoryRoot } from '../support/repository.ts'

const runner = pathToFileURL(join(repositoryRoot, 'ops/build/test-suite.mjs')).href

const good = `import t from 'tap'
t.test('one', async (t) => { t.ok(true); t.test('inner', async (t) => { t.ok(true) }) })
t.test('two', async (t) => { t.ok(true) })
`

interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  readonly summary: unknown
}

/** Runs the suite over `files`, each the JavaScript of one compiled test. */
async function suite(
  t: Test,
  files: Record<string, string>,
  { ci = '', pattern = 'test/' }: { ci?: string; pattern?: string } = {},
): Promise<Outcome> {
  const root = t.testdir()
  for (const [name, text] of Object.entries(files)) {
    const source = join(root, 'test', `${name}.test.ts`)
    const compiled = join(root, 'dist/test', `${name}.test.js`)
    for (const file of [source, compiled]) mkdirSync(dirname(file), { recursive: true })
    writeFileSync(source, '')
    writeFileSync(compiled, text)
  }
  const script = `
    const { runSuite } = await import(${JSON.stringify(runner)})
    const isGood = await runSuite(${JSON.stringify(root)}, ${JSON.stringify(join(root, 'dist'))}, [${JSON.stringify(pattern)}])
    process.exitCode = isGood ? 0 : 1`
  const ended = await run(process.execPath, ['--input-type=module', '-e', script], {
    env: { CI: ci },
  })
  let summary: unknown
  try {
    summary = JSON.parse(readFileSync(join(root, 'dist/test-summary.json'), 'utf8'))
  } catch {
    summary = undefined
  }
  return { ...ended, summary }
}

t.test('runSuite() counts the tests of all files', async (t) => {
  const { status, stdout, summary } = await suite(t, { 'a/good': good, 'b/good': good })
  t.equal(status, 0, stdout)
  t.match(summary, { passed: 4, failed: 0, skipped: 0 })
  t.match(stdout, /^ok +test\/a\/good\.test\.ts +2 passed/m)
})

t.test('runSuite() fails for files that fail, crash, hang up or run nothing', async (t) => {
  const bad = {
    fails: "import t from 'tap'\nt.test('wrong sum', async (t) => { t.equal(1 + 1, 3) })\n",
    syntax: "import t from 'tap'\nt.test('x', async () => {\n",
    throws: `${good}throw new Error('at the top')\n`,
    exits: `${good}setTimeout(() => process.exit(3), 20)\nt.test('later', () => new Promise(() => {}))\n`,
    killed: `${good}process.kill(process.pid, 'SIGKILL')\n`,
    quits: 'process.exit(0)\n',
    empty: '',
    lingers: `${good}process.on('exit', () => { for (;;); })\n`,
  }
  const { status, stdout, summary } = await suite(t, { ...bad, good })
  t.equal(status, 1)
  for (const name of Object.keys(bad)) {
    t.match(stdout, new RegExp(`^FAIL +test/${name}\\.test\\.ts`, 'm'))
  }
  t.match(stdout, /^ok +test\/good\.test\.ts/m, 'the good one is still good')
  const { failed } = summary as { failed: number }
  t.equal(failed, Object.keys(bad).length)
  t.match(stdout, /wrong sum > should be equal[^]*-3\n[^]*\+2/, 'it shows what differs')
})

t.test('runSuite() lists skips with their reason, and fails for them under CI', async (t) => {
  const skipping = `${good}t.test('needs rclone', { skip: 'apt-get install rclone' }, async () => {})\n`
  const { status, stdout, summary } = await suite(t, { skipping })
  t.equal(status, 0)
  t.match(summary, { passed: 2, failed: 0, skipped: 1 })
  t.match(stdout, 'skipped: test/skipping.test.ts: needs rclone: apt-get install rclone')
  const strict = await suite(t, { skipping }, { ci: 'true' })
  t.equal(strict.status, 1)
  t.match(strict.summary, { passed: 2, failed: 1 })
})

t.test('runSuite() fails when there is nothing to run', async (t) => {
  const { status, stderr } = await suite(t, { good }, { pattern: 'no-such-test' })
  t.equal(status, 1)
  t.match(stderr, /no test file matches no-such-test/)
})
