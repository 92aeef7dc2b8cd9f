/**
 * The fast suite: format, lint, then every test/**\/*.test.ts as its own process speaking TAP. Unlike
 * tap's runner it starts the compiled files directly (a fifth of the CPU per file) and counts strictly:
 * a file that crashes, times out or runs nothing has failed.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Parser } from 'tap-parser'

const jobs = 2
/** A whole test file; single tests have their own, shorter limits. */
const fileLimitMs = 300_000
const exclusiveFileLimitMs = 900_000
const killGraceMs = 5_000
const stillRunningMs = 60_000
/** From a file's last test to the end of its process; what holds it longer is a leak. */
const exitLimitMs = 10_000
const stderrCharactersShown = 8_000

/** Tests that measure real time or load the whole machine: they run alone, after the others. */
const exclusive = ['test/process/', 'test/ops/', 'test/interop/', 'test/fuse/']

function isExclusive(source) {
  return exclusive.some((folder) => source.startsWith(folder))
}

const running = new Set()

/** A test file's process together with the daemons it has started. */
function killGroup(child, signal) {
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const child of running) killGroup(child, signal)
    process.exit(1)
  })
}

function seconds(sinceMs) {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`
}

/** Starts `command`; resolves with how it ended. `onStdout` gets the output as it comes. */
function run(command, args, { cwd, env, limitMs, onStdout, onStart }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.add(child)
    onStart?.(child)
    let stderr = ''
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      killGroup(child, 'SIGTERM')
      setTimeout(() => killGroup(child, 'SIGKILL'), killGraceMs)
    }, limitMs)
    child.stdout.on('data', onStdout)
    child.stderr.on('data', (bytes) => {
      stderr = (stderr + bytes).slice(-stderrCharactersShown)
    })
    child.on('error', (error) => {
      stderr += error.message
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ code, signal, stderr, timedOut })
    })
  })
}

/** Ends a process that lingers after the last test its plan announced; the result says whether it had to. */
function limitExit(parser, child) {
  const state = { lingered: false }
  let planned
  let seen = 0
  let timer
  const check = () => {
    if (planned !== seen || timer !== undefined) return
    timer = setTimeout(() => {
      state.lingered = true
      killGroup(child, 'SIGKILL')
    }, exitLimitMs)
  }
  parser.on('plan', ({ end }) => {
    planned = end
    check()
  })
  parser.on('assert', () => {
    seen += 1
    check()
  })
  child.once('close', () => clearTimeout(timer))
  return state
}

/** Collects the failed leaves of a TAP stream, with the names of the tests around them. */
function watchFailures(parser, names, failures) {
  parser.on('child', (child) => watchFailures(child, [...names, child.name], failures))
  parser.on('assert', ({ ok, name, diag, skip, todo }) => {
    const isParent = diag === null || diag === undefined || Object.keys(diag).length === 0
    if (ok || skip || todo || (isParent && failures.length > 0)) return
    failures.push({ names: [...names, name], diag: diag ?? {} })
  })
}

async function runFile({ root, source, compiled, isCi }) {
  const limitMs = isExclusive(source) ? exclusiveFileLimitMs : fileLimitMs
  const startedMs = performance.now()
  const result = { source, passed: 0, failed: 0, skips: [], problems: [] }
  const failures = []
  let exit = { lingered: false }
  const parser = new Parser()
  watchFailures(parser, [], failures)
  parser.on('assert', ({ ok, name, skip, todo }) => {
    const reason = skip || todo
    if (reason) result.skips.push({ name, reason: String(reason) })
    else if (ok) result.passed += 1
    else result.failed += 1
  })
  const completed = new Promise((resolve) => parser.on('complete', resolve))
  const news = setInterval(() => {
    process.stdout.write(`...   ${source}  still running after ${seconds(startedMs)}\n`)
  }, stillRunningMs)
  const ended = await run(process.execPath, ['--enable-source-maps', compiled], {
    cwd: root,
    env: { ...process.env, TREFOIL_ROOT: root, TAP_TIMEOUT: String(limitMs / 1000) },
    limitMs,
    onStdout: (bytes) => parser.write(bytes),
    onStart: (child) => {
      exit = limitExit(parser, child)
    },
  })
  clearInterval(news)
  parser.end()
  const tap = await completed
  result.problems = failures.map(describeFailure)
  if (isCi) result.failed += result.skips.length
  const ran = result.passed + result.failed + result.skips.length
  const ending = describeEnding({ ...ended, ...exit, limitMs }, tap, ran)
  if (ending !== undefined && result.failed === 0) result.failed = 1
  if (ending !== undefined) {
    result.problems.push(ending, ...(ended.stderr === '' ? [] : [ended.stderr.trimEnd()]))
  }
  report(result, seconds(startedMs))
  return result
}

/** Why the process as a whole counts as failed, whatever its tests said; undefined when it does not. */
function describeEnding({ code, signal, timedOut, lingered, limitMs }, tap, ran) {
  if (lingered) return `had not ended ${exitLimitMs / 1000} s after its last test`
  if (timedOut) return `stopped after ${limitMs / 1000} s`
  if (signal !== null) return `killed by ${signal}`
  if (code !== 0) return `exit status ${code}`
  if (tap.bailout) return `bailed out: ${tap.bailout}`
  if (ran === 0) return 'ran no test'
  if (!tap.ok) return 'the TAP output is incomplete or contradicts itself'
  return undefined
}

function describeFailure({ names, diag }) {
  const { diff, message, at, stack, found, wanted } = diag
  const where = at?.fileName === undefined ? '' : `${at.fileName}:${at.lineNumber}`
  const lines = [names.join(' > '), where, message ?? '', diff ?? '']
  if (diff === undefined && (found !== undefined || wanted !== undefined)) {
    lines.push(`found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`)
  }
  if (message !== undefined || diff === undefined) lines.push(stack ?? '')
  return lines.filter((line) => line !== '').join('\n')
}

function indent(text) {
  return text.replaceAll(/^/gm, '      ')
}

function report({ source, passed, failed, skips, problems }, took) {
  const counts = [`${passed} passed`]
  if (failed > 0) counts.push(`${failed} failed`)
  if (skips.length > 0) counts.push(`${skips.length} skipped`)
  const verdict = failed > 0 ? 'FAIL' : 'ok  '
  process.stdout.write(`${verdict}  ${source}  ${counts.join(', ')}  ${took}\n`)
  for (const problem of problems) process.stdout.write(`${indent(problem)}\n`)
}

/** Runs a tool over the tree as if it were one test. */
async function runCheck(root, source, script, args) {
  const startedMs = performance.now()
  let stdout = ''
  const { code, stderr } = await run(process.execPath, [script, ...args], {
    cwd: root,
    env: process.env,
    limitMs: fileLimitMs,
    onStdout: (bytes) => {
      stdout += bytes
    },
  })
  const isOk = code === 0
  const problems = isOk ? [] : [`${stdout}${stderr}`.trimEnd()]
  const result = { source, passed: isOk ? 1 : 0, failed: isOk ? 0 : 1, skips: [], problems }
  report(result, seconds(startedMs))
  return result
}

function findTests(root, dist, patterns) {
  const folder = join(root, 'test')
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((source) => patterns.length === 0 || patterns.some((part) => source.includes(part)))
    .sort()
    .map((source) => ({ source, compiled: join(dist, source.replace(/\.ts$/, '.js')) }))
}

async function runAll(tests, width, runOne) {
  const results = []
  const queue = [...tests]
  const worker = async () => {
    for (let test = queue.shift(); test !== undefined; test = queue.shift()) {
      results.push(await runOne(test))
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return results
}

function summarize(dist, results, isCi, startedMs) {
  const sum = (count) => results.reduce((total, result) => total + count(result), 0)
  const skips = results.flatMap(({ source, skips }) => skips.map((skip) => ({ source, ...skip })))
  const passed = sum((result) => result.passed)
  const failed = sum((result) => result.failed)
  process.stdout.write('\n')
  for (const { source, name, reason } of skips) {
    process.stdout.write(`skipped: ${source}: ${name}: ${reason}\n`)
  }
  if (isCi && skips.length > 0) process.stdout.write('CI is set: skipped tests count as failed\n')
  for (const { source } of results.filter((result) => result.failed > 0)) {
    process.stdout.write(`failed: ${source}\n`)
  }
  const skipped = isCi ? 0 : skips.length
  writeFileSync(
    join(dist, 'test-summary.json'),
    `${JSON.stringify({ passed, failed, skipped, skips })}\n`,
  )
  process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped in `)
  process.stdout.write(`${results.length} files and checks, ${seconds(startedMs)}\n`)
  return failed === 0
}

/** Runs the checks and the tests whose path contains one of `patterns`; true when nothing failed. */
export async function runSuite(root, dist, patterns) {
  const startedMs = performance.now()
  const isCi = process.env['CI'] === 'true'
  const tests = findTests(root, dist, patterns)
  const missing = tests.find(({ compiled }) => !existsSync(compiled))
  if (missing !== undefined) throw new Error(`${missing.source} was not compiled`)
  if (tests.length === 0) {
    process.stderr.write(`trefoil: no test file matches ${patterns.join(' ')}\n`)
    return false
  }
  const results = []
  if (patterns.length === 0) {
    results.push({ source: 'types (tsc)', passed: 1, failed: 0, skips: [] })
    const tsc = 'node_modules/typescript/bin/tsc'
    results.push(
      await runCheck(root, 'types of the page (tsc)', tsc, ['-p', 'client/gateway/page']),
    )
    const biome = 'node_modules/@biomejs/biome/bin/biome'
    results.push(await runCheck(root, 'format (biome)', biome, ['ci', '--colors=off', '.']))
    const eslint = 'node_modules/eslint/bin/eslint.js'
    results.push(await runCheck(root, 'lint (eslint)', eslint, ['.']))
  }
  const runOne = (test) => runFile({ root, isCi, ...test })
  const shared = tests.filter(({ source }) => !isExclusive(source))
  const alone = tests.filter(({ source }) => isExclusive(source))
  results.push(...(await runAll(shared, jobs, runOne)))
  results.push(...(await runAll(alone, 1, runOne)))
  return summarize(dist, results, isCi, startedMs)
}
