import type { JSX } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { TrashEntryView, TrashView } from '../api/views.ts'
import { Action } from './action.tsx'
import { call, messageOf } from './api.ts'
import { moment, size } from './format.ts'

/** Area: what the visitor deleted, and its way back. */
export function Trash(): JSX.Element {
  const [trash, setTrash] = useState<TrashView>()
  const [news, setNews] = useState('')
  const [failure, setFailure] = useState<string>()
  const attempt = useCallback(async (action: () => Promise<void>): Promise<void> => {
    try {
      await action()
      setFailure(undefined)
    } catch (error) {
      setFailure(messageOf(error))
    }
  }, [])
  const load = useCallback(async (): Promise<void> => {
    setTrash(await call<TrashView>('/api/v1/trash'))
  }, [])
  useEffect(() => {
    void attempt(load)
  }, [attempt, load])
  const restore = ({ originalPath: path, checkpoint: from }: TrashEntryView): Promise<void> =>
    attempt(async () => {
      await call('/api/v1/trash/restore', { path, from })
      setNews(`Restored ${path}`)
      await load()
    })
  return (
    <>
      <h1>Trash</h1>
      {failure !== undefined && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      <p role="status">{news}</p>
      {trash?.entries.length === 0 && <p class="note">Your trash is empty.</p>}
      {trash !== undefined && trash.entries.length > 0 && (
        <div class="scroll" role="region" aria-label="Deleted" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Was at</th>
                <th scope="col" class="number">
                  Size
                </th>
                <th scope="col">Deleted</th>
                <th scope="col">Actions</th>
              </tr>
            </thead>
            <tbody>
              {trash.entries.map((entry) => (
                <TrashRow
                  key={`${entry.checkpoint} ${entry.originalPath} ${entry.deletedByMs ?? ''}`}
                  entry={entry}
                  onRestore={() => void restore(entry)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {trash?.isCut === true && <p class="note">And more: `dfs trash ls` shows everything.</p>}
    </>
  )
}

function TrashRow({
  entry: { originalPath, type, size: bytes, deletedByMs },
  onRestore,
}: {
  readonly entry: TrashEntryView
  readonly onRestore: () => void
}) {
  const isDirectory = type === 'directory'
  return (
    <tr>
      <th scope="row">
        {originalPath}
        {isDirectory && '/'}
      </th>
      <td class="number">{isDirectory ? '–' : size(bytes)}</td>
      <td>{deletedByMs === null ? 'lately' : moment(deletedByMs)}</td>
      <td>
        <Action path={originalPath} label={`Restore ${originalPath}`} onAct={onRestore}>
          Restore
        </Action>
      </td>
    </tr>
  )
}
