/** A parameter or header, in OpenAPI's words. */
interface Parameter {
  readonly in: 'query' | 'header'
  readonly name: string
  readonly description: string
  readonly schema: object
}

const text = { type: 'string' } as const
const count = { type: 'integer', minimum: 0 } as const

function query(name: string, description: string, schema: object = text): Parameter {
  return { in: 'query', name, description, schema }
}

function header(name: string, description: string, schema: object = text): Parameter {
  return { in: 'header', name, description, schema }
}

/** What each status means, the same for all verbs. */
const meanings: Readonly<Record<number, string>> = {
  200: 'Done; the body tells the result',
  201: 'Stored, new',
  204: 'Done',
  206: 'The wanted range',
  207: 'Some files of the form are not stored; each tells why',
  304: 'The file is as the client knows it',
  400: 'The request is malformed, or its checksum is wrong',
  401: 'A token is needed, or the one sent is not valid or has expired',
  403: 'The token or the permissions of the file system do not allow it',
  404: 'There is nothing at the path',
  409: 'What is at the path, or the offset of the upload, does not fit',
  410: 'The upload has expired',
  412: 'A condition does not hold, or the version of tus is unknown',
  413: 'The body is longer than allowed',
  414: 'The path is too long',
  415: 'The type or encoding of the body is unknown',
  416: 'The file has no such range',
  460: 'The piece does not have its checksum (tus)',
  500: 'The cluster could not do it',
  503: 'Not now; try again',
  507: 'No datanode has room',
}

const commonErrors = [400, 401, 403, 404, 409, 412, 414, 500, 503]

interface Operation {
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  readonly content?: Readonly<Record<string, object>>
  readonly statuses: readonly number[]
}

const conditions = [
  header('If-Match', 'entity tags of which the file must have one'),
  header('If-None-Match', 'entity tags that the file must not have; * for no file'),
  header('If-Unmodified-Since', 'date'),
]
const tus = header('Tus-Resumable', '1.0.0: the request is about a resumable upload')
const bytes = { type: 'string', format: 'binary' } as const
const octets = { schema: bytes } as const

const reading: Operation = {
  summary: 'Downloads a file, or lists or packs a directory',
  parameters: [
    ...conditions,
    header('If-Modified-Since', 'date'),
    header('Range', 'one range of bytes'),
    header('If-Range', 'entity tag or date for which the range counts'),
    query('download', 'have browsers save the file'),
    query('after', 'list entries behind this name'),
    query('limit', 'list at most this many', { type: 'integer', minimum: 1 }),
    query('archive', 'the directory as one stream', { enum: ['tar', 'zip'] }),
  ],
  statuses: [200, 206, 304, 416],
}

const operations: Readonly<Record<string, Operation>> = {
  get: reading,
  head: {
    ...reading,
    summary: 'Tells what GET would, or the offset of a resumable upload',
    parameters: [...(reading.parameters ?? []), tus],
    statuses: [200, 206, 304, 410, 416],
  },
  put: {
    summary: 'Stores the body as a file, complete or not at all',
    parameters: [
      ...conditions,
      header('Content-Digest', 'sha-256=:BASE64: or sha-512=:BASE64: (RFC 9530)'),
      header('X-Checksum-SHA256', '64 hex digits'),
    ],
    content: { '*/*': octets },
    statuses: [201, 204, 415, 507],
  },
  post: {
    summary: 'Stores the files of a form, does one verb, or makes a resumable upload (tus)',
    parameters: [
      ...conditions,
      query('duplicates', 'when a name is taken', { enum: ['refuse', 'replace', 'rename'] }),
      tus,
      header('Upload-Length', 'bytes of the resumable upload', count),
      header('Upload-Metadata', 'its filename, as tus has it'),
    ],
    content: {
      'multipart/form-data': { schema: { type: 'object', additionalProperties: bytes } },
      'application/json': {
        schema: {
          type: 'object',
          minProperties: 1,
          maxProperties: 1,
          additionalProperties: false,
          properties: {
            move: {
              type: 'object',
              required: ['to'],
              properties: { to: text, overwrite: { type: 'boolean' } },
            },
            mkdir: { type: 'object', properties: { mode: text, parents: { type: 'boolean' } } },
            permissions: { type: 'object', properties: { mode: text, owner: text, group: text } },
            replication: { type: 'object', properties: { factor: count }, required: ['factor'] },
          },
        },
      },
    },
    statuses: [200, 201, 207, 413, 415, 507],
  },
  patch: {
    summary: 'Appends a piece to a resumable upload (tus)',
    parameters: [
      tus,
      header('Upload-Offset', 'bytes that are there', count),
      header('Upload-Checksum', 'sha1, sha256 or sha512, and the value in base64'),
    ],
    content: { 'application/offset+octet-stream': octets },
    statuses: [204, 410, 413, 415, 460, 507],
  },
  delete: {
    summary: 'Moves to the trash, or deletes for good; gives a resumable upload up',
    parameters: [
      ...conditions,
      query('recursive', 'directories too'),
      query('skipTrash', 'delete for good'),
      tus,
    ],
    statuses: [200, 204, 410],
  },
  options: { summary: 'Tells the verbs and what is spoken of tus', statuses: [204] },
}

/** The OpenAPI 3.1 description of the `/files` face. */
export const openApi = {
  openapi: '3.1.0',
  info: { title: 'Trefoil files', version: '1', description: 'Files of a cluster over plain HTTP' },
  paths: {
    '/files/{path}': {
      parameters: [
        {
          in: 'path',
          name: 'path',
          required: true,
          description: 'Path in the cluster, its slashes as they are, its names percent-encoded',
          schema: text,
        },
      ],
      ...Object.fromEntries(
        Object.entries(operations).map(([verb, operation]) => [verb, describe(verb, operation)]),
      ),
    },
  },
  security: [{}, { token: [] }],
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    schemas: {
      Error: {
        type: 'object',
        required: ['error'],
        properties: {
          error: {
            type: 'object',
            required: ['code', 'message'],
            properties: { code: text, message: text },
          },
        },
      },
    },
  },
} as const

function describe(
  verb: string,
  { summary, parameters = [], content, statuses }: Operation,
): object {
  const all = verb === 'options' ? statuses : [...statuses, ...commonErrors]
  const error = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } }
  return {
    operationId: verb,
    summary,
    parameters,
    ...(content === undefined ? {} : { requestBody: { content } }),
    responses: Object.fromEntries(
      all.map((status) => [
        String(status),
        { description: meanings[status] ?? '', ...(status < 400 ? {} : { content: error }) },
      ]),
    ),
  }
}
