import { type Logger as PinoLogger, pino, stdSerializers } from 'pino'
import type { LogFields, Logger } from '../base/log.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Where log lines go; a line ends in a newline. */
export interface LogSink {
  write(line: string): void
}

/** Options of {@link createLogger}. */
export interface LoggerOptions {
  /** Name of the process's part, on every line. */
  readonly role?: string
  readonly level?: LogLevel
  /** By default standard error, so that standard output stays the program's. */
  readonly sink?: LogSink
  /** Readable lines instead of JSON; by default when standard error is a terminal. */
  readonly isPretty?: boolean
  /**
   * Gather lines and write them together, after a second at most and when the process exits: for lines that come
   * with every request. A process that is killed loses those of its last second.
   */
  readonly isBuffered?: boolean
}

const bufferedBytes = 8 * 1024
const bufferedMs = 1000

/**
 * A logger that writes JSON lines, or readable ones for people. Lines are written before the call returns,
 * unless it is buffered; to a terminal none is.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const isBuffered = options.isBuffered === true && !process.stderr.isTTY
  const sink = options.sink ?? (isBuffered ? bufferedSink() : plainSink())
  const isPretty = options.isPretty ?? (options.sink === undefined && process.stderr.isTTY)
  const base = options.role === undefined ? {} : { role: options.role }
  return wrap(
    pino(
      {
        level: options.level ?? 'info',
        base,
        messageKey: 'event',
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: stdSerializers.err },
      },
      isPretty ? prettySink(sink) : sink,
    ),
  )
}

function plainSink(): LogSink {
  return pino.destination({ fd: process.stderr.fd, sync: true })
}

function bufferedSink(): LogSink {
  const gathering = { minLength: bufferedBytes, periodicFlush: bufferedMs }
  const sink = pino.destination({ fd: process.stderr.fd, sync: true, ...gathering })
  process.once('exit', () => {
    sink.flushSync()
  })
  return sink
}

/** A file that lines are appended to; a process that is killed loses those of its last second. */
export interface LogFile extends LogSink {
  /** Writes what is gathered. */
  flush(): void
  /** Goes on in a new file of the same name. */
  reopen(): void
  close(): void
}

/**
 * Opens a file for lines that come with every request.
 * @throws the system's error when it cannot be opened
 */
export function bufferedFile(path: string): LogFile {
  const gathering = { minLength: bufferedBytes, periodicFlush: bufferedMs }
  const sink = pino.destination({ dest: path, append: true, mkdir: true, sync: true, ...gathering })
  const flush = (): void => {
    sink.flushSync()
  }
  process.once('exit', flush)
  return {
    write: (line) => void sink.write(line),
    flush,
    reopen: () => {
      sink.reopen()
    },
    close() {
      process.off('exit', flush)
      flush()
      sink.end()
    },
  }
}

function wrap(logger: PinoLogger): Logger {
  return {
    debug(event, fields) {
      logger.debug(fields ?? {}, event)
    },
    info(event, fields) {
      logger.info(fields ?? {}, event)
    },
    warn(event, fields) {
      logger.warn(fields ?? {}, event)
    },
    error(event, fields) {
      logger.error(fields ?? {}, event)
    },
    child: (fields: LogFields) => wrap(logger.child(fields)),
  }
}

/** Turns each JSON line into `16:40:12.345 warn  namenode rpc-connection-refused remote=… reason="…"`. */
function prettySink(sink: LogSink): LogSink {
  return {
    write(line) {
      sink.write(prettyLine(JSON.parse(line) as Record<string, unknown>))
    },
  }
}

function prettyLine(record: Record<string, unknown>): string {
  const { time, level, role, event, error, ...fields } = record
  const words = [
    String(time).slice(11, 23),
    String(level).padEnd(5),
    ...(typeof role === 'string' ? [role] : []),
    String(event),
    ...Object.entries(fields).map(([key, value]) => `${key}=${prettyValue(value)}`),
  ]
  const stack =
    typeof error === 'object' && error !== null && 'stack' in error
      ? `\n${String(error.stack)}`
      : ''
  return `${words.join(' ')}${stack}\n`
}

function prettyValue(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"]+$/.test(value)) return value
  return JSON.stringify(value)
}
