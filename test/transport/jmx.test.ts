import t from 'tap'
import { answerJmx, type JmxBean, processBeans } from '../../transport/jmx.ts'

const beans: JmxBean[] = [
  {
    name: 'Hadoop:service=NameNode,name=FSNamesystem',
    modelerType: 'FSNamesystem',
    read: () => ({ NumLiveDataNodes: 3, 'tag.HAState': 'active', empty: [], none: null }),
  },
  {
    name: 'Hadoop:service=NameNode,name=FSNamesystemState',
    modelerType: 'state',
    read: () => ({ FSState: 'Operational', list: [{ key: 'a"b' }, 2], nested: {} }),
  },
  { name: 'java.lang:type=Runtime', modelerType: 'runtime', read: () => ({ Uptime: 1 }) },
]

/** Names of the beans that a query chooses, without what is before `name=`. */
function chosen(qry?: unknown): string[] | number {
  const { status, body } = answerJmx(beans, qry === undefined ? {} : { qry })
  if (status !== 200) return status
  const { beans: found } = JSON.parse(body) as { beans: { name: string }[] }
  return found.map(({ name }) => name.slice(name.lastIndexOf('=') + 1))
}

t.test('qry chooses beans by patterns of names as the Java machine does', async (t) => {
  const all = ['FSNamesystem', 'FSNamesystemState', 'Runtime']
  t.same(chosen(), all)
  t.same(chosen('*:*'), all)
  t.same(chosen(''), all)
  t.same(chosen('Hadoop:*'), ['FSNamesystem', 'FSNamesystemState'])
  t.same(chosen('Hadoop:service=NameNode,name=FSNamesystem'), ['FSNamesystem'])
  t.same(chosen('Hadoop:name=FSNamesystem,service=NameNode'), ['FSNamesystem'], 'in any order')
  t.same(chosen('Hadoop:service=NameNode,name=FSNamesystem*'), all.slice(0, 2))
  t.same(chosen('Hadoop:service=NameNode,name=FSNames?stem'), ['FSNamesystem'])
  t.same(chosen('Hadoop:service=NameNode'), [], 'every key counts')
  t.same(chosen('Hadoop:service=NameNode,*'), ['FSNamesystem', 'FSNamesystemState'])
  t.same(chosen('*:type=Runtime'), ['Runtime'])
  t.same(chosen('Hadoop:service=DataNode,name=FSNamesystem'), [])
  t.same(chosen('Hadoop:service=NameNode,type=FSNamesystem'), [])
  for (const bad of [
    'Hadoop',
    'Hadoop:',
    'Hadoop:name',
    'Hadoop:=x',
    'Hadoop:name=',
    'a:b=1,b=2',
  ]) {
    t.equal(chosen(bad), 400, bad)
  }
  t.equal(chosen(['*:*', '*:*']), 400, 'given twice')
  const startedAt = Date.now()
  t.same(chosen(`Hadoop:service=${'*a'.repeat(2000)},*`), [])
  t.ok(Date.now() - startedAt < 1000, 'a hostile pattern takes no longer than others')
})

t.test('get shows one attribute, or says that there is none', async (t) => {
  const get = (text: unknown): { status: number; body: unknown } => {
    const { status, body } = answerJmx(beans, { get: text })
    return { status, body: JSON.parse(body) as unknown }
  }
  const name = 'Hadoop:service=NameNode,name=FSNamesystem'
  t.same(get(`${name}::NumLiveDataNodes`), {
    status: 200,
    body: { beans: [{ name, modelerType: 'FSNamesystem', NumLiveDataNodes: 3 }] },
  })
  t.match(get(`${name}::none`), { status: 200, body: { beans: [{ none: null }] } })
  t.match(get(`${name}::toString`), {
    status: 404,
    body: { beans: [{ result: 'ERROR', message: 'No attribute with name toString was found.' }] },
  })
  t.match(get(name), { status: 400, body: { result: 'ERROR' } })
  t.match(get(`${name}::a::b`), { status: 400 })
  t.match(get('nonsense::a'), { status: 400 })
  t.match(get(['a::b']), { status: 400 })
})

t.test('answers are laid out as Hadoop lays them out', async (t) => {
  t.equal(
    answerJmx(beans, { qry: 'Hadoop:*' }).body,
    `{
  "beans" : [ {
    "name" : "Hadoop:service=NameNode,name=FSNamesystem",
    "modelerType" : "FSNamesystem",
    "NumLiveDataNodes" : 3,
    "tag.HAState" : "active",
    "empty" : [ ],
    "none" : null
  }, {
    "name" : "Hadoop:service=NameNode,name=FSNamesystemState",
    "modelerType" : "state",
    "FSState" : "Operational",
    "list" : [ {
      "key" : "a\\"b"
    }, 2 ],
    "nested" : { }
  } ]
}
`,
  )
  t.match(JSON.parse(answerJmx(processBeans(), { qry: 'java.lang:*' }).body), {
    beans: [
      { name: 'java.lang:type=Runtime', Uptime: Number, StartTime: Number },
      { HeapMemoryUsage: { used: Number, committed: Number, max: Number } },
      { TotalPhysicalMemorySize: Number },
    ],
  })
})
