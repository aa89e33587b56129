// Brings up the servers that databases are restored through, and restores each by its method.

import type { OnProgress } from '@varve/base';
import { databaseFacts } from '@varve/postgres';
import { stopOrder, type Container } from '@varve/docker';
import { databaseAccess } from '../components/database/database-access.ts';
import { restoreBase } from '../components/database/restore-base.ts';
import { restoreDump } from '../components/database/restore-dump.ts';
import { waitForDatabase } from '../components/database/wait-for-database.ts';
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
  /** Things that are stopped on the way are added. */
  readonly stopped: StoppedRecord[];
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
  if (saved.method === 'base') return restoreBase({ ...base, component, stopped: input.stopped });
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
