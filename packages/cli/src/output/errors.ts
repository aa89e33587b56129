// How a command ends when it fails: one line what, one line what to do, the code; as JSON when asked for. A stack is never
// shown; that of a defect goes to a file.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, messageOf, redact } from '@varve/base';
import type { TextOutput } from '../io.ts';
import { printable, styled } from './text.ts';

/** Writes the error and yields the exit code. */
export async function reportError(thrown: unknown, options: { output: TextOutput; json: boolean }): Promise<number> {
  const { output } = options;
  const error = firstError(thrown);
  const appError = error instanceof AppError && error.code !== 'INTERNAL' ? error : await defect(error);
  if (options.json) {
    const body = { code: appError.code, message: appError.message, hint: appError.hint ?? null };
    output.write(`${JSON.stringify({ error: body })}\n`);
    return appError.exitCode;
  }
  if (appError.code === 'CANCELLED') {
    output.write(`${printable(appError.message)}\n`);
    return appError.exitCode;
  }
  output.write(`${styled(output, ['red', 'bold'], 'error:')} ${lines(appError.message)} [${appError.code}]\n`);
  if (appError.hint !== undefined) output.write(`${styled(output, 'bold', 'hint:')} ${lines(appError.hint)}\n`);
  return appError.exitCode;
}

/** What went wrong at first, when the clean-up after it failed as well. */
function firstError(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof SuppressedError) error = error.suppressed;
  return error;
}

/** Messages may have several lines; each is made safe by itself. */
function lines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

async function defect(error: unknown): Promise<AppError> {
  const message = `Something went wrong inside Varve: ${redact(messageOf(error))}`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? ''}` : '';
  try {
    const file = join(await mkdtemp(join(tmpdir(), 'varve-error-')), 'details.txt');
    await writeFile(file, `${new Date().toISOString()}\n${redact(stack + cause)}\n`, { mode: 0o600 });
    return new AppError('INTERNAL', message, { hint: `The details are in ${file}. Please report it.`, cause: error });
  } catch {
    return new AppError('INTERNAL', message, { hint: 'The details could not be written to a file.', cause: error });
  }
}
