/** Signing in to the operators' page: the cookie and its borders over real HTTP, then the page in a real browser. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import express from 'express'
import type { Page } from 'playwright-core'
import t from 'tap'
import { EventStreams } from '../../../client/gateway/api/event-stream.ts'
import type { SessionView } from '../../../client/gateway/api/views.ts'
import { ClusterWatch } from '../../../client/gateway/api/watch.ts'
import { HttpError } from '../../../client/gateway/http-error.ts'
import { runGateway } from '../../../client/gateway/main.ts'
import { TokenStore } from '../../../client/gateway/tokens.ts'
import { accessibilityViolations, chromiumProgram, launchBrowser } from '../../support/browser.ts'
import { startCluster } from '../../support/cluster.ts'
import { skipWithout } from '../../support/foreign-program.ts'

t.setTimeout(120_000)

/** A gateway knows of a new or revoked token within that time. */
const tokensKnownMs = 1_050

t.test('a stream of events ends with its token, not with the reading of tokens', async (t) => {
  let refusal: HttpError | undefined = new HttpError(503, 'BUSY', 'Cannot read the tokens')
  let asked = 0
  const watch = new ClusterWatch({ observe: () => Promise.reject(new Error('no')), periodMs: 5 })
  const streams = new EventStreams(watch, { heartbeatMs: 5, stalledMs: 60_000 })
  const application = express()
  application.get('/', (_request, response) => {
    streams.send(response, async () => {
      asked += 1
      if (refusal !== undefined) throw refusal
    })
  })
  const server = application.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  const reading = response.text()
  while (asked < 3) await delay(1)
  refusal = undefined
  const before = asked
  while (asked < before + 3) await delay(1)
  refusal = new HttpError(401, 'UNAUTHORIZED', 'The token has expired')
  t.ok((await reading).split(': alive').length > 5, 'it went on until then')
})

t.test('signing in', { timeout: 120_000 }, async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const client = cluster.client()
  const tokens = new TokenStore(client)
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await client.close()
    await gateway.stop()
    await cluster.stop()
  })
  const host = `127.0.0.1:${gateway.port}`
  const site = `http://${host}`
  const grant = { user: client.user, paths: ['/'], right: 'write', expiresAtMs: null } as const
  await client.mkdir('/part')
  await client.writeFile('/part/notes.txt', 'for those who may')
  await client.writeFile('/other', 'not for everybody')

  /** `fetch` would not send these headers as they are. */
  const send = (
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: string,
  ): Promise<{ status: number; text: string; cookie: string }> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ ...{ host: '127.0.0.1', port: gateway.port, path, method } })
      for (const [name, value] of Object.entries(headers)) request.setHeader(name, value)
      request.on('error', reject)
      request.on('response', (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          text += chunk
        })
        answer.on('end', () => {
          const cookie = answer.headers['set-cookie']?.[0] ?? ''
          resolve({ status: answer.statusCode ?? 0, text, cookie })
        })
      })
      request.end(body)
    })
  const json = { 'content-type': 'application/json' }
  const sessionWith = async (headers: Record<string, string>): Promise<SessionView> =>
    JSON.parse((await send('GET', '/api/v1/session', headers)).text) as SessionView

  t.test('without tokens there is nothing to sign in to', async (t) => {
    t.same(await sessionWith({}), {
      caller: { user: cluster.user, paths: ['/'], right: 'write', expiresAtMs: null },
      isSignedIn: false,
      refusal: null,
    })
    const left = { cookie: `trefoil-token-${gateway.port}=dfs_of-former-days` }
    t.equal((await send('GET', '/files/', left)).status, 200, 'an old cookie locks nobody out')
  })

  t.test('a cookie counts in requests of the page, and in no others', async (t) => {
    const { token, text } = await tokens.create(grant)
    await delay(tokensKnownMs)
    t.same(await sessionWith({}), { caller: null, isSignedIn: false, refusal: null })
    const signedIn = await send(
      'POST',
      '/api/v1/session',
      json,
      JSON.stringify({ token: ` ${text}\n` }),
    )
    t.equal(signedIn.status, 200)
    t.match(JSON.parse(signedIn.text), { caller: { right: 'write' }, isSignedIn: true })
    t.notOk(signedIn.text.includes(text))
    t.match(signedIn.cookie, /; Path=\/; HttpOnly; SameSite=Strict$/)
    const secure = await send(
      ...(['POST', '/api/v1/session'] as const),
      { ...json, 'x-forwarded-proto': 'https' },
      JSON.stringify({ token: text }),
    )
    t.match(secure.cookie, /; Secure$/)
    const cookie = signedIn.cookie.split(';')[0] ?? ''
    const own = { cookie, 'sec-fetch-site': 'same-origin' }
    const status = async (method: string, path: string, headers: Record<string, string>) =>
      (await send(method, path, headers)).status
    t.equal(await status('GET', '/files/', own), 200)
    t.equal(await status('GET', '/api/v1/overview', own), 200)
    t.equal(await status('GET', '/files/', { cookie }), 200, 'plain HTTP tells no site')
    t.equal(await status('GET', '/files/', { cookie, 'sec-fetch-site': 'none' }), 200)
    t.equal(await status('PUT', '/files/x', { cookie, origin: site }), 201)
    t.equal(await status('PUT', '/files/x', own), 204)
    for (const foreign of ['cross-site', 'same-site']) {
      t.equal(await status('GET', '/files/', { cookie, 'sec-fetch-site': foreign }), 401, foreign)
    }
    t.equal(await status('GET', '/files/', { cookie, origin: 'http://127.0.0.1:1' }), 401)
    t.equal(await status('PUT', '/files/x', { cookie }), 401, 'a change needs an origin')
    t.equal(await status('PUT', '/files/x', { cookie, 'sec-fetch-site': 'none' }), 401)
    t.equal(await status('PUT', '/files/x', { cookie, origin: 'http://127.0.0.1:1' }), 403)
    t.equal(await status('GET', '/webhdfs/v1/?op=LISTSTATUS', own), 401, 'not for other faces')
    const other = { ...own, cookie: cookie.replace(String(gateway.port), '1') }
    t.equal(await status('GET', '/files/', other), 401, "another gateway's cookie")
    const bearer = { ...own, authorization: 'Bearer dfs_made-up' }
    t.equal(await status('GET', '/files/', bearer), 401, 'what a request says itself wins')
    await tokens.revoke(token.id)
  })

  t.test('what is no token, forged, expired or revoked is refused with a reason', async (t) => {
    const { token, text } = await tokens.create(grant)
    const old = await tokens.create({ ...grant, expiresAtMs: Date.now() - 1 })
    await delay(tokensKnownMs)
    const refused = async (body: string): Promise<string> => {
      const { status, text: answer, cookie } = await send('POST', '/api/v1/session', json, body)
      t.equal(cookie, '')
      return `${status} ${answer}`
    }
    t.match(await refused('{}'), /^400 .*must be the text of a token/)
    t.match(await refused('{"token":7}'), /^400/)
    t.match(await refused(JSON.stringify({ token: 'dfs_x' })), /^401 .*The token is not valid/)
    t.match(await refused(JSON.stringify({ token: old.text })), /^401 .*The token has expired/)
    const foreign = { ...json, origin: 'http://elsewhere.example' }
    const body = JSON.stringify({ token: text })
    t.equal((await send('POST', '/api/v1/session', foreign, body)).status, 403)
    const { cookie } = await send('POST', '/api/v1/session', json, body)
    const [pair = ''] = cookie.split(';')
    await tokens.revoke(token.id)
    await delay(tokensKnownMs)
    t.match(await sessionWith({ cookie: pair }), { caller: null, refusal: /not valid/ })
    const out = await send('DELETE', '/api/v1/session', { cookie: pair })
    t.equal(out.status, 204)
    t.match(out.cookie, /^trefoil-token-\d+=; .*Max-Age=0$/)
  })

  t.test('the page', { skip: skipWithout(chromiumProgram) }, async (t) => {
    const whole = await tokens.create(grant)
    const reader = await tokens.create({ ...grant, right: 'read' })
    const part = await tokens.create({ ...grant, paths: ['/part'] })
    await delay(tokensKnownMs)
    const browser = await launchBrowser()
    t.teardown(() => browser.close())
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    const page: Page = await context.newPage()
    page.setDefaultTimeout(15_000)
    const signInWith = async (text: string): Promise<void> => {
      await page.getByLabel('Token').fill(text)
      await page.getByLabel('Token').press('Enter')
    }
    const signOut = () => page.getByRole('button', { name: 'Sign out' }).click()

    t.test('asks for a token and says what is wrong with one', async (t) => {
      await page.goto(site)
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      t.equal(await page.title(), 'Sign in – Trefoil')
      t.same(await accessibilityViolations(page), [])
      await signInWith('dfs_0123456789abcdef_made-up')
      await page.getByRole('alert').getByText('The token is not valid').waitFor()
      t.same(await accessibilityViolations(page), [])
      t.equal(await page.getByRole('navigation').getByRole('link').count(), 0)
    })

    t.test('a token opens it, for downloads and the stream of events too', async (t) => {
      await signInWith(whole.text)
      await page.getByText('Everything is well: 1 datanode live').waitFor()
      t.equal(await page.evaluate('document.cookie'), '', 'no script sees the token')
      await page.getByRole('link', { name: 'Files' }).click()
      await page.getByRole('link', { name: 'part/' }).click()
      const started = page.waitForEvent('download')
      await page.getByRole('link', { name: 'notes.txt' }).click()
      t.equal(readFileSync(await (await started).path(), 'utf8'), 'for those who may')
      await page.reload()
      await page.getByText('1 entry').waitFor()
      await signOut()
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    })

    t.test('a token that only reads leaves the buttons, which say why not', async (t) => {
      await signInWith(reader.text)
      await page.getByText('Your token may only read: nothing can be changed here.').waitFor()
      await page.getByText('reading only').waitFor()
      await page.getByRole('link', { name: 'Nodes' }).click()
      const drain = page.getByRole('button', { name: /^Drain / })
      t.equal(await drain.getAttribute('aria-disabled'), 'true')
      t.equal(await drain.getAttribute('title'), 'Your token may only read')
      await drain.press('Enter')
      t.equal(await page.getByRole('dialog').count(), 0)
      t.same(await accessibilityViolations(page), [])
      await signOut()
    })

    t.test('a token for a part of the tree shows that part', async (t) => {
      await signInWith(part.text)
      await page.getByText('Your token is for /part alone').waitFor()
      await page.getByRole('link', { name: 'Files', exact: true }).click()
      t.same(await accessibilityViolations(page), [])
      await page.getByRole('link', { name: '/part' }).click()
      await page.getByRole('button', { name: 'Delete notes.txt' }).press('Enter')
      await page.getByRole('button', { name: 'Delete', exact: true }).click()
      await page.getByText('0 entries').waitFor()
      await page.getByRole('link', { name: 'Trash' }).click()
      await page.getByRole('button', { name: 'Restore /part/notes.txt' }).click()
      await page.getByText('Restored /part/notes.txt').waitFor()
      await signOut()
    })

    t.test('a token that is revoked ends the visit', async (t) => {
      await signInWith(whole.text)
      await page.getByRole('heading', { name: 'Trash' }).waitFor()
      await tokens.revoke(whole.token.id)
      await delay(tokensKnownMs)
      await page.getByRole('link', { name: 'Files', exact: true }).click()
      await page.getByRole('alert').getByText('The token is not valid').waitFor()
      t.same(await accessibilityViolations(page), [])
    })
  })
})
