/** Dashboard, alerts and their documentation against what real daemons show, and alerts of a real Prometheus. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type RunningGateway, runGateway } from '../../client/gateway/main.ts'
import { pickFreePort } from '../../ops/cluster/processes.ts'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { run, skipWithout } from '../support/foreign-program.ts'
import { repositoryRoot } from '../support/repository.ts'

const install = 'apt-get install --no-install-recommends prometheus'
const promtool = { command: 'promtool', probe: ['--version'], install }
const prometheus = { command: 'prometheus', probe: ['--version'], install }
const operations = join(repositoryRoot, 'ops')
const page = join(repositoryRoot, 'docs/OBSERVABILITY.md')

/** One metric as `/metrics` describes it. */
interface Described {
  readonly name: string
  readonly type: string
  readonly help: string
}

function describedIn(text: string): Described[] {
  const helps = new Map<string, string>()
  for (const [, name = '', help = ''] of text.matchAll(/^# HELP (\S+) (.*)$/gm))
    helps.set(name, help)
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => {
    return { name, type, help: helps.get(name) ?? '' }
  })
}

/** Names of metrics in an expression, without what histograms add to theirs. */
function namesIn(text: string): string[] {
  const names = text.match(/\b(?:trefoil_(?:namenode|datanode|gateway)|nodejs|process)_[a-z0-9_]+/g)
  return (names ?? []).map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
}

function expressionsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) =>
    key === 'expr' && typeof item === 'string' ? [item] : expressionsIn(item),
  )
}

async function scrape(address: string): Promise<string> {
  const response = await fetch(`http://${address}/metrics`)
  return response.text()
}

async function scrapeAll(cluster: RealCluster, gateway: RunningGateway): Promise<string[]> {
  const namenode = `127.0.0.1:${cluster.httpPort}`
  const found = await fetch(`http://${namenode}/prometheus/datanodes`)
  const [datanode] = (await found.json()) as { targets: string[] }[]
  const addresses = [namenode, datanode?.targets[0] ?? '', `127.0.0.1:${gateway.port}`]
  return Promise.all(addresses.map((address) => scrape(address)))
}

/** The table of one daemon's own metrics. */
function tableOf(text: string): string {
  const rows = describedIn(text)
    .filter(({ name }) => name.startsWith('trefoil_'))
    .map(({ name, type, help }) => `| \`${name}\` | ${type} | ${help} |`)
  return ['| metric | type | what it shows |', '|---|---|---|', ...rows].join('\n')
}

/** The page with its tables as the daemons' scrapes have them. */
function withTables(text: string, scrapes: readonly string[]): string {
  return ['namenode', 'datanode', 'gateway'].reduce((written, daemon, index) => {
    const [begin, end] = [`<!-- metrics of ${daemon} -->`, `<!-- end of ${daemon} -->`]
    const from = written.indexOf(begin) + begin.length
    const to = written.indexOf(end)
    return `${written.slice(0, from)}\n${tableOf(scrapes[index] ?? '')}\n${written.slice(to)}`
  }, text)
}

t.test('alert rules hold what their unit tests say', { skip: skipWithout(promtool) }, async (t) => {
  const cwd = join(operations, 'prometheus')
  for (const args of [
    ['check', 'rules', 'alerts.yml'],
    ['check', 'config', 'prometheus.yml'],
    ['test', 'rules', 'alerts.test.yml'],
  ]) {
    const { status, stdout, stderr } = await run('promtool', args, { cwd })
    t.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`)
  }
})

t.test('what daemons show is named well, documented, and all that others ask for', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await gateway.stop()
    await cluster.stop()
  })
  await fetch(`http://127.0.0.1:${gateway.port}/files/x`, { method: 'PUT', body: 'text' })
  const scrapes = await scrapeAll(cluster, gateway)
  const shown = new Set(scrapes.flatMap((text) => describedIn(text).map(({ name }) => name)))

  await t.test('promtool finds no fault', { skip: skipWithout(promtool) }, async (t) => {
    for (const text of scrapes) {
      const { stdout, stderr } = await run('promtool', ['check', 'metrics'], { input: text })
      const faults = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('trefoil_'))
      t.same(faults, [])
    }
  })

  await t.test('dashboard and alerts ask only for what is there', async (t) => {
    const dashboard = JSON.parse(
      readFileSync(join(operations, 'grafana/trefoil.json'), 'utf8'),
    ) as unknown
    const expressions = expressionsIn(dashboard)
    t.ok(expressions.length > 40)
    const alerts = readFileSync(join(operations, 'prometheus/alerts.yml'), 'utf8')
    for (const name of new Set(namesIn([...expressions, alerts].join('\n')))) {
      t.ok(shown.has(name), `${name} is shown by a daemon`)
    }
  })

  await t.test('docs/OBSERVABILITY.md lists every metric', async (t) => {
    const text = readFileSync(page, 'utf8')
    const wanted = withTables(text, scrapes)
    if (process.env['OBSERVABILITY_REWRITE'] === '1') writeFileSync(page, wanted)
    else t.equal(text, wanted, 'OBSERVABILITY_REWRITE=1 writes the tables again')
    for (const [, alert = ''] of readFileSync(
      join(operations, 'prometheus/alerts.yml'),
      'utf8',
    ).matchAll(/alert: (\w+)/g)) {
      t.ok(text.includes(alert), `${alert} is documented`)
    }
  })
})

/** A Prometheus with the shipped configuration, in a hurry. */
class HurriedPrometheus {
  readonly #child: ChildProcess
  readonly #url: string
  readonly #directory: string
  #log = ''

  constructor(directory: string, port: number) {
    this.#directory = directory
    this.#url = `http://127.0.0.1:${port}/api/v1`
    this.#child = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#log = `${this.#log}${chunk.toString()}`.slice(-4000)
    })
  }

  /** Starts one that scrapes the cluster every second; rules are as they are shipped. */
  static async start(cluster: RealCluster, gatewayPort: number): Promise<HurriedPrometheus> {
    const directory = mkdtempSync(join(tmpdir(), 'trefoil-prometheus-'))
    const shipped = (name: string): string =>
      readFileSync(join(operations, 'prometheus', name), 'utf8')
    const configuration = shipped('prometheus.yml')
      .replaceAll('127.0.0.1:9870', `127.0.0.1:${cluster.httpPort}`)
      .replaceAll('127.0.0.1:9880', `127.0.0.1:${gatewayPort}`)
      .replaceAll(/(scrape_interval|evaluation_interval|refresh_interval): \w+/g, '$1: 1s')
    writeFileSync(join(directory, 'prometheus.yml'), configuration)
    writeFileSync(join(directory, 'alerts.yml'), shipped('alerts.yml'))
    return new HurriedPrometheus(directory, await pickFreePort('127.0.0.1'))
  }

  async get(path: string): Promise<unknown> {
    const response = await fetch(`${this.#url}/${path}`)
    const { data } = (await response.json()) as { data: unknown }
    return data
  }

  /** Alerts that fire or are about to, as `name state`. */
  async alerts(): Promise<string[]> {
    const { alerts } = (await this.get('alerts')) as {
      alerts: { labels: { alertname: string }; state: string }[]
    }
    return alerts.map(({ labels, state }) => `${labels.alertname} ${state}`).sort()
  }

  /** Polls until `look` finds something. */
  async until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + 40_000
    for (;;) {
      const found = await look().catch(() => undefined)
      if (found !== undefined) return found
      if (Date.now() > deadline) throw new Error(`Waited in vain for ${what}\n${this.#log}`)
      await sleep(200)
    }
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await gone
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

t.test(
  'a datanode is killed: the alert fires, and is over when the datanode is back',
  { skip: skipWithout(prometheus) },
  async (t) => {
    const cluster = await startCluster({
      datanodes: 2,
      settings: {
        ...{ 'dfs.replication': 2, 'dfs.namenode.stale.datanode.interval': 2000 },
        'dfs.namenode.dead.datanode.interval': 4000,
      },
    })
    const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
    const watcher = await HurriedPrometheus.start(cluster, gateway.port)
    t.teardown(async () => {
      await watcher.stop()
      await gateway.stop()
      await cluster.stop()
    })
    const jobs = await watcher.until('every target to be scraped', async () => {
      const { result } = (await watcher.get('query?query=sum%20by%20(job)%20(up)')) as {
        result: { metric: { job: string }; value: [number, string] }[]
      }
      const up = Object.fromEntries(result.map(({ metric, value }) => [metric.job, value[1]]))
      return up['trefoil-datanode'] === '2' && up['trefoil-gateway'] === '1' ? up : undefined
    })
    t.equal(jobs['trefoil-namenode'], '1')
    // Before the first scrape Prometheus does not know that there is a namenode, and is about to say so.
    await watcher.until('a healthy cluster to be silent', async () => {
      return (await watcher.alerts()).length === 0 ? true : undefined
    })
    await cluster.kill('datanode-1')
    const alerts = await watcher.until('the alerts of a killed datanode', async () => {
      const found = await watcher.alerts()
      const isTold = found.includes('TrefoilDatanodeDead firing')
      return isTold && found.some((alert) => alert.startsWith('TrefoilDatanodeDown'))
        ? found
        : undefined
    })
    t.ok(alerts.includes('TrefoilDatanodeDown pending'), 'it has not been down for a minute')
    t.notOk(alerts.some((alert) => alert.startsWith('TrefoilBlocksMissing')))
    cluster.start('datanode-1')
    await watcher.until('the end of the alert', async () => {
      return (await watcher.alerts()).includes('TrefoilDatanodeDead firing') ? undefined : true
    })
    t.pass('the alert is over')
  },
)
