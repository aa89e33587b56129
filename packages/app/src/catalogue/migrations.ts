// Numbered changes of the catalogue's schema. A migration that has been released never changes; the number of those that
// ran is SQLite's `user_version`. Each runs in one transaction together with its number.

import type { DatabaseSync } from 'node:sqlite';
import { AppError } from '@varve/base';

/** "Varv": marks the file as ours in SQLite's `application_id`. */
const applicationId = 0x56_61_72_76;

const migrations: readonly string[] = [
  `
  CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value_json TEXT NOT NULL) STRICT;

  CREATE TABLE repositories (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    location TEXT NOT NULL,
    created_at TEXT NOT NULL,
    recovery_kit_confirmed_at TEXT
  ) STRICT;

  CREATE TABLE apps (
    id TEXT NOT NULL PRIMARY KEY,
    repository_id TEXT NOT NULL REFERENCES repositories (id),
    app_json TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE snapshots (
    repository_id TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    time TEXT NOT NULL,
    partial INTEGER NOT NULL CHECK (partial IN (0, 1)),
    snapshot_json TEXT NOT NULL,
    PRIMARY KEY (repository_id, id)
  ) STRICT;
  CREATE INDEX snapshots_by_app ON snapshots (app_id, time DESC);

  CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    app_id TEXT,
    requested_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    progress_json TEXT,
    snapshot_id TEXT,
    error_json TEXT,
    problems_json TEXT NOT NULL DEFAULT '[]',
    owner_json TEXT NOT NULL,
    lease_until_ms INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  -- One job per app at a time, and one check at a time, whatever process asks.
  CREATE UNIQUE INDEX jobs_one_per_app ON jobs (app_id)
    WHERE app_id IS NOT NULL AND state IN ('queued', 'running');
  CREATE UNIQUE INDEX jobs_one_without_app ON jobs (type)
    WHERE app_id IS NULL AND state IN ('queued', 'running');
  CREATE INDEX jobs_active ON jobs (state) WHERE state IN ('queued', 'running');
  CREATE INDEX jobs_by_app ON jobs (app_id, number DESC);

  CREATE TABLE job_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    time TEXT NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL
  ) STRICT;
  CREATE INDEX job_log_by_job ON job_log (job_id, id);

  -- No ON DELETE CASCADE: a line stays until the thing runs again.
  CREATE TABLE stopped_things (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    thing_json TEXT NOT NULL,
    recorded_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE schedules (
    app_id TEXT NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    next_run_at TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    pending_job_id TEXT
  ) STRICT;

  CREATE TABLE alerts (
    id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL,
    app_id TEXT,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    facts_json TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT,
    notified_at TEXT,
    close_notified_at TEXT,
    notify_problem TEXT,
    notify_attempts INTEGER NOT NULL DEFAULT 0,
    next_notify_at TEXT
  ) STRICT;
  CREATE UNIQUE INDEX alerts_open_once ON alerts (code, ifnull(app_id, ''), subject) WHERE closed_at IS NULL;
  CREATE INDEX alerts_to_notify ON alerts (next_notify_at) WHERE next_notify_at IS NOT NULL;

  CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL) STRICT;

  CREATE TABLE claims (name TEXT NOT NULL PRIMARY KEY, owner_json TEXT NOT NULL, until_ms INTEGER NOT NULL) STRICT;
  `,
  `
  ALTER TABLE jobs ADD COLUMN result_json TEXT;

  ALTER TABLE repositories ADD COLUMN forgotten_at TEXT;
  ALTER TABLE repositories ADD COLUMN data_checks INTEGER NOT NULL DEFAULT 0;
  UPDATE repositories SET forgotten_at = (SELECT max(finished_at) FROM jobs WHERE type = 'forget');

  -- One job for the repository at a time, whatever it is: a check and a prune would only be in each other's way.
  DROP INDEX jobs_one_without_app;
  CREATE UNIQUE INDEX jobs_one_without_app ON jobs (ifnull(app_id, ''))
    WHERE app_id IS NULL AND state IN ('queued', 'running');
  `,
  `
  -- How each capture of a write-ahead log stands; written by the process that captures.
  CREATE TABLE wal_captures (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    component TEXT NOT NULL,
    state_json TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (app_id, component)
  ) STRICT;

  -- Replication slots that were made, until they are dropped: an app may be removed while its server does not answer.
  CREATE TABLE wal_slots (
    slot TEXT NOT NULL PRIMARY KEY,
    component TEXT NOT NULL,
    app_json TEXT NOT NULL,
    made_at TEXT NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE wal_blocks (
    repository_id TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    facts_json TEXT NOT NULL,
    segments BLOB NOT NULL,
    PRIMARY KEY (repository_id, id)
  ) STRICT;
  CREATE INDEX wal_blocks_by_app ON wal_blocks (repository_id, app_id);

  CREATE TABLE base_backups (
    repository_id TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    snapshot_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    bases_json TEXT NOT NULL,
    PRIMARY KEY (repository_id, snapshot_id)
  ) STRICT;
  CREATE INDEX base_backups_by_app ON base_backups (repository_id, app_id);
  `,
];

/** Schema number that this Varve writes. */
export const schemaVersion = migrations.length;

function pragmaNumber(database: DatabaseSync, name: string): number {
  const row = database.prepare(`PRAGMA ${name}`).get();
  return Number(row?.[name] ?? 0);
}

/** Schema number of an open catalogue; 0 for an empty file. */
function readSchemaVersion(database: DatabaseSync): number {
  return pragmaNumber(database, 'user_version');
}

function assertOurs(database: DatabaseSync, path: string): void {
  const found = pragmaNumber(database, 'application_id');
  const version = readSchemaVersion(database);
  if (found !== applicationId && (found !== 0 || version !== 0)) {
    throw new AppError('CATALOGUE_UNUSABLE', `${path} is an SQLite file of another program.`, {
      hint: 'Give another data directory with VARVE_DATA, or move that file away.',
      context: { path, applicationId: found },
    });
  }
  if (version > schemaVersion) {
    throw new AppError(
      'CATALOGUE_UNUSABLE',
      `The catalogue ${path} was written by a newer Varve: its schema is ${version}, this Varve knows up to ${schemaVersion}.`,
      { hint: 'Run the newer Varve. Nothing was changed.', context: { path, version, known: schemaVersion } },
    );
  }
}

/**
 * Brings the schema up to date and yields the number it had before. Safe when several processes do it at once: each step
 * looks again inside its transaction. CATALOGUE_UNUSABLE for a newer schema or the file of another program.
 */
export function migrate(database: DatabaseSync, path: string): number {
  assertOurs(database, path);
  const before = readSchemaVersion(database);
  for (let step = before; step < schemaVersion; step++) {
    database.exec('BEGIN IMMEDIATE');
    try {
      if (readSchemaVersion(database) === step) {
        database.exec(migrations[step] ?? '');
        database.exec(`PRAGMA application_id = ${applicationId}`);
        database.exec(`PRAGMA user_version = ${step + 1}`);
      }
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  }
  assertOurs(database, path);
  return before;
}
