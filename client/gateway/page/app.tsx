import type { ComponentChild, JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useCluster } from './cluster.ts'
import { Files } from './files.tsx'
import { Nodes } from './nodes.tsx'
import { Overview } from './overview.tsx'
import { Repair } from './repair.tsx'
import { chooseTheme, currentTheme } from './theme.ts'
import { Trash } from './trash.tsx'

/** The areas of the page, in the order of its navigation; the key is what stands behind `#/`. */
const areas: Readonly<Record<string, { title: string; render: (rest: string) => ComponentChild }>> =
  {
    overview: { title: 'Overview', render: () => <Overview /> },
    nodes: { title: 'Nodes', render: () => <Nodes /> },
    repair: { title: 'Repair', render: () => <Repair /> },
    files: { title: 'Files', render: (rest) => <Files path={rest} /> },
    trash: { title: 'Trash', render: () => <Trash /> },
  }

/** The whole page: navigation, one area, and who is looking. */
export function App(): JSX.Element {
  const { name, rest } = useRoute()
  const { connection, trouble, overview } = useCluster()
  const main = useRef<HTMLElement>(null)
  const isFirst = useRef(true)
  const title = areas[name]?.title ?? 'Overview'
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
          {Object.entries(areas).map(([key, area]) => (
            <a key={key} href={`#/${key}`} aria-current={key === name ? 'page' : undefined}>
              {area.title}
            </a>
          ))}
        </nav>
        <ThemeToggle />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <div role="status" class="connection">
          {connection === 'lost' && <p>The gateway does not answer. Trying again…</p>}
          {trouble !== undefined && <p>The namenode does not answer: {trouble}</p>}
        </div>
        {areas[name]?.render(rest)}
      </main>
      <footer>
        {overview === undefined ? 'Connecting…' : `${overview.cluster} as ${overview.user}`}
      </footer>
    </>
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
