/** The page in a real browser, over a real cluster. Every step waits for what it must see, none for a time. */
import { readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { runGateway } from '../../../client/gateway/main.ts'
import { accessibilityViolations, chromiumProgram, launchBrowser } from '../../support/browser.ts'
import { startCluster } from '../../support/cluster.ts'
import { skipWithout } from '../../support/foreign-program.ts'

const skip = skipWithout(chromiumProgram)
t.setTimeout(120_000)

t.test('the page', { skip, timeout: 120_000 }, async (t) => {
  const cluster = await startCluster({ datanodes: 3 })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  const browser: Browser = await launchBrowser()
  t.teardown(async () => {
    await browser.close()
    await gateway.stop()
    await cluster.stop()
  })
  const site = `http://127.0.0.1:${gateway.port}/`
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  const page: Page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })

  const areas = ['Overview', 'Nodes', 'Repair', 'Jobs', 'Files', 'Trash', 'Events']

  t.test('Overview says in one sentence that all is well', async (t) => {
    await page.goto(site)
    await page.getByText('Everything is well: 3 datanodes live').waitFor()
    t.equal(await page.title(), 'Overview – Trefoil')
    t.same(await accessibilityViolations(page), [])
  })

  t.test('a datanode is drained and resumed with the keyboard alone', async (t) => {
    await page.getByRole('link', { name: 'Nodes' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Nodes' }).waitFor()
    await page.getByText('3 datanodes').waitFor()
    t.equal(await page.evaluate('document.activeElement.id'), 'main', 'the new area has the focus')
    // The filter, then the first datanode's Drain.
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    t.match(await page.evaluate('document.activeElement.ariaLabel'), /^Drain localhost/)
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.waitFor()
    t.same(await accessibilityViolations(page), [])
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    t.match(await page.evaluate('document.activeElement.ariaLabel'), /^Drain localhost/)
    await page.keyboard.press('Enter')
    await dialog.waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText(/^drain(ing|ed)$/).waitFor()
    await page.getByRole('button', { name: 'Resume' }).press('Enter')
    await page.getByRole('button', { name: 'Resume', exact: true }).press('Enter')
    await page.getByText(/^drain(ing|ed)$/).waitFor({ state: 'detached' })
  })

  t.test('balancing is stopped, and started with a look at the plan', async (t) => {
    await page.getByRole('link', { name: 'Jobs' }).click()
    await page.getByRole('button', { name: 'Stop balancing' }).click()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await page.getByText('Would keep every datanode within').waitFor()
    t.same(await accessibilityViolations(page), [])
    await page.getByRole('button', { name: 'Start balancing' }).click()
    t.same(await accessibilityViolations(page), [])
    await page.getByLabel('Threshold in %').fill('3')
    await page.getByRole('button', { name: 'What would move?' }).click()
    await page.getByText('Nothing: every datanode is within that.').waitFor()
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await page.getByText('Keeps every datanode within 3 %').waitFor()
  })

  t.test('events are listed, filtered, and come by themselves', async (t) => {
    await page.getByRole('link', { name: 'Events' }).click()
    await page.getByText('Balancing is on, within 3 %').waitFor()
    await page.getByText(/^Asked for datanode .* to be drained$/).waitFor()
    await page.getByLabel('Kind').selectOption('audit')
    await page.getByText('Balancing is on').waitFor({ state: 'detached' })
    await page.getByLabel('Words').fill('/just/now')
    await page.getByText('Nothing of that happened lately.').waitFor()
    const client = cluster.client()
    await client.mkdir('/just/now', { recursive: true })
    await client.close()
    await page.getByText(/^mkdirs \/just\/now/).waitFor()
    t.same(await accessibilityViolations(page), [])
  })

  t.test('the last hour is drawn, and told in words', async (t) => {
    await page.getByRole('link', { name: 'Overview' }).click()
    const chart = page.getByRole('img', { name: /^Latency of the namenode over the last hour/ })
    await chart.waitFor()
    t.match(
      await chart.getAttribute('aria-label'),
      /calls, 99 of 100 within now .*, at most .* [µm]s/,
    )
    await chart.locator('canvas').waitFor()
    t.equal(await page.locator('.chart canvas').count(), 5)
    t.same(await accessibilityViolations(page), [])
    await page.getByRole('link', { name: 'Nodes' }).click()
  })

  t.test('a filter leaves the datanodes that match', async (t) => {
    await page.getByLabel('Filter').fill('no such rack')
    await page.getByText('0 datanodes').waitFor()
    await page.getByLabel('Filter').fill('')
    await page.getByText('3 datanodes').waitFor()
    t.equal(await page.getByRole('listitem').count(), 3)
  })

  t.test('files are uploaded, looked at, renamed, deleted and restored', async (t) => {
    await page.getByRole('link', { name: 'Files' }).click()
    await page.getByRole('button', { name: 'New directory' }).click()
    await page.getByRole('textbox', { name: 'Name' }).fill('reports')
    await page.getByRole('button', { name: 'Create' }).click()
    await page.getByRole('link', { name: 'reports/' }).click()
    await page.getByText('0 entries').waitFor()
    const buffer = Buffer.alloc(2 ** 20 + 1, 'trefoil')
    const files = [
      { name: 'big.bin', mimeType: 'application/octet-stream', buffer },
      { name: 'späte Notiz.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') },
    ]
    const chooser = page.getByLabel('Drop files here')
    await chooser.setInputFiles(files)
    await page.getByText('2 entries').waitFor()
    t.same(await accessibilityViolations(page), [])
    const client = cluster.client()
    t.ok(
      (await client.readFile('/reports/big.bin')).equals(buffer),
      'what arrived is what was sent',
    )
    const started = page.waitForEvent('download')
    await page.getByRole('link', { name: 'späte Notiz.txt' }).click()
    const download = await started
    t.equal(download.suggestedFilename(), 'späte Notiz.txt')
    t.equal(readFileSync(await download.path(), 'utf8'), 'hello')
    await page.getByRole('button', { name: 'Blocks big.bin' }).click()
    await page.getByText('1.0 MiB in 1 block, 3 replicas of each wanted').waitFor()
    t.equal(await page.locator('.held').count(), 3)
    t.same(await accessibilityViolations(page), [])
    await page.getByRole('button', { name: 'Close' }).click()
    await page.getByRole('button', { name: 'Rename big.bin' }).click()
    await page.getByRole('textbox', { name: 'Name' }).fill('large.bin')
    await page.getByRole('button', { name: 'Rename', exact: true }).click()
    await page.getByRole('button', { name: 'Delete large.bin' }).click()
    await page.getByRole('button', { name: 'Delete', exact: true }).click()
    await page.getByText('1 entry', { exact: true }).waitFor()
    t.notOk(await client.exists('/reports/large.bin'))
    await page.getByRole('link', { name: 'Trash' }).click()
    await page.getByRole('button', { name: 'Restore /reports/large.bin' }).waitFor()
    t.same(await accessibilityViolations(page), [])
    await page.getByRole('button', { name: 'Restore /reports/large.bin' }).press('Enter')
    await page.getByText('Restored /reports/large.bin').waitFor()
    await page.getByText('Your trash is empty.').waitFor()
    t.ok((await client.readFile('/reports/large.bin')).equals(buffer))
    await client.close()
    await page.getByRole('link', { name: 'Nodes' }).click()
  })

  t.test('a big directory comes page by page', async (t) => {
    const client = cluster.client()
    await Promise.all(
      Array.from({ length: 250 }, (_, index) =>
        client.mkdir(`/many/d${String(index).padStart(3, '0')}`, { recursive: true }),
      ),
    )
    await client.close()
    await page.goto(`${site}#/files/many`)
    await page.getByText('the first 200 entries').waitFor()
    await page.getByRole('button', { name: 'Show more' }).press('Enter')
    await page.getByText('250 entries', { exact: true }).waitFor()
    t.equal(await page.getByRole('link', { name: /^d\d+\/$/ }).count(), 250)
    await page.goto(`${site}#/nodes`)
  })

  t.test('dark colours are remembered, and as readable', async (t) => {
    await page.getByRole('button', { name: 'Switch to dark colours' }).click()
    await page.reload()
    await page.getByText('3 datanodes').waitFor()
    t.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark')
    t.same(await accessibilityViolations(page), [])
    await page.getByRole('button', { name: 'Switch to light colours' }).click()
    t.same(await accessibilityViolations(page), [])
  })

  t.test('on a phone nothing is wider than the screen', async (t) => {
    await page.setViewportSize({ width: 360, height: 740 })
    for (const area of areas) {
      await page.getByRole('link', { name: area, exact: true }).click()
      await page.getByRole('heading', { level: 1, name: area }).waitFor()
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), 360, area)
      t.same(await accessibilityViolations(page), [])
    }
    await page.setViewportSize({ width: 1280, height: 800 })
  })

  t.test('what changes is shown without a reload', async (t) => {
    await page.getByRole('link', { name: 'Overview' }).click()
    const client = cluster.client()
    await client.safeMode('enter')
    await page.getByText('Safe mode is on').waitFor()
    await page.getByRole('link', { name: 'Repair' }).click()
    await page.getByText('Nothing is repaired: safe mode is on.').waitFor()
    await page.getByText('All datanodes are in service.').waitFor()
    await client.safeMode('leave')
    await page.getByText('Nothing is repaired').waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByText('Everything is well').waitFor()
    await client.close()
    t.same(problems, [], 'the browser had nothing to complain about')
  })
})
