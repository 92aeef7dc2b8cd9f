import type { JSX } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { LogEntryView, LogView } from '../api/views.ts'
import { call, messageOf } from './api.ts'
import { useCluster } from './cluster.ts'
import { moment } from './format.ts'

const entriesPerPage = 100
/** Entries shown at most while the page follows; older ones are behind "Show more" again. */
const entriesMax = 2_000

interface Filter {
  readonly kind: string
  readonly level: string
  readonly text: string
}

/** Area: what happened, newest first, and what happens. */
export function Events(): JSX.Element {
  const [filter, setFilter] = useState<Filter>({ kind: '', level: '', text: '' })
  const { log, failure, more } = useLog(filter)
  const set = (change: Partial<Filter>): void => setFilter((before) => ({ ...before, ...change }))
  return (
    <>
      <h1>Events</h1>
      <div class="filters">
        <label>
          Kind
          <select
            value={filter.kind}
            onChange={(event) => set({ kind: event.currentTarget.value })}
          >
            <option value="">all</option>
            <option value="cluster">cluster</option>
            <option value="operator">operators</option>
            <option value="audit">audit log</option>
          </select>
        </label>
        <label>
          Level
          <select
            value={filter.level}
            onChange={(event) => set({ level: event.currentTarget.value })}
          >
            <option value="">all</option>
            <option value="info">info</option>
            <option value="warning">warning</option>
            <option value="danger">danger</option>
          </select>
        </label>
        <label>
          Words
          <input
            type="search"
            value={filter.text}
            placeholder="path, user, datanode"
            onInput={(event) => set({ text: event.currentTarget.value })}
          />
        </label>
      </div>
      {failure !== undefined && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {log?.isWithoutAudit === true && (
        <p class="note">Lines of the audit log are shown to superusers alone.</p>
      )}
      <p role="status" class="note">
        {log?.entries.length === 0 && 'Nothing of that happened lately.'}
      </p>
      {log !== undefined && log.entries.length > 0 && <EntryTable entries={log.entries} />}
      {log?.hasMore === true && (
        <button type="button" onClick={more}>
          Show more
        </button>
      )}
    </>
  )
}

/** What matches the filter: a page at first, more when asked for, and what is new when the stream says that there is something. */
function useLog(filter: Filter) {
  const { newestEvent } = useCluster()
  const [log, setLog] = useState<LogView>()
  const [failure, setFailure] = useState<string>()
  const ask = useCallback(
    async (range: string, join: (found: LogView, before: LogView | undefined) => LogView) => {
      try {
        const found = await call<LogView>(`/api/v1/log?${queryOf(filter)}${range}`)
        setLog((before) => join(found, before))
        setFailure(undefined)
      } catch (error) {
        setFailure(messageOf(error))
      }
    },
    [filter],
  )
  useEffect(() => {
    // Typing is not a question for every letter.
    const timer = setTimeout(() => void ask('', (found) => found), 200)
    return () => clearTimeout(timer)
  }, [ask])
  const seen = log?.newest
  useEffect(() => {
    if (seen === undefined || typeof newestEvent !== 'number' || newestEvent <= seen) return
    void ask(`&after=${seen}`, withNews)
  }, [ask, seen, newestEvent])
  const last = log?.entries.at(-1)?.id
  return { log, failure, more: () => void ask(`&before=${last ?? 0}`, withOlder) }
}

function queryOf({ kind, level, text }: Filter): string {
  const query = new URLSearchParams({ limit: String(entriesPerPage) })
  if (kind !== '') query.set('kind', kind)
  if (level !== '') query.set('level', level)
  if (text.trim() !== '') query.set('text', text)
  return String(query)
}

function withNews(found: LogView, before: LogView | undefined): LogView {
  // More than a page came at once: what is between is behind "Show more".
  if (before === undefined || found.hasMore) return found
  const known = new Set(before.entries.map(({ id }) => id))
  const news = found.entries.filter(({ id }) => !known.has(id))
  const entries = [...news, ...before.entries]
  return {
    ...found,
    entries: entries.slice(0, entriesMax),
    hasMore: before.hasMore || entries.length > entriesMax,
  }
}

function withOlder(found: LogView, before: LogView | undefined): LogView {
  if (before === undefined) return found
  return { ...before, entries: [...before.entries, ...found.entries], hasMore: found.hasMore }
}

function EntryTable({ entries }: { readonly entries: readonly LogEntryView[] }) {
  return (
    <div class="scroll" role="region" aria-label="Events" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">Kind</th>
            <th scope="col">What</th>
            <th scope="col">Who</th>
          </tr>
        </thead>
        <tbody>
          {entries.map(({ id, atMs, kind, level, text, user }) => (
            <tr key={id}>
              <td>{moment(atMs)}</td>
              <td>
                <span class={`tag ${level === 'info' ? 'plain' : level}`}>
                  {kind}
                  {level !== 'info' && `, ${level}`}
                </span>
              </td>
              <td class="text">{text}</td>
              <td>{user ?? ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
