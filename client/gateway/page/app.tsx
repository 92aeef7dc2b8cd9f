import type { ComponentChild, JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { SessionCaller } from '../api/views.ts'
import { onRefusal } from './api.ts'
import { followCluster, useCluster } from './cluster.ts'
import { Events } from './events.tsx'
import { Files } from './files.tsx'
import { moment } from './format.ts'
import { Jobs } from './jobs.tsx'
import { Nodes } from './nodes.tsx'
import { Overview } from './overview.tsx'
import { Repair } from './repair.tsx'
import { listed, loadSession, noteRefusal, signOut, useSession, whyNot } from './session.ts'
import { SignIn } from './sign-in.tsx'
import { chooseTheme, currentTheme } from './theme.ts'
import { Trash } from './trash.tsx'

interface Area {
  readonly title: string
  readonly render: (rest: string) => ComponentChild
  /** It is about the whole cluster, which a token for a part of the tree does not show. */
  readonly isOfCluster?: boolean
}

/** The areas of the page, in the order of its navigation; the key is what stands behind `#/`. */
const areas: Readonly<Record<string, Area>> = {
  overview: { title: 'Overview', render: () => <Overview />, isOfCluster: true },
  nodes: { title: 'Nodes', render: () => <Nodes />, isOfCluster: true },
  repair: { title: 'Repair', render: () => <Repair />, isOfCluster: true },
  jobs: { title: 'Jobs', render: () => <Jobs />, isOfCluster: true },
  files: { title: 'Files', render: (rest) => <Files path={rest} /> },
  trash: { title: 'Trash', render: () => <Trash /> },
  events: { title: 'Events', render: () => <Events />, isOfCluster: true },
}

/** The whole page: navigation, one area, and who is looking. */
export function App(): JSX.Element {
  const { name, rest } = useRoute()
  const { session, failure } = useSession()
  const main = useRef<HTMLElement>(null)
  const isFirst = useRef(true)
  const caller = session?.caller ?? undefined
  const title = session?.caller === null ? 'Sign in' : (areas[name]?.title ?? 'Overview')
  useEffect(() => {
    onRefusal(noteRefusal)
    void loadSession()
  }, [])
  useEffect(() => {
    document.title = `${title} – Trefoil`
    // A screen reader starts over with the new area; the first one is read from the top.
    if (!isFirst.current) main.current?.focus()
    isFirst.current = false
  }, [title])
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          main.current?.focus()
        }}
      >
        Skip to the content
      </a>
      <header>
        <a class="brand" href="#/overview">
          <Leaf />
          Trefoil
        </a>
        <nav aria-label="Areas">
          {caller !== undefined &&
            Object.entries(areas).map(([key, area]) => (
              <a key={key} href={`#/${key}`} aria-current={key === name ? 'page' : undefined}>
                {area.title}
              </a>
            ))}
        </nav>
        {session?.isSignedIn === true && <SignOut />}
        <ThemeToggle />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {failure !== undefined && <p class="failure">The gateway does not answer: {failure}</p>}
        {session?.caller === null && (
          <SignIn key={session.refusal ?? ''} refusal={session.refusal} />
        )}
        {caller !== undefined && <AreaOf key={caller.paths.join()} {...{ name, rest, caller }} />}
      </main>
      <Footer caller={caller} />
    </>
  )
}

/** One area, and the news of the cluster while the visitor may have them. */
function AreaOf({
  name,
  rest,
  caller,
}: {
  readonly name: string
  readonly rest: string
  readonly caller: SessionCaller
}) {
  const { connection, trouble } = useCluster()
  const area = areas[name]
  const seesCluster = whyNot('/', 'read') === undefined
  useEffect(
    () => (seesCluster ? followCluster(() => void loadSession()) : undefined),
    [seesCluster],
  )
  return (
    <>
      <div role="status" class="connection">
        {connection === 'lost' && <p>The gateway does not answer. Trying again…</p>}
        {trouble !== undefined && <p>The namenode does not answer: {trouble}</p>}
      </div>
      {area?.isOfCluster === true && !seesCluster ? (
        <>
          <h1>{area.title}</h1>
          <p>
            Your token is for {listed(caller)}: what concerns the whole cluster is not shown. Its{' '}
            <a href="#/files">files</a> are.
          </p>
        </>
      ) : (
        area?.render(rest)
      )}
    </>
  )
}

function Footer({ caller }: { readonly caller: SessionCaller | undefined }) {
  const { overview } = useCluster()
  if (caller === undefined) return <footer />
  const end = caller.expiresAtMs === null ? '' : `, until ${moment(caller.expiresAtMs)}`
  const rights = caller.right === 'read' ? ', reading only' : ''
  return (
    <footer>
      {overview !== undefined && `${overview.cluster} as `}
      {caller.user}
      {rights}
      {end}
    </footer>
  )
}

function SignOut() {
  return (
    <button type="button" onClick={() => void signOut()}>
      Sign out
    </button>
  )
}

function useRoute(): { readonly name: string; readonly rest: string } {
  const read = () => {
    const [, name = '', rest = ''] = /^#\/([a-z]+)(.*)$/.exec(location.hash) ?? []
    return Object.hasOwn(areas, name) ? { name, rest } : { name: 'overview', rest: '' }
  }
  const [route, setRoute] = useState(read)
  useEffect(() => {
    const follow = (): void => setRoute(read())
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  return route
}

function ThemeToggle() {
  const [theme, setTheme] = useState(currentTheme)
  const other = theme === 'dark' ? 'light' : 'dark'
  return (
    <button
      type="button"
      class="quiet"
      aria-label={`Switch to ${other} colours`}
      onClick={() => {
        chooseTheme(other)
        setTheme(other)
      }}
    >
      {theme === 'dark' ? '☀' : '☾'}
    </button>
  )
}

function Leaf() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="9.5" r="6.5" />
      <circle cx="9.5" cy="18" r="6.5" />
      <circle cx="22.5" cy="18" r="6.5" />
      <path d="M14.8 17h2.4l1.6 14h-5.6z" />
    </svg>
  )
}
