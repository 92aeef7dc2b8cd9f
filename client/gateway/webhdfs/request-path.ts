import { DfsError } from '../../../protocol/errors.ts'
import { refused } from './parameters.ts'

/**
 * The path in the cluster that a URL's path stands for: every component decoded by itself, so that an encoded slash
 * cannot make two of one. A path is what it says or refused: nothing is normalised but empty components.
 *
 * @param encoded what follows `/webhdfs/v1`, percent-encoded
 */
export function pathOfUrl(encoded: string): string {
  const components = encoded.split('/').filter((component) => component !== '')
  return `/${components.map(decoded).join('/')}`
}

function decoded(component: string): string {
  const name = decodedText(component)
  if (name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new DfsError(
      'INVALID_PATH',
      `Invalid path name ${JSON.stringify(name)}: a component must not be "." or ".." nor hold a slash or a zero byte`,
    )
  }
  return name
}

function decodedText(component: string): string {
  try {
    return decodeURIComponent(component)
  } catch (cause) {
    const text = `Cannot decode "${component}" of the path: need percent-encoded UTF-8`
    throw refused(text, { cause })
  }
}
