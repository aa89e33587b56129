// Brings up the servers that databases are restored through, and restores each by its method.

import { AppError, type OnProgress } from '@varve/base';
import { databaseFacts } from '@varve/postgres';
import { stopOrder, type Container } from '@varve/docker';
import { databaseAccess } from '../components/database/database-access.ts';
import { restoreDump } from '../components/database/restore-dump.ts';
import { waitForDatabase } from '../components/database/wait-for-database.ts';
import type { RecoveryRecords } from '../recovery/recovery-records.ts';
import { runRecovery } from '../recovery/run-recovery.ts';
import type { Problem, RunContext, StoppedRecord } from '../use-case.ts';
import { checkVersion } from './plan-restore.ts';
import { databaseContainers, type Part, type RestoreScope } from './restore-scope.ts';

const databaseTimeoutMs = 180_000;

/** A server that was started for the restore. */
export interface DatabaseStart {
  readonly container: Container;
  /** Whether it ran before the restore stopped it, or is to run because it was made anew. */
  readonly wasRunning: boolean;
}

interface StartInput {
  readonly context: RunContext;
  readonly scope: RestoreScope;
  /** What this restore has stopped; servers among them are to run in the end. */
  readonly stopped: readonly StoppedRecord[];
  readonly onStep: (step: string) => void;
}

/** Starts the containers of databases that do not run and waits for every server. DATABASE_UNREACHABLE, DOCKER_UNHEALTHY. */
export async function startDatabases({
  context,
  scope,
  stopped,
  onStep,
}: StartInput): Promise<readonly DatabaseStart[]> {
  const { project } = scope;
  const containers = databaseContainers(scope);
  if (project === null || containers.length === 0) return [];
  const { signal } = context;
  const ours = new Set(stopped.flatMap(({ thing }) => (thing.kind === 'container' ? [thing.containerId] : [])));
  const starts: DatabaseStart[] = [];
  for (const container of stopOrder(containers).order.toReversed()) {
    const now = await project.docker.inspectContainer(container.id, { signal });
    if (now.state === 'running') continue;
    onStep('start-database');
    context.log('info', `Starting ${container.name}.`);
    if (now.state === 'paused') await project.docker.unpause(container.id, { signal });
    else await project.docker.start(container.id, { signal });
    starts.push({ container, wasRunning: ours.has(container.id) });
  }
  for (const part of scope.parts) {
    if (part.kind !== 'database' || part.component.source.type !== 'container') continue;
    const access = await databaseAccess({ component: part.component, secrets: context.secrets, project, signal });
    await waitForDatabase(access, { timeoutMs: databaseTimeoutMs, signal });
  }
  return starts;
}

interface RestorePartInput {
  readonly context: RunContext;
  readonly scope: RestoreScope;
  readonly part: Extract<Part, { kind: 'database' }>;
  readonly recoveries: RecoveryRecords;
  readonly onProgress: OnProgress;
  readonly onDone: (database: string) => void;
}

/** Restores one cluster. Problems are things that are not as they were; a failure is thrown. */
export async function restoreDatabasePart(input: RestorePartInput): Promise<readonly Problem[]> {
  const { context, part, scope } = input;
  const { component, saved } = part;
  const base = {
    context,
    repository: scope.repository,
    treeId: scope.snapshot.tree,
    saved,
    signal: context.signal,
    onProgress: input.onProgress,
    onDone: input.onDone,
  };
  if (saved.method === 'base') return restoreBase(input);
  const access = await databaseAccess({
    component,
    secrets: context.secrets,
    project: scope.project,
    signal: context.signal,
  });
  const facts = await databaseFacts(access.runner, access.target, { signal: context.signal });
  checkVersion(saved.name, saved.serverVersion, facts.version);
  return restoreDump({ ...base, access });
}

/**
 * A base backup is recovered to its own end, so that the cluster goes on with a timeline of its own: on the old one it would write
 * other log at positions that were written before. The app rests already, and is started by who stopped it.
 */
async function restoreBase({
  context,
  scope,
  part,
  recoveries,
  onProgress,
  onDone,
}: RestorePartInput): Promise<readonly Problem[]> {
  const { app, snapshot } = scope;
  const { component } = part;
  const recovered = await runRecovery(
    { ...context, report: (progress) => onProgress(progress) },
    {
      app: app.origin.type === 'host' ? { ...app, origin: { type: 'host' } } : app,
      request: {
        component: component.name,
        target: { type: 'snapshot', snapshotId: snapshot.id },
        destination: { type: 'in-place' },
        whenReached: 'promote',
        safetySnapshot: false,
      },
      fingerprint: null,
      records: recoveries,
      takeSafetySnapshot: () => Promise.reject(new AppError('INTERNAL', 'The restore has taken its safety snapshot.')),
    },
  );
  onDone(component.dataDirectory ?? component.name);
  return recovered.problems;
}
