/** WebHDFS asked wrongly, by others, and by clients that go away. */
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { operations } from '../../../client/gateway/webhdfs/operations.ts'
import { prefix, startWebHdfs } from '../../support/webhdfs.ts'

const world = await startWebHdfs(t)
const { client, cluster, gateway, user } = world
const ask: typeof world.ask = (...request) => world.ask(...request)
const refused: typeof world.refused = (...request) => world.refused(...request)

await client.mkdir('/w', { mode: 0o750 })
await client.writeFile('/w/f', 'content')

t.test('an operation that is not there is refused as HDFS does', async (t) => {
  const text = 'GETSNAPSHOTLIST is not supported'
  await refused(
    t,
    ['GET', `/w?op=GETSNAPSHOTLIST&${user}`],
    400,
    'UnsupportedOperationException',
    text,
  )
  const symlink = ['PUT', `/w/l?op=CREATESYMLINK&destination=/w&${user}`] as const
  await refused(t, symlink, 400, 'UnsupportedOperationException', 'Symlinks not supported')
  const op =
    'Invalid value for webhdfs parameter "op": No enum constant org.apache.hadoop.hdfs.web.resources.'
  for (const [method, name, type] of [
    ['GET', 'NOPE', 'GetOpParam'],
    ['GET', '', 'GetOpParam'],
    ['PUT', 'OPEN', 'PutOpParam'],
    ['POST', 'CREATE', 'PostOpParam'],
    ['DELETE', 'constructor', 'DeleteOpParam'],
  ] as const) {
    const message = `${op}${type}.Op.${name.toUpperCase()}`
    await refused(t, [method, `/w?op=${name}&${user}`], 400, 'IllegalArgumentException', message)
  }
  await refused(t, ['GET', '/w'], 400, 'IllegalArgumentException', /"op"/)
  const other = await ask('PATCH', `/w?op=MKDIRS&${user}`)
  t.equal(other.status, 405)
  t.match(other.headers.allow, /PUT/)
  t.equal((await ask('OPTIONS', '/w?op=CREATE')).status, 200)
  for (const verb of ['GET', 'PUT', 'POST', 'DELETE'] as const) {
    for (const name of Object.keys(operations[verb])) {
      const { status } = await ask(verb, `/not/there?op=${name}&user.name=nobody`)
      t.not(status, 500, `${verb} ${name} without parameters`)
    }
  }
})

t.test('parameters that do not parse are named, in the words of HDFS', async (t) => {
  const invalid = (name: string, reason: string): string =>
    `Invalid value for webhdfs parameter "${name}": ${reason}`
  const cases: readonly (readonly [string, string, string])[] = [
    ['GET', 'OPEN&offset=x', invalid('offset', 'Failed to parse "x" as a radix-10 long integer.')],
    ['GET', 'OPEN&offset=', invalid('offset', 'Failed to parse "" as a radix-10 long integer.')],
    [
      'GET',
      'OPEN&offset=1e3',
      invalid('offset', 'Failed to parse "1e3" as a radix-10 long integer.'),
    ],
    [
      'GET',
      'OPEN&offset=9223372036854775808',
      invalid('offset', 'Failed to parse "9223372036854775808" as a radix-10 long integer.'),
    ],
    [
      'GET',
      'OPEN&data=true&offset=-1',
      invalid('offset', 'Invalid parameter range: offset = -1 < 0'),
    ],
    [
      'GET',
      'OPEN&data=true&length=-5',
      invalid('length', 'Invalid parameter range: length = -5 < 0'),
    ],
    [
      'GET',
      'OPEN&data=true&buffersize=0',
      invalid('buffersize', 'Invalid parameter range: buffersize = 0 < 1'),
    ],
    ['GET', 'OPEN&noredirect=maybe', invalid('noredirect', 'Failed to parse "maybe" to Boolean.')],
    [
      'PUT',
      'MKDIRS&permission=9',
      invalid('permission', 'Failed to parse "9" as a radix-8 short integer.'),
    ],
    [
      'PUT',
      'MKDIRS&permission=7777',
      invalid('permission', 'Invalid parameter range: permission = 7777 > 1777'),
    ],
    [
      'PUT',
      'RENAME&destination=x',
      invalid('destination', 'Invalid parameter value: destination = "x" is not an absolute path.'),
    ],
    ['PUT', 'RENAME', 'Required param destination for op: RENAME is null or empty'],
    [
      'PUT',
      'RENAME&destination=/x&renameoptions=BOLD',
      invalid('renameoptions', 'No enum constant org.apache.hadoop.fs.Options$Rename.BOLD'),
    ],
    [
      'PUT',
      'SETREPLICATION&replication=0',
      invalid('replication', 'Invalid parameter range: replication = 0 < 1'),
    ],
    [
      'PUT',
      'SETREPLICATION&replication=40000',
      invalid('replication', 'Failed to parse "40000" as a radix-10 short integer.'),
    ],
    ['PUT', 'SETOWNER', 'Both owner and group are empty.'],
    [
      'PUT',
      'CREATE&data=true&createflag=append',
      'Cannot create with createflag APPEND: use op=APPEND',
    ],
    [
      'PUT',
      'CREATE&data=true&createflag=odd',
      invalid('createflag', 'No enum constant org.apache.hadoop.fs.CreateFlag.ODD'),
    ],
    [
      'PUT',
      'CREATE&data=true&blocksize=0',
      invalid('blocksize', 'Invalid parameter range: blocksize = 0 < 1'),
    ],
    ['POST', 'TRUNCATE', 'Required param newlength for op: TRUNCATE is null or empty'],
    ['POST', 'CONCAT', 'Required param sources for op: CONCAT is null or empty'],
    ['GET', 'CHECKACCESS', 'Required param fsaction for op: CHECKACCESS is null or empty'],
  ]
  for (const [method, query, message] of cases) {
    await refused(t, [method, `/w/f?op=${query}&${user}`], 400, 'IllegalArgumentException', message)
  }
  const name = '/w?op=GETFILESTATUS&user.name=a/b'
  await refused(t, ['GET', name], 400, 'IllegalArgumentException', /"user\.name".*domain/)
  const doas = `/w?op=GETFILESTATUS&doas=bob&${user}`
  await refused(
    t,
    ['GET', doas],
    403,
    'AuthorizationException',
    /is not allowed to impersonate bob/,
  )
  t.equal((await ask('GET', `/w?op=GETFILESTATUS&doas=${cluster.user}&${user}`)).status, 200)
  t.equal((await ask('GET', `/w/f?op=OPEN&data=true&length=null&${user}`)).status, 200)
})

t.test('a path is what it says, or refused', async (t) => {
  for (const path of ['/w/../f', '/w/%2e%2e/f', '/./w', '/w%2Ff', '/w%00f', '/w/%2E']) {
    await refused(
      t,
      ['GET', `${path}?op=GETFILESTATUS&${user}`],
      400,
      'InvalidPathException',
      /Invalid path name/,
    )
    await refused(
      t,
      ['PUT', `${path}?op=CREATE&data=true&${user}`],
      400,
      'InvalidPathException',
      /Invalid path name/,
    )
  }
  for (const path of ['/%zz', '/%c3%28', '/%']) {
    await refused(
      t,
      ['GET', `${path}?op=GETFILESTATUS&${user}`],
      400,
      'IllegalArgumentException',
      /percent-encoded/,
    )
  }
  t.equal((await ask('GET', `//w//f?op=GETFILESTATUS&${user}`)).status, 200)
  const odd = encodeURIComponent('grüße & 100% + "?#.txt')
  t.equal((await ask('PUT', `/w/${odd}?op=CREATE&proxy=true&${user}`, { body: 'x' })).status, 201)
  t.equal(await client.readFile('/w/grüße & 100% + "?#.txt', 'utf8'), 'x')
  const long = await ask('PUT', `/w/${'n'.repeat(255)}?op=CREATE&data=true&${user}`, { body: 'x' })
  t.equal(long.status, 201, 'the longest name there may be')
  const longer = `/w/${'n'.repeat(256)}?op=CREATE&data=true&${user}`
  await refused(t, ['PUT', longer], 403, 'PathComponentTooLongException', /255/)
})

t.test('permissions are those of user.name', async (t) => {
  await refused(
    t,
    ['PUT', '/w/eve?op=CREATE&data=true&user.name=eve'],
    403,
    'AccessControlException',
    /eve/,
  )
  t.equal(
    (await ask('GET', '/w/f?op=GETFILESTATUS')).status,
    200,
    'nobody named: who runs the gateway',
  )
  await refused(t, ['GET', '/.trefoil/x?op=OPEN'], 403, 'AccessControlException', /may not read/)
  const into = `/w/f?op=RENAME&destination=/.trefoil/f&${user}`
  await refused(t, ['PUT', into], 403, 'AccessControlException', /may not write/)
  const shouted = ['GET', '/w/f?op=GETFILESTATUS&User.Name=eve'] as const
  await refused(t, shouted, 400, 'IllegalArgumentException', /must be written/)
  await client.mkdir('/open', { mode: 0o777 })
  await client.chmod('/open', 0o1777)
  const made = await ask('PUT', '/open/mine?op=CREATE&data=true&permission=666&user.name=eve', {
    body: 'e',
  })
  t.equal(made.status, 201)
  const { owner, mode } = await client.stat('/open/mine')
  t.same({ owner, mode }, { owner: 'eve', mode: 0o666 }, 'no umask but that of the client')
  await client.chmod('/open/mine', 0o600)
  await refused(
    t,
    ['GET', '/open/mine?op=OPEN&data=true&user.name=bob'],
    403,
    'AccessControlException',
    /bob/,
  )
  const overwrite = '/open/mine?op=CREATE&data=true&overwrite=true&user.name=bob'
  await refused(t, ['PUT', overwrite], 403, 'AccessControlException', /bob/)
})

t.test('what CREATE may not replace stays', async (t) => {
  await refused(
    t,
    ['PUT', `/w/f?op=CREATE&data=true&${user}`],
    403,
    'FileAlreadyExistsException',
    '/w/f for client 127.0.0.1 already exists',
  )
  await refused(
    t,
    ['PUT', `/w?op=CREATE&overwrite=true&data=true&${user}`],
    403,
    'FileAlreadyExistsException',
    '/w already exists as a directory',
  )
  await refused(
    t,
    ['PUT', `/?op=CREATE&overwrite=true&data=true&${user}`],
    403,
    'FileAlreadyExistsException',
    /directory/,
  )
  const orphan = `/w/x/y/z?op=CREATE&createparent=false&data=true&${user}`
  await refused(t, ['PUT', orphan], 404, 'FileNotFoundException', /\/w\/x/)
  const made = await ask('PUT', `/w/x/y/z?op=CREATE&data=true&${user}`, { body: 'z' })
  t.equal(made.status, 201, 'parents are made unless told otherwise')
  const flagged = await ask(
    'PUT',
    `/w/x/y/z?op=CREATE&createflag=create,overwrite&data=true&${user}`,
    { body: 'zz' },
  )
  t.equal(flagged.status, 201)
  t.equal(await client.readFile('/w/x/y/z', 'utf8'), 'zz')
  t.equal(await client.readFile('/w/f', 'utf8'), 'content')
})

/** Begins a request on a socket of its own and leaves it in the middle of its body. */
async function abandoned(head: string): Promise<void> {
  const socket = net.connect(gateway.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(`${head}\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n`)
  socket.write(Buffer.alloc(2_000_000, 'a'))
  await sleep(300)
  socket.resetAndDestroy()
}

t.test('a client that goes away leaves neither a file nor a lease', async (t) => {
  await client.mkdir('/gone')
  await client.writeFile('/gone/old', 'what was there')
  await client.writeFile('/gone/log', 'begin')
  await Promise.all([
    abandoned(`PUT ${prefix}/gone/new?op=CREATE&data=true&${user} HTTP/1.1`),
    abandoned(`PUT ${prefix}/gone/old?op=CREATE&overwrite=true&data=true&${user} HTTP/1.1`),
    abandoned(`POST ${prefix}/gone/log?op=APPEND&data=true&${user} HTTP/1.1`),
  ])
  const names = async (): Promise<string[]> => client.readdir('/gone')
  for (let left = 500; (await names()).length > 2 && left > 0; left -= 1) await sleep(20)
  t.same(await names(), ['log', 'old'], 'nothing of the uploads is left')
  t.equal(await client.readFile('/gone/old', 'utf8'), 'what was there')
  for (let left = 500; !(await client.isFileClosed('/gone/log')) && left > 0; left -= 1)
    await sleep(20)
  t.ok(await client.isFileClosed('/gone/log'), 'the lease of the append is given back')
  t.match((await client.readFile('/gone/log', 'utf8')).slice(0, 6), /^begina?$/)
  const again = await ask('PUT', `/gone/new?op=CREATE&data=true&${user}`, { body: 'second try' })
  t.equal(again.status, 201)
})

t.test('a body that breaks off or breaks the rules of HTTP leaves nothing', async (t) => {
  await client.mkdir('/broken')
  const untilFiles = async (count: number): Promise<void> => {
    for (let left = 500; left > 0; left -= 1) {
      if ((await client.readdir('/broken')).length === count) return
      await sleep(20)
    }
  }
  const chunked = 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'
  const bodies = {
    'chunk size': { begin: chunked, end: 'zz\r\n' },
    'end of chunks': { begin: chunked, end: '' },
    length: { begin: 'Content-Length: 100\r\n\r\nhello', end: '' },
  }
  for (const [name, { begin, end }] of Object.entries(bodies)) {
    const socket = net.connect(gateway.port, '127.0.0.1')
    let answer = ''
    socket.on('data', (part) => {
      answer += part.toString()
    })
    const gone = new Promise((resolve) => socket.once('close', resolve))
    const target = `${prefix}/broken/${encodeURIComponent(name)}?op=CREATE&data=true&${user}`
    socket.write(`PUT ${target} HTTP/1.1\r\nHost: localhost\r\n${begin}`)
    await untilFiles(1)
    socket.end(end)
    await gone
    t.notMatch(answer, /^HTTP\/1\.1 20/, name)
    await untilFiles(0)
    t.same(await client.readdir('/broken'), [], name)
  }
})

t.test('Expect: 100-continue is answered when the body is wanted, and not before', async (t) => {
  const exchange = (target: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = net.connect(gateway.port, '127.0.0.1')
      let text = ''
      socket.on('data', (part) => {
        text += part.toString()
        if (/^HTTP\/1\.1 100 Continue\r\n\r\n$/.test(text)) socket.write('hello')
        else socket.end()
      })
      socket.on('close', () => {
        resolve(text)
      })
      const head = `PUT ${prefix}${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue`
      socket.write(`${head}\r\nContent-Length: 5\r\n\r\n`)
    })
  t.match(
    await exchange(`/gone/asked?op=CREATE&data=true&${user}`),
    /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201/,
  )
  t.equal(await client.readFile('/gone/asked', 'utf8'), 'hello')
  t.match(await exchange(`/gone/asked?op=CREATE&${user}`), /^HTTP\/1\.1 307/)
  t.match(await exchange(`/gone/asked?op=CREATE&data=true&${user}`), /^HTTP\/1\.1 403/)
})
