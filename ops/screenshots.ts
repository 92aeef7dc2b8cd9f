/**
 * Regenerates docs/page/*.png from a running gateway: `node ops/bootstrap.mjs run ops/screenshots.ts [URL]`, by default
 * that of `npm start`. Puts a few example files into /example of its cluster; use one made for it. Needs Chromium.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const site = process.argv[2] ?? 'http://127.0.0.1:9880/'
const target = 'docs/page'

const areas = [
  { file: 'overview', hash: '#/overview', heading: 'Health', theme: 'light' },
  { file: 'overview-dark', hash: '#/overview', heading: 'Health', theme: 'dark' },
  { file: 'nodes', hash: '#/nodes', heading: 'Last heartbeat', theme: 'light' },
  { file: 'repair', hash: '#/repair', heading: 'All datanodes are in service', theme: 'dark' },
  { file: 'files', hash: '#/files/example', heading: 'report.csv', theme: 'light' },
  { file: 'trash', hash: '#/trash', heading: '/example/old.log', theme: 'dark' },
] as const

async function fillExamples(): Promise<void> {
  const put = async (name: string, bytes: number): Promise<void> => {
    const body = Buffer.alloc(bytes, 'example ')
    const { ok, status } = await fetch(new URL(`files/example/${name}`, site), {
      ...{ method: 'PUT', body },
    })
    if (!ok) throw new Error(`cannot store ${name}: the gateway answered ${status}`)
  }
  await put('report.csv', 3_000_000)
  await put('photos/garden.jpg', 800_000)
  await put('backup.tar', 20_000_000)
  await put('old.log', 120_000)
  await fetch(new URL('files/example/old.log', site), { method: 'DELETE' })
}

async function main(): Promise<void> {
  mkdirSync(target, { recursive: true })
  await fillExamples()
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  })
  try {
    for (const { file, hash, heading, theme } of areas) {
      const page = await browser.newPage({
        ...{ viewport: { width: 1000, height: 620 }, colorScheme: theme },
      })
      await page.goto(new URL(hash, site).href)
      const found = hash === '#/overview' ? page.getByLabel(heading) : page.getByText(heading)
      await found.first().waitFor()
      await page.screenshot({ path: join(target, `${file}.png`) })
      await page.close()
    }
  } finally {
    await browser.close()
  }
}

await main()
