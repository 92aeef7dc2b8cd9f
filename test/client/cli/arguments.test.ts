/** Options, patterns, modes, numbers and the finding of commands: everything before a command runs. */
import t from 'tap'
import { aliases, catalog } from '../../../client/cli/catalog.ts'
import { globalOptions } from '../../../client/cli/command.ts'
import { parseOwner } from '../../../client/cli/commands/chown.ts'
import { temporaryName } from '../../../client/cli/copy.ts'
import { UsageError } from '../../../client/cli/failures.ts'
import {
  counted,
  duration,
  humanSize,
  octalMode,
  parseSize,
  printable,
  symbolicMode,
  table,
  utcSecond,
} from '../../../client/cli/format.ts'
import { componentMatcher, expandBraces, expandGlob } from '../../../client/cli/glob.ts'
import { dashedMode, parseMode } from '../../../client/cli/mode.ts'
import {
  flag,
  list,
  type ParsedArguments,
  parseArguments,
  value,
} from '../../../client/cli/options.ts'
import { findCommand } from '../../../client/cli/run.ts'
import { FakeFileSystem } from '../../support/fake-file-system.ts'

const options = {
  recursive: flag('r R recursive', ''),
  force: flag('f force', ''),
  skipTrash: flag('skipTrash', ''),
  jobs: value('t jobs', 'N', ''),
  set: list('D set', 'K=V', ''),
} as const

function parse(
  ...args: string[]
): ParsedArguments<typeof options, Readonly<Record<string, never>>> {
  return parseArguments(options, {}, args)
}

t.test('parseArguments() reads HDFS words, GNU long options and bundles alike', async (t) => {
  const hdfs = parse('-R', '-skipTrash', '/x')
  t.match(hdfs, { options: { recursive: true, skipTrash: true, force: false }, operands: ['/x'] })
  const gnu = parse('--recursive', '--force', '--jobs=4', '/x')
  t.match(gnu, { options: { recursive: true, force: true, jobs: '4' } })
  t.match(parse('-rf', '/x'), { options: { recursive: true, force: true } })
  t.match(parse('--rec', '/x'), { options: { recursive: true } }, 'a unique beginning is enough')
  t.match(parse('/x', '-r', '/y'), { options: { recursive: true }, operands: ['/x', '/y'] })
})

t.test('parseArguments() takes the value of an option from wherever it stands', async (t) => {
  for (const args of [
    ['-t4'],
    ['-t', '4'],
    ['--jobs', '4'],
    ['--jobs=4'],
    ['-jobs', '4'],
    ['-rft4'],
  ]) {
    t.equal(parse(...args).options.jobs, '4', args.join(' '))
  }
  t.equal(parse('-t', '1', '-t', '2').options.jobs, '2', 'the last one wins')
  t.same(parse('-D', 'a=1', '-Db=2', '--set', 'c=3').options.set, ['a=1', 'b=2', 'c=3'])
  t.equal(parse('-t', '-5').options.jobs, '-5', 'also when it looks like an option')
})

t.test('parseArguments() keeps operands that start with a dash', async (t) => {
  t.same(parse('-').operands, ['-'], 'standard input')
  t.same(parse('--', '-r', '--').operands, ['-r', '--'], 'everything behind --')
  t.same(parse('-1024').operands, ['-1024'], 'a negative number')
  const rules = { dashedOperand: dashedMode }
  t.same(parseArguments(options, {}, ['-w', '/x'], rules).operands, ['-w', '/x'])
  t.match(parseArguments(options, {}, ['-R', '-rwx'], rules), {
    options: { recursive: true },
    operands: ['-rwx'],
  })
})

t.test('parseArguments() refuses what it does not know', async (t) => {
  t.throws(() => parse('-x'), { name: 'UsageError', message: 'Unknown option -x' })
  t.throws(() => parse('-rx'), UsageError)
  t.throws(() => parse('--nope'), UsageError)
  t.throws(() => parse('-t'), { message: 'Option -t needs a value' })
  t.throws(() => parse('--force=yes'), { message: 'Option --force=yes takes no value' })
})

t.test("parseArguments() lets a command's own names hide the inherited ones", async (t) => {
  const own = { human: flag('h help', '') }
  const inherited = { help: flag('help', ''), fs: value('fs', 'URI', '') }
  const parsed = parseArguments(own, inherited, ['--help', '-fs', 'hdfs://a'])
  t.match(parsed, { options: { human: true }, inherited: { help: false, fs: 'hdfs://a' } })
})

t.test('findCommand() accepts every spelling of a command', async (t) => {
  const spellings: [string[], string, string[]][] = [
    [['ls', '-R', '/'], 'ls', ['-R', '/']],
    [['-ls', '-R', '/'], 'ls', ['-R', '/']],
    [['dfs', '-ls', '/'], 'ls', ['/']],
    [['fs', 'ls', '/'], 'ls', ['/']],
    [['--fs', 'hdfs://a', 'ls', '/'], 'ls', ['--fs', 'hdfs://a', '/']],
    [
      ['dfs', '-fs', 'hdfs://a', '-D', 'k=v', '-ls', '/'],
      'ls',
      ['-fs', 'hdfs://a', '-D', 'k=v', '/'],
    ],
    [['-rmr', '/x'], 'rm', ['-r', '/x']],
    [['-lsr'], 'ls', ['-R']],
    [['copyFromLocal', 'a', '/b'], 'put', ['a', '/b']],
    [['--help'], 'help', []],
    [['--version'], 'version', []],
    [['help', 'put'], 'help', ['put']],
    [[], 'help', []],
  ]
  for (const [args, name, rest] of spellings) {
    t.match(findCommand(args), { name, args: rest }, args.join(' '))
  }
  t.throws(() => findCommand(['sl', '/']), { message: /Unknown command "sl"; did you mean "ls"\?/ })
  t.throws(() => findCommand(['frobnicate']), { message: 'Unknown command "frobnicate"' })
  t.throws(() => findCommand(['toString']), UsageError)
})

t.test('every command loads, describes itself and appears in its examples', async (t) => {
  for (const [name, { load, summary }] of Object.entries(catalog)) {
    const { command } = await load()
    t.equal(command.name, name)
    t.ok(summary.length < 60, `${name} has a short summary`)
    t.ok(
      command.usage.startsWith(name) && command.description.endsWith('.'),
      `${name} describes itself`,
    )
    const { examples } = command
    const isShown = examples.some((example) => example.includes(`dfs ${name}`))
    t.ok(isShown || examples.length === 0, `${name} is in its own examples`)
    const names = Object.values(command.options).flatMap((option) => option.names)
    t.equal(new Set(names).size, names.length, `${name} declares each option once`)
  }
  for (const [target = ''] of Object.values(aliases)) t.ok(catalog[target], target)
  t.ok(globalOptions.fs)
})

t.test('expandBraces() multiplies alternatives, nested ones and ones with slashes', async (t) => {
  t.same(expandBraces('a{b,c}d'), ['abd', 'acd'])
  t.same(expandBraces('/{a,b/{c,d}}/{1,2}'), [
    ...['/a/1', '/a/2', '/b/c/1', '/b/c/2', '/b/d/1', '/b/d/2'],
  ])
  t.same(expandBraces('a\\{b'), ['a\\{b'])
  t.same(expandBraces('{,x}'), ['', 'x'])
  t.throws(() => expandBraces('a{b,c'), UsageError)
  t.throws(() => expandBraces('{1,2,3,4,5,6,7,8,9,0}'.repeat(5)), /more than 10000/)
})

t.test('componentMatcher() matches as HDFS does', async (t) => {
  const matches = (pattern: string, name: string): boolean => componentMatcher(pattern).test(name)
  t.ok(matches('*.csv', 'a.csv'))
  t.ok(matches('*', '.hidden'), '* matches names with a dot')
  t.notOk(matches('*.csv', 'a_csv'), 'a dot is a dot')
  t.ok(matches('a?c', 'abc'))
  t.ok(matches('a?c', 'a😀c'), '? is one character')
  t.ok(matches('[a-c]x', 'bx'))
  t.notOk(matches('[^a-c]x', 'bx'))
  t.ok(matches('[!a-c]x', 'dx'))
  t.ok(matches('\\*', '*'))
  t.notOk(matches('\\*', 'a'))
  t.ok(matches('a+b(c)', 'a+b(c)'), 'signs of regular expressions mean themselves')
  t.throws(() => componentMatcher('[ab'), UsageError)
})

t.test('expandGlob() walks only where the pattern leads', async (t) => {
  const fs = new FakeFileSystem()
  for (const path of [
    '/logs/2026-10/a.gz',
    '/logs/2026-11/b.gz',
    '/logs/2026-11/c.txt',
    '/x/a[1]',
  ]) {
    fs.addFile(path, 'x')
  }
  const listed: string[] = []
  const source = {
    stat: async (path: string) => (fs.inodes.has(path) ? await fs.stat(path) : undefined),
    list: (path: string) => {
      listed.push(path)
      return fs.opendir(path)
    },
  }
  const expand = async (pattern: string): Promise<string[]> =>
    (await expandGlob(pattern, source)).map(({ path }) => path)
  t.same(await expand('/logs/*/*.gz'), ['/logs/2026-10/a.gz', '/logs/2026-11/b.gz'])
  t.same(await expand('/logs/2026-{11,12}/*'), ['/logs/2026-11/b.gz', '/logs/2026-11/c.txt'])
  t.same(await expand('/l*/2026-1[0-1]'), ['/logs/2026-10', '/logs/2026-11'])
  t.same(await expand('/*/2026-11/c.txt'), ['/logs/2026-11/c.txt'])
  t.same(await expand('/logs/none*'), [])
  t.same(await expand('/logs/2026-11/b.gz/*'), [], 'a file has no entries')
  listed.length = 0
  t.same(await expand('/logs'), ['/logs'])
  t.same(await expand('/x/a\\[1\\]'), ['/x/a[1]'])
  t.same(listed, [], 'a plain path lists nothing')
  t.same(await expand('/x/a[1]'), ['/x/a[1]'], 'a pattern without a match may be a name')
})

t.test('parseMode() reads octal modes up to 1777', async (t) => {
  t.equal(parseMode('755')(0, false), 0o755)
  t.equal(parseMode('0644')(0o777, false), 0o644)
  t.equal(parseMode('1777')(0, true), 0o1777)
  for (const text of ['2755', '7777', '888', '', 'u', 'u+', 'u~x', 'a+q', 'z+r']) {
    if (text === 'u+') continue
    t.throws(() => parseMode(text), UsageError, text)
  }
})

t.test('parseMode() reads symbolic modes as chmod does', async (t) => {
  const cases: [string, number, boolean, number][] = [
    ['u+x', 0o644, false, 0o744],
    ['go-w', 0o666, false, 0o644],
    ['a=r', 0o777, false, 0o444],
    ['=rx', 0o1700, true, 0o555],
    ['+x', 0o644, false, 0o755],
    ['-w', 0o666, false, 0o444],
    ['u=rwX,go=rX', 0o600, true, 0o755],
    ['u=rwX,go=rX', 0o600, false, 0o644],
    ['a+X', 0o100, false, 0o111],
    ['g=u', 0o750, false, 0o770],
    ['o=g-w', 0o770, false, 0o775],
    ['+t', 0o755, true, 0o1755],
    ['o-t', 0o1777, true, 0o777],
    ['u=', 0o755, false, 0o055],
    ['u+rw,u-r', 0, false, 0o200],
  ]
  for (const [text, before, isDirectory, after] of cases) {
    const result = parseMode(text)(before, isDirectory)
    t.equal(result.toString(8), after.toString(8), `${text} of ${before.toString(8)}`)
  }
})

t.test('parseOwner() reads owner, group or both', async (t) => {
  t.same(parseOwner('a:b'), { owner: 'a', group: 'b' })
  t.same(parseOwner('a'), { owner: 'a', group: undefined })
  t.same(parseOwner('a:'), { owner: 'a', group: undefined })
  t.same(parseOwner(':b'), { owner: undefined, group: 'b' })
  t.throws(() => parseOwner(':'), UsageError)
  t.throws(() => parseOwner('a:b:c'), UsageError)
})

t.test('sizes, times and modes read as people expect', async (t) => {
  t.same([0, 999, 1024, 1536, 128 * 1024 ** 2, 150 * 1024 ** 3, 2 ** 53].map(humanSize), [
    '0',
    '999',
    '1 K',
    '1.5 K',
    '128 M',
    '150 G',
    '8 P',
  ])
  t.same(
    ['0', '10', '1k', '1.5K', '128M', '2 GiB', '1tb'].map(parseSize),
    [0, 10, 1024, 1536, 134217728, 2147483648, 1099511627776],
  )
  t.same(['', 'x', '-1', '1x', '1e3'].map(parseSize), Array(5).fill(undefined))
  t.same([0o644, 0o1777, 0o1776, 0].map(symbolicMode), [
    'rw-r--r--',
    'rwxrwxrwt',
    'rwxrwxrwT',
    '---------',
  ])
  t.same([0o644, 0o1777, 0].map(octalMode), ['644', '1777', '000'])
  t.equal(utcSecond(Date.UTC(2026, 10, 22, 16, 5, 9)), '2026-11-22 16:05:09')
  t.same([850, 1400, 125_000, 3_780_000].map(duration), [
    '850 ms',
    '1.4 s',
    '2 min 5 s',
    '1 h 3 min',
  ])
  t.same([counted(1, 'file'), counted(2, 'file')], ['1 file', '2 files'])
  t.equal(printable('a\u0007b\n'), 'a?b?')
  t.same(
    table(
      [
        ['a', '1'],
        ['bbb', '22'],
      ],
      ['left', 'right'],
    ),
    ['a     1', 'bbb  22'],
  )
})

t.test('temporaryName() never makes a name longer than names may be', async (t) => {
  t.equal(temporaryName('/a/b'), '/a/b._COPYING_')
  const long = `/a/${'é'.repeat(127)}`
  const name = temporaryName(long).slice('/a/'.length)
  t.ok(Buffer.byteLength(name) <= 255 && name.endsWith('._COPYING_'))
})
