// The one error type that crosses a room's border: what failed on which thing, what to do next, whether to try again.

import { defaultHints } from './default-hints.ts';
import { errorCodes, type ErrorCode } from './error-codes.ts';

export interface AppErrorOptions {
  /** What to do next, as an instruction to the user; what is general for the code when absent. */
  readonly hint?: string | undefined;
  /** Facts that help a reader (names, sizes, counts). Never a secret. */
  readonly context?: Readonly<Record<string, unknown>>;
  /** True when the same call may succeed later without a change by the user. */
  readonly retry?: boolean;
  /** When `retry`: the pause that the other side asked for (Retry-After). */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** An expected failure. The message says what failed on which thing with which numbers; the hint says what to do next. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly context: Readonly<Record<string, unknown>>;
  readonly retry: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? defaultHints[code];
    this.context = options.context ?? {};
    this.retry = options.retry ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Exit code of the CLI for this error. */
  get exitCode(): number {
    return errorCodes[this.code].exit;
  }

  /** HTTP status of the API for this error. */
  get httpStatus(): number {
    return errorCodes[this.code].http;
  }
}

/** True when `error` is an {@link AppError}, with `code` when one is given. */
export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC` …), or undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
