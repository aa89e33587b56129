// The catalogue: one SQLite file in WAL mode with synchronous=FULL, opened by any number of processes of the host. It is
// the truth for settings, jobs and alerts, and a cache of the repository for snapshots.

import { chmodSync, closeSync, existsSync, fchmodSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { AppError, messageOf, systemErrorCode } from '@varve/base';
import { Kysely, sql, type Transaction } from 'kysely';
import { migrate } from './migrations.ts';
import type { CatalogueSchema } from './schema.ts';
import { NodeSqliteDialect } from './sqlite-dialect.ts';
import { moveAsideHint, toCatalogueError } from './sqlite-error.ts';

/** How long a statement waits for another process that writes. */
const busyTimeoutMs = 5000;

/** What queries run on: the catalogue itself or a transaction of it. */
export type CatalogueQueries = Kysely<CatalogueSchema>;
export type CatalogueTransaction = Transaction<CatalogueSchema>;

export interface Catalogue extends AsyncDisposable {
  readonly path: string;
  /** True when this call made the file. */
  readonly isNew: boolean;
  readonly queries: CatalogueQueries;
  /**
   * Runs `work` in one write transaction; rolled back when it throws. `work` uses only the transaction that it gets: the
   * connection is its own until it ends.
   */
  write<T>(work: (transaction: CatalogueTransaction) => Promise<T>): Promise<T>;
  /** Calls `listener` after each write of this process that was committed; yields the function that ends it. */
  onWrite(listener: () => void): () => void;
  /** SQLite's quick check; the problems found, empty when sound. */
  check(): Promise<string[]>;
}

/** Makes the file with mode 0600 before SQLite would make it readable for others. */
function createPrivate(path: string): boolean {
  try {
    const descriptor = openSync(path, 'wx', 0o600);
    fchmodSync(descriptor, 0o600);
    closeSync(descriptor);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw new AppError('CATALOGUE_UNUSABLE', `The catalogue ${path} cannot be made: ${messageOf(error)}`, {
      hint: 'Give this user the right to write there, or free some space.',
      context: { path },
      cause: error,
    });
  }
}

/** Opens an SQLite file with the settings that every database of Varve has; makes it (mode 0600) when missing. */
export function openSqlite(path: string): DatabaseSync {
  createPrivate(path);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: busyTimeoutMs });
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    chmodSync(path, 0o600);
    return database;
  } catch (error) {
    database?.close();
    throw toCatalogueError(error, path);
  }
}

/** Opens the catalogue, making or migrating it when needed. CATALOGUE_UNUSABLE when it is damaged, newer or not ours. */
export function openCatalogue(path: string): Catalogue {
  const existed = existsSync(path);
  const database = openSqlite(path);
  let schemaBefore: number;
  try {
    schemaBefore = migrate(database, path);
  } catch (error) {
    database.close();
    if (error instanceof AppError) throw error;
    const known = toCatalogueError(error, path);
    if (known instanceof AppError) throw known;
    throw new AppError(
      'CATALOGUE_UNUSABLE',
      `The catalogue ${path} cannot be brought up to date: ${messageOf(error)}`,
      {
        hint: moveAsideHint(path),
        context: { path },
        cause: error,
      },
    );
  }
  const queries = new Kysely<CatalogueSchema>({ dialect: new NodeSqliteDialect(database, path) });
  const listeners = new Set<() => void>();
  return {
    path,
    isNew: !existed || schemaBefore === 0,
    queries,
    async write(work) {
      const result = await queries.transaction().execute(work);
      for (const listener of listeners) listener();
      return result;
    },
    onWrite(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    async check() {
      const { rows } = await sql<{ quick_check: string }>`PRAGMA quick_check`.execute(queries);
      return rows.map((row) => row.quick_check).filter((line) => line !== 'ok');
    },
    async [Symbol.asyncDispose]() {
      await queries.destroy();
      if (database.isOpen) database.close();
    },
  };
}
