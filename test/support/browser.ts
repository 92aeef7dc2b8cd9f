/** A headless Chromium, driven by playwright-core, for tests of the page and its screenshots. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { ForeignProgram } from './foreign-program.ts'

/** Debian's browser; `CHROMIUM` names another one. */
export const chromiumProgram: ForeignProgram = {
  command: process.env['CHROMIUM'] ?? 'chromium',
  probe: ['--version'],
  install: 'apt-get install chromium',
}

/** Starts the browser. Root needs its sandbox off; what it visits is ours. */
export function launchBrowser(): Promise<Browser> {
  const { command } = chromiumProgram
  return chromium.launch({
    executablePath: command.includes('/') ? command : `/usr/bin/${command}`,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  })
}

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
)

interface AxeViolation {
  readonly id: string
  readonly help: string
  readonly nodes: readonly { readonly target: readonly string[]; readonly html: string }[]
}

/** What axe-core finds wrong with the page as it is, one line each. */
export async function accessibilityViolations(page: Page): Promise<string[]> {
  await page.evaluate(axeSource)
  const violations = await page.evaluate<AxeViolation[]>(
    'axe.run().then((result) => result.violations)',
  )
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, html }) => `${id}: ${help}: ${target.join(' ')} ${html}`),
  )
}
