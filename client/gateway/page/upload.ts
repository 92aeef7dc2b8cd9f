/** Uploads with progress, which `fetch` cannot tell. */
import { ApiError } from './api.ts'

/** The URL of a path of the cluster. */
export function fileUrl(path: string): string {
  return `/files${path.split('/').map(encodeURIComponent).join('/')}`
}

/** Stores a file that must not exist yet; `onProgress` gets the part that is sent, from 0 to 1. */
export function upload(
  path: string,
  file: File,
  onProgress: (part: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('PUT', fileUrl(path))
    request.setRequestHeader('If-None-Match', '*')
    request.upload.onprogress = ({ loaded, total }) => {
      onProgress(total === 0 ? 1 : loaded / total)
    }
    request.onload = () => {
      if (request.status < 300) resolve()
      else if (request.status === 412) reject(new ApiError('FILE_EXISTS', 'It exists already'))
      else reject(new ApiError('IO_ERROR', textOf(request)))
    }
    request.onerror = () => reject(new ApiError('IO_ERROR', 'The connection broke off'))
    request.send(file)
  })
}

function textOf({ responseText, status }: XMLHttpRequest): string {
  try {
    return (JSON.parse(responseText) as { error: { message: string } }).error.message
  } catch {
    return `The gateway answered ${status}`
  }
}
