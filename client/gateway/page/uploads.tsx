import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { messageOf } from './api.ts'
import { upload } from './upload.ts'

interface Progress {
  readonly id: number
  readonly path: string
  readonly part: number
  readonly state: 'waiting' | 'sending' | 'stored' | 'failed'
  readonly failure?: string
}

let lastId = 0

/** Where files are dropped or chosen, and how far each has got. They are sent one after the other. */
export function Uploads({
  at,
  onStored,
}: {
  readonly at: (name: string) => string
  readonly onStored: () => void
}): JSX.Element {
  const [uploads, setUploads] = useState<readonly Progress[]>([])
  const [isOver, setOver] = useState(false)
  const set = (id: number, change: Partial<Progress>): void => {
    setUploads((all) => all.map((one) => (one.id === id ? { ...one, ...change } : one)))
  }
  const send = async (files: readonly File[]): Promise<void> => {
    const added = files.map((file) => {
      lastId += 1
      return { id: lastId, path: at(file.name), file }
    })
    setUploads((all) => [
      ...all,
      ...added.map(({ id, path }) => ({ id, path, part: 0, state: 'waiting' as const })),
    ])
    for (const { id, path, file } of added) {
      set(id, { state: 'sending' })
      try {
        await upload(path, file, (part) => set(id, { part }))
        set(id, { state: 'stored', part: 1 })
        onStored()
      } catch (error) {
        set(id, { state: 'failed', failure: messageOf(error) })
      }
    }
  }
  return (
    <>
      <label
        class={`drop ${isOver ? 'over' : ''}`}
        onDragOver={(event) => {
          event.preventDefault()
          setOver(true)
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault()
          setOver(false)
          void send([...(event.dataTransfer?.files ?? [])])
        }}
      >
        Drop files here, or choose them
        <input
          type="file"
          multiple
          onChange={(event) => {
            const { files } = event.currentTarget
            void send([...(files ?? [])])
            event.currentTarget.value = ''
          }}
        />
      </label>
      {uploads.length > 0 && <UploadList uploads={uploads} />}
    </>
  )
}

function UploadList({ uploads }: { readonly uploads: readonly Progress[] }) {
  return (
    <ul class="uploads" aria-label="Uploads" aria-live="polite">
      {uploads.map(({ id, path, part, state, failure }) => (
        <li key={id}>
          {path} {state === 'sending' && <progress aria-label={`Upload of ${path}`} value={part} />}
          <span class={state === 'failed' ? 'failure' : 'note'}>{failure ?? state}</span>
        </li>
      ))}
    </ul>
  )
}
