// Failures of system calls, as Node reports them and as our own calls do: what may happen to any single file.

import { AppError } from '@varve/base';

export interface SystemError extends Error {
  /** `ENOENT`, `EACCES` … */
  readonly code: string;
  readonly syscall: string;
}

export function systemError(code: string, syscall: string, subject: string): SystemError {
  return Object.assign(new Error(`${code}: ${syscall} '${subject}'`), { code, syscall });
}

export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error) || error instanceof AppError) return false;
  return 'syscall' in error && typeof error.syscall === 'string' && 'code' in error && typeof error.code === 'string';
}
