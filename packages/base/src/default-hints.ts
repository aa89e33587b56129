// What to do next where whoever throws has nothing better to say; docs/errors.md has a row for every code.

import type { ErrorCode } from './error-codes.ts';

export const defaultHints: Partial<Readonly<Record<ErrorCode, string>>> = {
  STORAGE_FILE_NOT_FOUND: 'See with a check of the repository whether more is missing.',
  STORAGE_FILE_EXISTS: 'Another program writes to the same place: let it end, then try again.',
  STORAGE_UNREACHABLE: 'Check mount, network and service of the storage, then try again.',
  STORAGE_DAMAGED: 'Check the disk, then the repository with its data (check --read-data).',
  REPOSITORY_DAMAGED: 'See with check --read-data what else is damaged, and copy the repository before any repair.',
  SNAPSHOT_NOT_FOUND: 'List the snapshots and give one of their ids, or `latest`.',
  DOCKER_REQUEST_FAILED: 'Docker refused the request: its message says why.',
  DATABASE_PROTOCOL: 'Check that host and port are those of a PostgreSQL server.',
  DATABASE_RESTORE_FAILED: "PostgreSQL's own message says why; the database that was there is still there.",
};
