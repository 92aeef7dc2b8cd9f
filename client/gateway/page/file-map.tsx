import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { FileMapView } from '../api/views.ts'
import { call, messageOf } from './api.ts'
import { counted, size } from './format.ts'

/** Which datanodes hold which block of a file: a row per block, a column per datanode. */
export function FileMap({
  path,
  onClose,
}: {
  readonly path: string
  readonly onClose: () => void
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  const [map, setMap] = useState<FileMapView>()
  const [failure, setFailure] = useState<string>()
  useEffect(() => {
    const opener = document.activeElement
    dialog.current?.showModal()
    call<FileMapView>(`/api/v1/blocks?path=${encodeURIComponent(path)}`).then(
      setMap,
      (error: unknown) => setFailure(messageOf(error)),
    )
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [path])
  return (
    <dialog ref={dialog} class="wide" aria-label={`Blocks of ${path}`} onClose={onClose}>
      <h2>{path}</h2>
      {failure !== undefined && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {map !== undefined && <Drawing map={map} />}
      <div class="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  )
}

function Drawing({ map }: { readonly map: FileMapView }) {
  const { blocks, total, replication, size: bytes } = map
  const nodes = [...new Set(blocks.flatMap(({ holders }) => holders))].sort()
  return (
    <>
      <p class="note">
        {size(bytes)} in {counted(total, 'block')}, {counted(replication, 'replica')} of each wanted
        {total > blocks.length && `; the first ${blocks.length} are shown`}
      </p>
      <div class="scroll" role="region" aria-label="Replicas" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Block</th>
              <th scope="col" class="number">
                Size
              </th>
              {nodes.map((node) => (
                <th key={node} scope="col">
                  {node}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {blocks.map(({ blockId, length, holders, isCorrupt }) => (
              <tr key={blockId}>
                <th scope="row">
                  {blockId}
                  {isCorrupt && <span class="tag danger">corrupt</span>}
                  {holders.length < replication && (
                    <span class="tag warning">
                      {holders.length} of {replication}
                    </span>
                  )}
                </th>
                <td class="number">{size(length)}</td>
                {nodes.map((node) => (
                  <td key={node}>{holders.includes(node) ? <Held /> : '–'}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}

function Held() {
  return <span class="held">yes</span>
}
