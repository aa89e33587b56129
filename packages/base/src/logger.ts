// The logging interface that rooms write to; the server binds it to pino, tests to memory.

type LogFields = Readonly<Record<string, unknown>>;

/** Structured log lines. Fields hold no secrets; errors that are returned are not logged as well. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Drops every line. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
