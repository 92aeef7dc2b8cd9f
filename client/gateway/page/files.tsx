import type { JSX } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { EntryView, ListingView } from '../api/views.ts'
import { Action } from './action.tsx'
import { call, messageOf } from './api.ts'
import { Confirmation } from './dialog.tsx'
import { FileMap } from './file-map.tsx'
import { counted, moment, size } from './format.ts'
import { useSession, whyNot } from './session.ts'
import { fileUrl } from './upload.ts'
import { Uploads } from './uploads.tsx'

/** Entries asked for at a time. */
const entriesPerPage = 200

interface Question {
  readonly kind: 'rename' | 'delete' | 'blocks' | 'mkdir'
  readonly entry?: EntryView
}

/** Area: the tree of files. `path` is what stands behind `#/files`, encoded; the root is empty. */
export function Files({ path: encoded }: { readonly path: string }): JSX.Element {
  const path = decode(encoded)
  return whyNot(path, 'read') === undefined ? <Directory path={path} /> : <Places />
}

/** Where a token for parts of the tree leads. */
function Places() {
  const caller = useSession().session?.caller
  return (
    <>
      <h1>Files</h1>
      <p>Your token is for these:</p>
      <ul>
        {(caller?.paths ?? []).map((path) => (
          <li key={path}>
            <a href={linkTo(path)}>{path}</a>
          </li>
        ))}
      </ul>
    </>
  )
}

function Directory({ path }: { readonly path: string }) {
  const { listing, failure, isBusy, reload, more } = useListing(path)
  const [question, setQuestion] = useState<Question>()
  const at = (name: string): string => (path === '/' ? `/${name}` : `${path}/${name}`)
  return (
    <>
      <h1>Files</h1>
      <Crumbs path={path} />
      {whyNot(path, 'write') === undefined ? (
        <Uploads at={at} onStored={reload} />
      ) : (
        <p class="note">{whyNot(path, 'write')}: nothing can be changed here.</p>
      )}
      <div class="buttons">
        <Action path={path} onAct={() => setQuestion({ kind: 'mkdir' })}>
          New directory
        </Action>
      </div>
      {failure !== undefined && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      <p role="status" class="note">
        {statusText(listing, isBusy)}
      </p>
      {listing !== undefined && listing.entries.length > 0 && (
        <EntryTable entries={listing.entries} at={at} onAsk={setQuestion} />
      )}
      {typeof listing?.next === 'string' && (
        <button type="button" disabled={isBusy} onClick={more}>
          Show more
        </button>
      )}
      {question !== undefined && (
        <FileQuestion
          {...question}
          at={at}
          onDone={reload}
          onClose={() => setQuestion(undefined)}
        />
      )}
    </>
  )
}

function decode(encoded: string): string {
  try {
    return `/${decodeURIComponent(encoded).replace(/^\/+|\/+$/g, '')}`
  } catch {
    return '/'
  }
}

function statusText(listing: ListingView | undefined, isBusy: boolean): string {
  if (listing === undefined) return isBusy ? 'Listing…' : ''
  const { entries, next } = listing
  const text = counted(entries.length, 'entry').replace(/entrys$/, 'entries')
  return next === null ? text : `the first ${text}`
}

/** A directory as far as it was asked for, page after page. */
function useListing(path: string) {
  const [listing, setListing] = useState<ListingView>()
  const [failure, setFailure] = useState<string>()
  const [isBusy, setBusy] = useState(false)
  const load = useCallback(
    async (before: ListingView | undefined, isWanted: () => boolean): Promise<void> => {
      setBusy(true)
      try {
        const next = before?.next ?? null
        const after = next === null ? '' : `&after=${encodeURIComponent(next)}`
        const page = await call<ListingView>(`${fileUrl(path)}?limit=${entriesPerPage}${after}`)
        if (!isWanted()) return
        setListing({ ...page, entries: [...(before?.entries ?? []), ...page.entries] })
        setFailure(undefined)
      } catch (error) {
        if (isWanted()) setFailure(messageOf(error))
      } finally {
        if (isWanted()) setBusy(false)
      }
    },
    [path],
  )
  useEffect(() => {
    let isShown = true
    setListing(undefined)
    void load(undefined, () => isShown)
    return () => {
      isShown = false
    }
  }, [load])
  const always = (): boolean => true
  return {
    ...{ listing, failure, isBusy },
    reload: () => void load(undefined, always),
    more: () => void load(listing, always),
  }
}

function Crumbs({ path }: { readonly path: string }) {
  const names = path.split('/').filter((name) => name !== '')
  return (
    <nav class="crumbs" aria-label="Path">
      <a href="#/files">root</a>
      {names.map((name, index) => {
        const to = `/${names.slice(0, index + 1).join('/')}`
        return (
          <span key={to}>
            {' / '}
            <a href={linkTo(to)} aria-current={index === names.length - 1 ? 'location' : undefined}>
              {name}
            </a>
          </span>
        )
      })}
    </nav>
  )
}

function linkTo(path: string): string {
  return `#/files${path.split('/').map(encodeURIComponent).join('/')}`
}

function EntryTable({
  entries,
  at,
  onAsk,
}: {
  readonly entries: readonly EntryView[]
  readonly at: (name: string) => string
  readonly onAsk: (question: Question) => void
}) {
  return (
    <div class="scroll" role="region" aria-label="Entries" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">Changed</th>
            <th scope="col">Owner</th>
            <th scope="col">Actions</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <EntryRow key={entry.name} entry={entry} path={at(entry.name)} onAsk={onAsk} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function EntryRow({
  entry,
  path,
  onAsk,
}: {
  readonly entry: EntryView
  readonly path: string
  readonly onAsk: (question: Question) => void
}) {
  const { name, type, size: bytes, owner, group, mode, mtimeMs } = entry
  const isDirectory = type === 'directory'
  const button = (kind: Question['kind'], text: string) => (
    <Action path={path} label={`${text} ${name}`} onAct={() => onAsk({ kind, entry })}>
      {text}
    </Action>
  )
  return (
    <tr>
      <th scope="row">
        {isDirectory ? (
          <a href={linkTo(path)}>{name}/</a>
        ) : (
          <a href={`${fileUrl(path)}?download`} download={name}>
            {name}
          </a>
        )}
      </th>
      <td class="number">{isDirectory ? '–' : size(bytes)}</td>
      <td>{moment(mtimeMs)}</td>
      <td>
        {owner}:{group} <code>{mode}</code>
      </td>
      <td>
        <div class="buttons small">
          {!isDirectory && (
            <button
              type="button"
              aria-label={`Blocks ${name}`}
              onClick={() => onAsk({ kind: 'blocks', entry })}
            >
              Blocks
            </button>
          )}
          {button('rename', 'Rename')}
          {button('delete', 'Delete')}
        </div>
      </td>
    </tr>
  )
}

function FileQuestion({
  kind,
  entry,
  at,
  onDone,
  onClose,
}: Question & {
  readonly at: (name: string) => string
  readonly onDone: () => void
  readonly onClose: () => void
}) {
  const name = entry?.name ?? ''
  const [text, setText] = useState(name)
  if (kind === 'blocks') return <FileMap path={at(name)} onClose={onClose} />
  const confirm = async (): Promise<void> => {
    if (kind === 'mkdir') await call(fileUrl(at(text)), { mkdir: {} })
    else if (kind === 'rename') await call(fileUrl(at(name)), { move: { to: at(text) } })
    else await call(`${fileUrl(at(name))}?recursive`, undefined, 'DELETE')
    onDone()
  }
  const { title, action } = {
    mkdir: { title: 'New directory', action: 'Create' },
    rename: { title: `Rename ${name}`, action: 'Rename' },
    delete: { title: `Delete ${name}?`, action: 'Delete' },
  }[kind]
  return (
    <Confirmation
      title={title}
      action={action}
      isDangerous={kind === 'delete'}
      onConfirm={confirm}
      onClose={onClose}
    >
      {kind === 'delete' ? (
        <p>It goes to your trash, from where it can be restored.</p>
      ) : (
        <label>
          Name
          <input
            required
            pattern="[^\/]+"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
      )}
    </Confirmation>
  )
}
