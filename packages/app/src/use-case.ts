// The seam between the jobs that run use cases and the use cases themselves: what a run is given, what it must write down
// before it touches anything, and what it yields. Types only; the functions are named at the end of each section.

import type { Clock, Logger, Progress, Secret } from '@varve/base';
import type { App, AppSnapshot, Component, Manifest, SnapshotKind } from '@varve/contract';
import type { DockerEngine } from '@varve/docker';
import type { LockOwnerOptions, Repository } from '@varve/repository';
import type { RecoveryRecords } from './recovery/recovery-records.ts';

/**
 * A thing that a run is about to stop, with all that is needed to start it again in another process.
 * - container: stopped or paused through the Engine.
 * - host-app: the app's stop command was run; `startCommand` undoes it.
 * - host-database: a PostgreSQL server of this host is stopped, and its data folder may be swapped: when `dataDirectory`
 *   is missing, a folder beside it with `.varve-old-` in its name is the one that was there.
 * - swapped-data: the data of a container's server is swapped; it goes back before anything older is started.
 */
export type StoppedThing =
  | {
      readonly kind: 'container';
      readonly containerId: string;
      readonly name: string;
      readonly how: 'stopped' | 'paused';
    }
  | { readonly kind: 'host-app'; readonly appId: string; readonly startCommand: readonly string[] }
  | {
      readonly kind: 'host-database';
      readonly component: string;
      readonly dataDirectory: string;
      readonly binDirectory: string;
      /** Options that the server ran with, as pg_ctl keeps them; null for none. */
      readonly serverOptions: string | null;
    }
  | {
      readonly kind: 'swapped-data';
      readonly component: string;
      readonly containerId: string;
      readonly current: string;
      readonly recovered: string;
      readonly old: string;
      readonly how: 'rename' | 'entries';
    };

/** A journal line; `id` is given by the journal and grows with time. */
export interface StoppedRecord {
  readonly id: string;
  readonly thing: StoppedThing;
}

/** What runs have stopped and not started yet. A record MUST be durable when `record` resolves. */
export interface StoppedJournal {
  /** Called before the act. Records are returned in the order of `things`. */
  record(things: readonly StoppedThing[]): Promise<readonly StoppedRecord[]>;
  /** Called after the thing runs again. Idempotent. */
  clear(id: string): Promise<void>;
}

/** Reads secrets by name; undefined when there is none of that name. */
export interface SecretReader {
  get(name: string): Promise<Secret | undefined>;
}

/** Where a run is. Bytes and files are those of the step; the job engine computes speed and time left. */
export interface StepProgress extends Progress {
  /** e.g. `database:db`, `volume:web-data`, `commit`, `stop-containers`. */
  readonly step: string;
}

/** Environment of everything that is done for an app. */
export interface RunContext {
  /** Id of the job; marks helper containers, so that those of dead runs can be told from those of living ones. */
  readonly runId: string;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Connects on the first call. DOCKER_UNREACHABLE when no Engine answers. */
  readonly docker: () => Promise<DockerEngine>;
  /** Opened once, shared, closed by whoever made the context. */
  readonly openRepository: (repositoryId: string) => Promise<Repository>;
  readonly secrets: SecretReader;
  /** For every lock that is taken in the repository. */
  readonly lockOwner: LockOwnerOptions;
  /** May be called often; the receiver throttles. */
  readonly report: (progress: StepProgress) => void;
  /** A line of the job's log, for people. */
  readonly log: (level: 'info' | 'warning' | 'error', message: string) => void;
  readonly stopped: StoppedJournal;
  /** Stable name of this host, written into snapshots. */
  readonly hostName: string;
  /** Varve's version. */
  readonly version: string;
}

/** A thing that could not be read, put back or checked; the run goes on and ends as `partial`. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

// ---- discovery/: discoverApps(input), planNewApp(input)

export interface DiscoverAppsInput {
  readonly docker: DockerEngine;
  readonly signal?: AbortSignal | undefined;
  /** Apps that are protected already; fills `addedAs`. */
  readonly apps: readonly App[];
}

/** What an app is made of before it has a repository and a date. Secrets are to be stored under their names first. */
export interface PlannedApp {
  readonly id: string;
  readonly name: string;
  readonly origin: App['origin'];
  readonly components: readonly Component[];
  readonly secrets: readonly { readonly name: string; readonly value: Secret }[];
}

// ---- snapshot/: takeSnapshot(context, input), readManifest(repository, snapshot), describeSnapshot(snapshot, manifest)

export interface TakeSnapshotInput {
  readonly app: App;
  readonly kind: SnapshotKind;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
}

export interface TakenSnapshot {
  readonly snapshot: AppSnapshot;
  readonly manifest: Manifest;
  /** Not empty: the snapshot is partial. */
  readonly problems: readonly Problem[];
}

// ---- restore/: planRestore(context, input), runRestore(context, input)

export interface PlanRestoreInput {
  readonly app: App;
  readonly snapshotId: string;
  readonly manifest: Manifest;
  /** Names of components; all of the manifest when absent. */
  readonly components?: readonly string[] | undefined;
  readonly safetySnapshot: boolean;
}

export interface RunRestoreInput extends PlanRestoreInput {
  /** Fingerprint of the plan that was shown; RESTORE_PLAN_STALE when the plan is another one now. */
  readonly fingerprint: string;
  /** Called when `safetySnapshot` is set; its failure ends the restore before anything is changed. */
  readonly takeSafetySnapshot: () => Promise<{ readonly snapshotId: string }>;
  /** Where recoveries of databases note what they make. */
  readonly recoveries: RecoveryRecords;
}

export interface RestoredApp {
  readonly problems: readonly Problem[];
  readonly safetySnapshotId: string | null;
}

// ---- quiesce/: restartStopped(context, records)

/** The part of the context that recovery after a crash has. */
export type RestartContext = Pick<RunContext, 'docker' | 'stopped' | 'log' | 'logger'>;

/**
 * `restartStopped`: starts again what the records name, newest first, and clears each record that is done. Never throws;
 * what could not be started stays in the journal and in the answer. Idempotent.
 */
export type RestartStopped = (
  context: RestartContext,
  records: readonly StoppedRecord[],
) => Promise<readonly Problem[]>;
