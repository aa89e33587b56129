// The checks of a storage, one line each as they end.

import { errorCodes } from '@varve/base';
import type { Session } from '../session.ts';
import { printable } from './text.ts';

interface StorageCheck {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly detail: string;
  readonly hint?: string | null | undefined;
}

const marks = { passed: 'ok', failed: 'FAILED', skipped: 'skipped' } as const;

/** Yields the exit code: 5 when one failed. In JSON all come together, at the end. */
export async function printStorageChecks(
  session: Session,
  location: string,
  checks: AsyncIterable<StorageCheck>,
): Promise<number> {
  const all: StorageCheck[] = [];
  for await (const check of checks) {
    all.push(check);
    const { name, outcome, detail } = check;
    if (!session.json) {
      session.print(check, () => [`${marks[outcome].padEnd(8)}${name.padEnd(19)}${printable(detail)}`]);
    }
  }
  const failed = all.filter(({ outcome }) => outcome === 'failed');
  const result = { message_type: 'summary', location, num_errors: failed.length, checks: all };
  session.print(result, () => [
    ...failed.flatMap(({ hint }) => (hint ? [printable(hint)] : [])),
    `${printable(location)} ${failed.length === 0 ? 'does what a repository relies on' : 'is not fit for a repository'}`,
  ]);
  return failed.length === 0 ? 0 : errorCodes.STORAGE_UNREACHABLE.exit;
}
