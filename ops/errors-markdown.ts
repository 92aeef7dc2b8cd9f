import type { errorTable } from '../protocol/errors.ts'

type ErrorTable = typeof errorTable

/** The page docs/ERRORS.md for an error table: one row per code, in the table's order. */
export function errorsMarkdown(table: ErrorTable): string {
  const rows = Object.entries(table).map(
    ([code, { meaning, retry, errno, httpStatus, javaClass }]) =>
      `| \`${code}\` | ${meaning} | ${retry} | ${errno} | ${httpStatus} | \`${javaClass}\` |`,
  )
  return [
    '# Errors',
    '',
    'Generated from `protocol/errors.ts` by `npm run docs`; do not edit by hand.',
    '',
    'On the RPC wire an error is the Java class with our message; programs that use the SDK see the code and its errno.',
    '`retry` says what a caller may do: `never`; `after-backoff` (the same request later); `other-replica`;',
    '`refresh-locations` (ask the namenode again); `same-request-id` (the outcome is unknown: repeat only with the same',
    'client id and call id).',
    '',
    '| code | meaning | retry | errno | HTTP | Java class |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}
