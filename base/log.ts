/** Values that a log line carries beside its event name. */
export type LogFields = Readonly<Record<string, unknown>>

/** Structured log: an event name in kebab-case plus fields, never a formatted sentence. */
export interface Logger {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger
}

/** A logger that drops everything; for tests and for library use without a sink. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
}
