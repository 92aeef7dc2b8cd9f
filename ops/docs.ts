/** `npm run docs`: writes the pages that are generated from the code. */
import { writeFileSync } from 'node:fs'
import { errorTable } from '../protocol/errors.ts'
import { errorsMarkdown } from './errors-markdown.ts'

writeFileSync('docs/ERRORS.md', errorsMarkdown(errorTable))
process.stdout.write('docs/ERRORS.md\n')
