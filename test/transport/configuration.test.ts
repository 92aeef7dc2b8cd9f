import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { defaultSettings } from '../../protocol/settings.ts'
import { loadOverrides, loadSettings, parseSettings } from '../../transport/config-file.ts'
import { createLogger } from '../../transport/logger.ts'

t.test('loadSettings() without sources gives the defaults', async (t) => {
  t.same(await loadSettings(), defaultSettings)
  t.equal(defaultSettings['dfs.replication'], 3)
})

t.test('loadSettings() reads a file, and overrides win over it', async (t) => {
  const file = join(t.testdir(), 'trefoil.json')
  writeFileSync(
    file,
    JSON.stringify({
      'dfs.replication': 2,
      'dfs.datanode.direct-io': false,
      'fs.defaultFS': 'hdfs://a:1',
    }),
  )
  const settings = await loadSettings({
    file,
    overrides: ['dfs.replication=1', 'fs.defaultFS=hdfs://b=c:2'],
  })
  t.match(settings, {
    'dfs.replication': 1,
    'dfs.datanode.direct-io': false,
    'fs.defaultFS': 'hdfs://b=c:2',
    'dfs.heartbeat.interval': 1000,
  })
  const only = await loadOverrides({
    file: undefined,
    assignments: ['dfs.datanode.direct-io=true'],
  })
  t.same(only, { 'dfs.datanode.direct-io': true })
})

t.test('what is wrong with a configuration is said with name, need and value', async (t) => {
  const folder = t.testdir({
    'typo.json': '{"dfs.replicaton": 2}',
    'alien.json': '{"colour": 2}',
    'kinds.json': '{"dfs.replication": "3", "dfs.datanode.direct-io": 1, "fs.defaultFS": 5}',
    'list.json': '[]',
    'broken.json': '{"dfs.replication": 2',
  })
  const cases: [string, string, RegExp][] = [
    [
      'typo.json',
      'INVALID_ARGUMENT',
      /Unknown setting "dfs\.replicaton"; did you mean "dfs\.replication"\?$/,
    ],
    ['alien.json', 'INVALID_ARGUMENT', /Unknown setting "colour"$/],
    [
      'kinds.json',
      'INVALID_ARGUMENT',
      /dfs\.replication must be an integer of at least 1, got "3"/,
    ],
    [
      'kinds.json',
      'INVALID_ARGUMENT',
      /fs\.defaultFS must be a string, got 5; .*direct-io must be true or false, got 1/,
    ],
    ['list.json', 'INVALID_ARGUMENT', /one JSON object/],
    ['broken.json', 'INVALID_ARGUMENT', /broken\.json" is not JSON/],
    ['none.json', 'FILE_NOT_FOUND', /none\.json": ENOENT/],
  ]
  for (const [name, code, message] of cases) {
    await t.rejects(loadSettings({ file: join(folder, name) }), { code, message }, name)
  }
  for (const [assignment, message] of [
    ['dfs.replication', '--set needs KEY=VALUE, got "dfs.replication"'],
    ['=1', '--set needs KEY=VALUE, got "=1"'],
    ['dfs.replication=0', '--set: dfs.replication must be an integer of at least 1, got 0'],
    ['dfs.replication=many', '--set: dfs.replication must be an integer of at least 1, got "many"'],
    ['dfs.replication=99999999999999999', /must be an integer/],
    [
      'dfs.datanode.direct-io=yes',
      '--set: dfs.datanode.direct-io must be true or false, got "yes"',
    ],
    ['constructor=1', '--set: Unknown setting "constructor"'],
  ] as const) {
    await t.rejects(loadSettings({ overrides: [assignment] }), {
      code: 'INVALID_ARGUMENT',
      message,
    })
  }
  t.throws(() => parseSettings(null, 'Here'), {
    message: 'Here must hold one JSON object of settings',
  })
})

t.test('createLogger() writes one JSON line per event', async (t) => {
  const lines: string[] = []
  const sink = { write: (line: string): void => void lines.push(line) }
  const logger = createLogger({ role: 'namenode', sink })
  logger.debug('not-shown')
  logger.info('started', { port: 8020 })
  logger.child({ datanode: 'a:1' }).warn('datanode-stale')
  logger.error('journal-failed', { error: new Error('disk is full') })
  t.match(
    lines.map((line) => JSON.parse(line) as unknown),
    [
      { level: 'info', role: 'namenode', event: 'started', port: 8020, time: /^\d{4}-\d\d-\d\dT/ },
      { level: 'warn', event: 'datanode-stale', datanode: 'a:1' },
      {
        level: 'error',
        event: 'journal-failed',
        error: { message: 'disk is full', stack: /Error/ },
      },
    ],
  )
  t.equal(lines.length, 3)
})

t.test('createLogger() writes for people when asked to', async (t) => {
  const lines: string[] = []
  const sink = { write: (line: string): void => void lines.push(line) }
  const logger = createLogger({ sink, isPretty: true, level: 'debug' })
  logger.debug('heartbeat', { node: 'a:1', note: 'two words', count: 2 })
  logger.error('failed', { error: new Error('disk is full') })
  t.match(lines[0], /^\d\d:\d\d:\d\d\.\d{3} debug heartbeat node=a:1 note="two words" count=2\n$/)
  t.match(lines[1], /error failed\nError: disk is full\n +at /)
})

t.test('a buffered logger has written every line when its process exits', async (t) => {
  const module = new URL('../../transport/logger.js', import.meta.url).href
  const program = `import { createLogger } from ${JSON.stringify(module)}
    const logger = createLogger({ role: 'test', isBuffered: true })
    for (let line = 0; line < 1000; line += 1) logger.info('counted', { line })
    process.exit(3)`
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', program])
  t.equal(ran.status, 3)
  const lines = ran.stderr.toString().trim().split('\n')
  t.equal(lines.length, 1000)
  t.match(JSON.parse(lines.at(-1) ?? ''), { role: 'test', event: 'counted', line: 999 })
})
