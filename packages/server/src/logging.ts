// pino behind the project's logging interface: JSON lines, or short lines for a person at a terminal. Secrets are redacted
// by field name and, in text, by the form `scheme://user:password@host`.

import { redact, type Logger } from '@varve/base';
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Takes whole lines. */
  readonly write: (line: string) => void;
  /** Lines for people instead of JSON. */
  readonly forPeople: boolean;
}

const secretFields = ['password', 'token', 'setupToken', 'secret', 'authorization', 'cookie', 'url'];

/** A logger that writes to `write`. */
export function createLogger(options: LoggerOptions): Logger {
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
    },
    { write: (line: string) => options.write(options.forPeople ? lineForPeople(line) : line) },
  );
  return {
    debug: (message, fields) => log.debug(fields ?? {}, redact(message)),
    info: (message, fields) => log.info(fields ?? {}, redact(message)),
    warn: (message, fields) => log.warn(fields ?? {}, redact(message)),
    error: (message, fields) => log.error(fields ?? {}, redact(message)),
  };
}

/** `12:03:04 warn  message key=value …`, followed by a stack when there is one. */
function lineForPeople(json: string): string {
  const { time, level, msg, stack, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const clock = String(time).slice(11, 19);
  const details = Object.entries(fields).map(
    ([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const trace = typeof stack === 'string' ? `\n${stack}` : '';
  return `${clock} ${String(level).padEnd(5)} ${String(msg)}${details.join('')}${trace}\n`;
}
