// The catalogue's tables as Kysely sees them. Times are RFC 3339 in UTC with milliseconds, so that they sort as text;
// columns named `…_json` hold one JSON value.

import type { Generated, Selectable } from 'kysely';

/** Settings of the installation that are no secret, one JSON value a key. */
interface SettingsTable {
  key: string;
  value_json: string;
}

/** Repositories that are known here; the password is a sealed secret. */
interface RepositoriesTable {
  id: string;
  name: string;
  location: string;
  created_at: string;
  recovery_kit_confirmed_at: string | null;
  /** When the last snapshot left it, whoever removed it; null when nothing did since the last prune. */
  forgotten_at: Generated<string | null>;
  /** Parts of the data that scheduled checks have read and found good; tells which is next. */
  data_checks: Generated<number>;
}

interface AppsTable {
  id: string;
  repository_id: string;
  /** The app as in the contract. */
  app_json: string;
  created_at: string;
}

/** Cache of the snapshots in the repository. */
interface SnapshotsTable {
  repository_id: string;
  id: string;
  app_id: string;
  time: string;
  /** 1 when files are missing from it. */
  partial: number;
  /** AppSnapshot as in the contract. */
  snapshot_json: string;
}

interface JobsTable {
  /** Order in which jobs were added, whatever the clock said. */
  number: Generated<number>;
  id: string;
  type: string;
  app_id: string | null;
  requested_by: string;
  state: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  progress_json: string | null;
  snapshot_id: string | null;
  error_json: string | null;
  problems_json: Generated<string>;
  result_json: Generated<string | null>;
  /** The process that runs it. */
  owner_json: string;
  /** Milliseconds since 1970 until which the owner is known to be alive. */
  lease_until_ms: number;
  cancel_requested: Generated<number>;
}

interface JobLogTable {
  id: Generated<number>;
  job_id: string;
  time: string;
  level: string;
  message: string;
}

/** What runs have stopped and not started yet. */
interface StoppedThingsTable {
  id: Generated<number>;
  job_id: string;
  thing_json: string;
  recorded_at: string;
}

interface SchedulesTable {
  app_id: string;
  /** Cron expression and time zone that `next_run_at` was computed from. */
  rule: string;
  next_run_at: string;
  /** Failed tries in a row. */
  attempts: number;
  /** The scheduled job that was started last and whose result has not been dealt with yet. */
  pending_job_id: string | null;
}

interface AlertsTable {
  id: string;
  code: string;
  app_id: string | null;
  /** Tells alerts of one code and app apart, e.g. the type of the failed job; empty when there is only one. */
  subject: string;
  message: string;
  /** Facts that the texts in other languages are made from. */
  facts_json: string;
  opened_at: string;
  closed_at: string | null;
  notified_at: string | null;
  close_notified_at: string | null;
  notify_problem: string | null;
  notify_attempts: Generated<number>;
  next_notify_at: string | null;
}

/** Cache of the facts of WAL blocks in the repository. */
interface WalBlocksTable {
  repository_id: string;
  /** Of the snapshot that is the block. */
  id: string;
  app_id: string;
  /** The facts without those of segments, and the columns of these (timeline/block-facts.ts). */
  facts_json: string;
  segments: Uint8Array;
}

/** Cache of the base backups in snapshots of apps; an empty list for a snapshot without any. */
interface BaseBackupsTable {
  repository_id: string;
  snapshot_id: string;
  app_id: string;
  bases_json: string;
}

/** What changed, for event streams in this and other processes; bounded. */
interface ChangesTable {
  id: Generated<number>;
  kind: string;
  key: string;
}

/** Named claims of one process, e.g. the right to repair what dead runs left. */
interface ClaimsTable {
  name: string;
  owner_json: string;
  until_ms: number;
}

interface WalCapturesTable {
  app_id: string;
  component: string;
  /** WalCapture as in the contract. */
  state_json: string;
  updated_at: string;
}

/** Replication slots that were made and not dropped yet. */
interface WalSlotsTable {
  slot: string;
  component: string;
  /** App as in the contract, as it was when the slot was made: how its database is reached. */
  app_json: string;
  made_at: string;
}

export interface CatalogueSchema {
  settings: SettingsTable;
  repositories: RepositoriesTable;
  apps: AppsTable;
  snapshots: SnapshotsTable;
  jobs: JobsTable;
  job_log: JobLogTable;
  stopped_things: StoppedThingsTable;
  schedules: SchedulesTable;
  alerts: AlertsTable;
  wal_blocks: WalBlocksTable;
  base_backups: BaseBackupsTable;
  changes: ChangesTable;
  claims: ClaimsTable;
  wal_captures: WalCapturesTable;
  wal_slots: WalSlotsTable;
}

export type JobRow = Selectable<JobsTable>;
export type AlertRow = Selectable<AlertsTable>;
export type ScheduleRow = Selectable<SchedulesTable>;
export type RepositoryRow = Selectable<RepositoriesTable>;
