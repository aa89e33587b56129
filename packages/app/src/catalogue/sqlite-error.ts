// What SQLite's result codes mean to a user. Source: https://www.sqlite.org/rescode.html

import { AppError, messageOf } from '@varve/base';

const constraintUnique = 2067;
const constraintPrimaryKey = 1555;

/** The extended result code of an error that node:sqlite threw, or undefined for anything else. */
function sqliteResultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

/** True when a row with the same unique key is there already. */
export function isUniqueViolation(error: unknown): boolean {
  const code = sqliteResultCode(error);
  return code === constraintUnique || code === constraintPrimaryKey;
}

/** What the primary result code (the lower 8 bits) says about the whole file. */
const unusable: Readonly<Record<number, { readonly what: string; readonly hint: string; readonly retry?: boolean }>> = {
  5: { what: 'is locked by another process', hint: 'Try again in a moment.', retry: true },
  8: { what: 'cannot be written', hint: 'Give this user the right to write the file and its folder.' },
  10: { what: 'could not be read or written by the disk', hint: 'Look at the disk: the system log says more.' },
  11: { what: 'is damaged', hint: '' },
  13: { what: 'cannot grow: the disk is full', hint: 'Free some space, then try again.', retry: true },
  14: { what: 'cannot be opened', hint: 'Give this user the right to read and write the file and its folder.' },
  26: { what: 'is not an SQLite file, or is damaged', hint: '' },
};

/** The hint for a damaged catalogue. */
export function moveAsideHint(path: string): string {
  return (
    `Stop Varve, move ${path}, ${path}-wal and ${path}-shm aside, and start Varve again: it makes a new catalogue and ` +
    'fills it from the repository. Snapshots are not affected.'
  );
}

/** Turns SQLite errors that concern the whole file into CATALOGUE_UNUSABLE; everything else stays as it is. */
export function toCatalogueError(error: unknown, path: string): unknown {
  const code = sqliteResultCode(error);
  const facts = code === undefined ? undefined : unusable[code & 0xff];
  if (facts === undefined) return error;
  return new AppError('CATALOGUE_UNUSABLE', `The catalogue ${path} ${facts.what}: ${messageOf(error)}`, {
    hint: facts.hint === '' ? moveAsideHint(path) : facts.hint,
    context: { path, sqliteCode: code },
    retry: facts.retry ?? false,
    cause: error,
  });
}
