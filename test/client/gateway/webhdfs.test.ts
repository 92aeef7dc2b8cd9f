/** The WebHDFS face of the gateway, over a real cluster and real HTTP: what every operation answers. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Answer, prefix, startWebHdfs } from '../../support/webhdfs.ts'

const world = await startWebHdfs(t)
const { client, cluster, gateway, user } = world
const ask: typeof world.ask = (...request) => world.ask(...request)
const refused: typeof world.refused = (...request) => world.refused(...request)

const content = Buffer.from(Array.from({ length: 3_000_017 }, (_, index) => (index * 31) % 251))

t.test('CREATE and OPEN lead to the second step at the same address', async (t) => {
  t.same((await ask('PUT', `/w?op=MKDIRS&permission=750&${user}`)).json, { boolean: true })
  const first = await ask('PUT', `/w/f?op=CREATE&blocksize=1048576&replication=2&${user}`)
  t.equal(first.status, 307)
  t.equal(first.body.length, 0)
  const location = new URL(first.headers.location ?? '')
  t.equal(location.host, `localhost:${gateway.port}`)
  const target = `${location.pathname.slice(prefix.length)}${location.search}`
  const second = await ask('PUT', target, { body: content })
  t.equal(second.status, 201)
  t.equal(second.headers.location, `${cluster.uri}/w/f`)
  t.equal(second.headers['content-length'], '0')
  t.ok((await client.readFile('/w/f')).equals(content), 'the SDK reads what was written')
  const { blockSize, replication, mode, owner } = await client.stat('/w/f')
  t.same(
    { blockSize, replication, mode, owner },
    { blockSize: 1_048_576, replication: 2, mode: 0o644, owner: cluster.user },
  )
  t.equal((await ask('GET', `/w/f?op=OPEN&${user}`)).status, 307)
  const got = await ask('GET', `/w/f?op=OPEN&data=true&${user}`)
  t.equal(got.headers['content-length'], String(content.length))
  t.ok(got.body.equals(content))
  const named = await ask('GET', `/w/f?op=OPEN&noredirect=true&offset=7&${user}`)
  t.equal(named.status, 200)
  const { Location } = named.json as { Location: string }
  t.match(Location, /\/w\/f\?op=OPEN&offset=7&.*data=true$/)
  t.notMatch(Location, /noredirect/)
  const direct = await ask('PUT', `/w/direct?op=CREATE&proxy=true&${user}`, { body: 'at once' })
  t.equal(direct.status, 201)
  t.equal(await client.readFile('/w/direct', 'utf8'), 'at once')
  const empty = await ask('PUT', `/w/empty?op=CREATE&data=true&${user}`)
  t.equal(empty.status, 201)
  const nothing = await ask('GET', `/w/empty?op=OPEN&data=true&${user}`)
  t.equal(nothing.status, 200)
  t.equal(nothing.body.length, 0)
})

t.test('reads take offset, length and HTTP ranges, and know what the client has', async (t) => {
  const open = `/w/f?op=OPEN&data=true&${user}`
  const part = await ask('GET', `${open}&offset=1048570&length=20`)
  t.equal(part.status, 200)
  t.ok(part.body.equals(content.subarray(1_048_570, 1_048_590)))
  const tail = await ask('GET', `${open}&offset=3000000&length=999`)
  t.equal(tail.headers['content-length'], '17')
  const range = await ask('GET', open, { headers: { range: 'bytes=100-199' } })
  t.equal(range.status, 206)
  t.equal(range.headers['content-range'], `bytes 100-199/${content.length}`)
  t.ok(range.body.equals(content.subarray(100, 200)))
  const both = await ask('GET', `${open}&offset=1000&length=50`, {
    headers: { range: 'bytes=-10' },
  })
  t.equal(both.headers['content-range'], 'bytes 40-49/50')
  t.ok(both.body.equals(content.subarray(1040, 1050)))
  const beyond = await ask('GET', open, { headers: { range: 'bytes=99999999-' } })
  t.equal(beyond.status, 416)
  t.equal(beyond.headers['content-range'], `bytes */${content.length}`)
  const head = await ask('HEAD', open)
  t.equal(head.headers['content-length'], String(content.length))
  t.equal(head.body.length, 0)
  const { etag = '', 'last-modified': modified = '' } = head.headers
  t.equal((await ask('GET', open, { headers: { 'if-none-match': etag } })).status, 304)
  t.equal((await ask('GET', open, { headers: { 'if-modified-since': modified } })).status, 304)
  t.equal((await ask('GET', open, { headers: { 'if-match': '"other"' } })).status, 412)
  t.equal((await ask('GET', open, { headers: { 'if-match': etag } })).status, 200)
  const early = new Date(0).toUTCString()
  t.equal((await ask('GET', open, { headers: { 'if-unmodified-since': early } })).status, 412)
  const changed = { range: 'bytes=0-9', 'if-range': '"other"' }
  t.equal(
    (await ask('GET', open, { headers: changed })).status,
    200,
    'a changed file is sent whole',
  )
  const same = { range: 'bytes=0-9', 'if-range': etag }
  t.equal((await ask('GET', open, { headers: same })).status, 206)
  await client.appendFile('/w/empty', 'x')
  const grown = await ask('HEAD', `/w/empty?op=OPEN&data=true&${user}`)
  await client.appendFile('/w/empty', 'y')
  const more = await ask('HEAD', `/w/empty?op=OPEN&data=true&${user}`)
  t.not(more.headers.etag, grown.headers.etag, 'an append changes the tag')
  for (const target of ['/w/f?op=OPEN', '/w/f?op=OPEN&data=true']) {
    const message = `Offset=3000017 out of the range [0, 3000017); OPEN, path=/w/f`
    await refused(t, ['GET', `${target}&offset=3000017&${user}`], 403, 'IOException', message)
  }
})

t.test('APPEND, TRUNCATE, CONCAT', async (t) => {
  const first = await ask('POST', `/w/direct?op=APPEND&${user}`)
  t.equal(first.status, 307)
  const second = await ask('POST', `/w/direct?op=APPEND&data=true&${user}`, { body: ', and more' })
  t.equal(second.status, 200)
  t.equal(await client.readFile('/w/direct', 'utf8'), 'at once, and more')
  await refused(
    t,
    ['POST', `/w/no?op=APPEND&data=true&${user}`],
    404,
    'FileNotFoundException',
    /no/,
  )
  t.notOk(await client.exists('/w/no'), 'APPEND makes no file')
  const cut = await ask('POST', `/w/direct?op=TRUNCATE&newlength=7&${user}`)
  t.match(cut.json, { boolean: Boolean })
  while (!(await client.isFileClosed('/w/direct'))) await sleep(20)
  t.equal(await client.readFile('/w/direct', 'utf8'), 'at once')
  t.same((await ask('POST', `/w/direct?op=TRUNCATE&newlength=7&${user}`)).json, { boolean: true })
  for (const name of ['c1', 'c2', 'c3']) await client.writeFile(`/w/${name}`, name)
  const joined = await ask('POST', `/w/c1?op=CONCAT&sources=/w/c2,/w/c3&${user}`)
  t.equal(joined.status, 200)
  t.equal(joined.body.length, 0)
  t.equal(await client.readFile('/w/c1', 'utf8'), 'c1c2c3')
  const sources = ['POST', `/w/c1?op=CONCAT&sources=c2&${user}`] as const
  await refused(t, sources, 400, 'InvalidPathException', /absolute/)
})

t.test('status, listings and sums', async (t) => {
  const { inode, mtimeMs } = await client.stat('/w/f')
  const status = {
    accessTime: Number,
    blockSize: 1_048_576,
    childrenNum: 0,
    fileId: inode,
    group: 'supergroup',
    length: content.length,
    modificationTime: mtimeMs,
    owner: cluster.user,
    pathSuffix: '',
    permission: '644',
    replication: 2,
    storagePolicy: Number,
    type: 'FILE',
  }
  for (const op of ['GETFILESTATUS', 'getFileStatus', 'GETFILELINKSTATUS']) {
    t.match((await ask('GET', `/w/f?op=${op}&${user}`)).json, { FileStatus: status })
  }
  const directory = (await ask('GET', `/w?OP=GETFILESTATUS&${user}`)).json
  t.match(directory, { FileStatus: { type: 'DIRECTORY', permission: '750', length: 0 } })
  t.match((await ask('GET', `/w/f?op=LISTSTATUS&${user}`)).json, {
    FileStatuses: { FileStatus: [status] },
  })
  await client.mkdir('/many')
  const names = Array.from({ length: 1203 }, (_, index) => `n${String(index).padStart(5, '0')}`)
  for (const name of names) await client.mkdir(`/many/${name}`)
  const all = (await ask('GET', `/many?op=LISTSTATUS&${user}`)).json as {
    FileStatuses: { FileStatus: { pathSuffix: string }[] }
  }
  t.same(
    all.FileStatuses.FileStatus.map(({ pathSuffix }) => pathSuffix),
    names,
    'pages of the namenode become one listing',
  )
  const batch = (await ask('GET', `/many?op=LISTSTATUS_BATCH&startafter=n00200&${user}`)).json
  t.match(batch, {
    DirectoryListing: {
      partialListing: { FileStatuses: { FileStatus: [{ pathSuffix: 'n00201' }] } },
      remainingEntries: 2,
    },
  })
  t.equal((await ask('HEAD', `/many?op=LISTSTATUS&${user}`)).status, 200)
  const summary = (await ask('GET', `/w?op=GETCONTENTSUMMARY&${user}`)).json
  t.match(summary, {
    ContentSummary: { directoryCount: 1, fileCount: 4, quota: -1, spaceQuota: -1 },
  })
  const root = await ask('GET', `/?op=GETCONTENTSUMMARY&${user}`)
  t.match(root.body.toString(), '"quota":9223372036854775807,', 'every digit of a Java long')
  const usage = (await ask('GET', `/w?op=GETQUOTAUSAGE&${user}`)).json
  t.match(usage, { QuotaUsage: { fileAndDirectoryCount: 5, quota: -1, typeQuota: {} } })
  await refused(
    t,
    ['GET', `/no?op=GETFILESTATUS&${user}`],
    404,
    'FileNotFoundException',
    'File does not exist: /no',
  )
  await refused(
    t,
    ['GET', `/no?op=LISTSTATUS&${user}`],
    404,
    'FileNotFoundException',
    'File /no does not exist.',
  )
})

t.test('block locations and checksums', async (t) => {
  const located = (await ask('GET', `/w/f?op=GETFILEBLOCKLOCATIONS&${user}`)).json as {
    BlockLocations: { BlockLocation: { names: string[]; offset: number; length: number }[] }
  }
  const blocks = located.BlockLocations.BlockLocation
  t.same(
    blocks.map(({ offset, length }) => [offset, length]),
    [
      [0, 1_048_576],
      [1_048_576, 1_048_576],
      [2_097_152, content.length - 2_097_152],
    ],
  )
  t.equal(blocks[0]?.names.length, 2)
  t.match(blocks[0], {
    cachedHosts: [],
    corrupt: false,
    storageTypes: ['DISK', 'DISK'],
    topologyPaths: [/^\/default-rack\/127\.0\.0\.1:\d+$/],
  })
  const part = (await ask('GET', `/w/f?op=GETFILEBLOCKLOCATIONS&offset=1048576&length=1&${user}`))
    .json
  t.match(part, { BlockLocations: { BlockLocation: [{ offset: 1_048_576 }] } })
  const raw = (await ask('GET', `/w/f?op=GET_BLOCK_LOCATIONS&${user}`)).json
  t.match(raw, {
    LocatedBlocks: {
      fileLength: content.length,
      isLastBlockComplete: true,
      isUnderConstruction: false,
      lastLocatedBlock: { startOffset: 2_097_152 },
      locatedBlocks: [{ block: { blockPoolId: /^BP-/, numBytes: 1_048_576 }, isCorrupt: false }],
    },
  })
  t.equal((await ask('GET', `/w/f?op=GETFILECHECKSUM&${user}`)).status, 307)
  const sum = (await ask('GET', `/w/f?op=GETFILECHECKSUM&data=true&${user}`)).json
  t.match(sum, {
    FileChecksum: {
      algorithm: 'MD5-of-2048MD5-of-512CRC32C',
      bytes: /^000002000000000000000800[0-9a-f]{32}$/,
      length: 28,
    },
  })
  await client.writeFile('/w/nothing', '')
  const none = (await ask('GET', `/w/nothing?op=GETFILECHECKSUM&data=true&${user}`)).json
  t.match(none, {
    FileChecksum: {
      algorithm: 'MD5-of-0MD5-of-0CRC32',
      // The constant that HDFS answers for every empty file.
      bytes: '00000000000000000000000070bc8f4b72a86921468bf8e8441dce51',
    },
  })
})

t.test('names, attributes and removal', async (t) => {
  await client.writeFile('/w/a', 'a')
  await client.mkdir('/w/dir')
  const put = async (target: string): Promise<Answer> => ask('PUT', `${target}&${user}`)
  t.same((await put('/w/a?op=RENAME&destination=/w/dir')).json, { boolean: true })
  t.ok(await client.exists('/w/dir/a'), 'into a directory that exists')
  t.same((await put('/w/a?op=RENAME&destination=/w/b')).json, { boolean: false })
  await client.writeFile('/w/b', 'b')
  const replaced = await put('/w/dir/a?op=RENAME&destination=/w/b&renameoptions=OVERWRITE')
  t.equal(replaced.status, 200)
  t.equal(replaced.body.length, 0)
  t.equal(await client.readFile('/w/b', 'utf8'), 'a')
  t.same((await put('/w/b?op=SETREPLICATION&replication=2')).json, { boolean: true })
  t.equal((await put('/w/b?op=SETPERMISSION&permission=1640')).status, 200)
  t.equal((await put('/w/b?op=SETOWNER&owner=bob&group=staff')).status, 200)
  t.equal((await put('/w/b?op=SETTIMES&modificationtime=1000&accesstime=-1')).status, 200)
  const { owner, group, mode, mtimeMs, replication } = await client.stat('/w/b')
  t.same(
    { owner, group, mode, mtimeMs, replication },
    { owner: 'bob', group: 'staff', mode: 0o1640, mtimeMs: 1000, replication: 2 },
  )
  t.equal((await ask('GET', `/w/b?op=CHECKACCESS&fsaction=r--&${user}`)).status, 200)
  await refused(
    t,
    ['GET', '/w/b?op=CHECKACCESS&fsaction=rwx&user.name=eve'],
    403,
    'AccessControlException',
    /eve/,
  )
  await refused(
    t,
    ['GET', `/w/b?op=CHECKACCESS&fsaction=abc&${user}`],
    400,
    'IllegalArgumentException',
    /fsaction/,
  )
  await refused(
    t,
    ['DELETE', `/w?op=DELETE&${user}`],
    403,
    'PathIsNotEmptyDirectoryException',
    /non empty/,
  )
  t.same((await ask('DELETE', `/w/b?op=DELETE&${user}`)).json, { boolean: true })
  t.same((await ask('DELETE', `/w/b?op=DELETE&${user}`)).json, { boolean: false })
})

t.test('what clients ask in passing', async (t) => {
  const get = async (target: string): Promise<unknown> =>
    (await ask('GET', `${target}&${user}`)).json
  t.same(await get('/?op=GETHOMEDIRECTORY'), { Path: `/user/${cluster.user}` })
  t.same(await get('/?op=GETTRASHROOT'), { Path: `/user/${cluster.user}/.Trash` })
  t.same(await get('/?op=GETTRASHROOTS'), { Paths: [] })
  t.same(await get('/?op=GETTRASHROOTS&allusers=true'), { Paths: [] }, 'without /user, too')
  await client.mkdir('/user/bob/.Trash', { recursive: true })
  t.match(await get('/?op=GETTRASHROOTS&allusers=true'), {
    Paths: [{ path: '/user/bob/.Trash', isdir: true }],
  })
  t.same(await get('/?op=GETDELEGATIONTOKEN&renewer=bob'), { Token: null })
  t.match(await get('/w?op=GETACLSTATUS'), {
    AclStatus: { entries: [], permission: '750', stickyBit: false },
  })
  t.same(await get('/w?op=LISTXATTRS'), { XAttrNames: '[]' })
  t.match(await get('/?op=GETALLSTORAGEPOLICY'), {
    BlockStoragePolicies: { BlockStoragePolicy: [{ id: 15, name: 'LAZY_PERSIST' }] },
  })
  t.match(await get('/w?op=GETSTORAGEPOLICY'), {
    BlockStoragePolicy: { id: 7, name: 'HOT', storageTypes: ['DISK'] },
  })
  t.match(await get('/?op=GETSERVERDEFAULTS'), {
    FsServerDefaults: { blockSize: 134_217_728, checksumType: 2, replication: 3 },
  })
  t.match(await get('/?op=GETSTATUS'), {
    FsStatus: { capacity: Number, used: Number, remaining: Number },
  })
  t.same(await get('/?op=GETSNAPSHOTTABLEDIRECTORYLIST'), { SnapshottableDirectoryList: null })
  t.same(await get('/?op=GETECPOLICIES'), {
    ErasureCodingPolicies: { ErasureCodingPolicyInfo: [] },
  })
  t.same(await get('/?op=GETECCODECS'), { ErasureCodingCodecs: {} })
  await refused(t, ['GET', `/w?op=GETLINKTARGET&${user}`], 403, 'IOException', /symbolic link/)
})
