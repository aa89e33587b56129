// Runs a restore in place exactly as its plan was shown: safety snapshot, stop, volumes, code, databases, start, health.
// Whatever was stopped runs again at the end, also after a failure or a cancellation, and a failure says what is where.

import { AppError, isAppError, messageOf, throwIfAborted } from '@varve/base';
import { startOrder } from '@varve/docker';
import { lockRepository } from '@varve/repository';
import { restoreCode } from '../components/code/restore-code.ts';
import { pathsOfOthers } from '../components/code/paths-of-others.ts';
import { stopHostDatabase } from '../components/database/host-database.ts';
import { ensureVolume, restoreVolume } from '../components/volume/restore-volume.ts';
import { restartStopped } from '../quiesce/restart-stopped.ts';
import { quiesce } from '../quiesce/quiesce.ts';
import { hasStopCommand, stopHostApp } from '../quiesce/stop-host-app.ts';
import { projectOf } from '../components/docker-project.ts';
import type { Problem, RestoredApp, RunContext, RunRestoreInput, StoppedRecord } from '../use-case.ts';
import { planWithScope } from './plan-restore.ts';
import { recreateContainers } from './recreate-containers.ts';
import { restoreDatabasePart, startDatabases, type DatabaseStart } from './restore-databases.ts';
import { containersToStop, readScope, type Part, type RestoreScope } from './restore-scope.ts';
import { RestoreState } from './restore-state.ts';

const healthyTimeoutMs = 180_000;
/** How long a restore waits for a prune or a forget, before it stops anything. */
const lockWaitMs = 15 * 60_000;

interface RestoreRun {
  readonly context: RunContext;
  readonly input: RunRestoreInput;
  readonly state: RestoreState;
  readonly problems: Problem[];
  readonly stopped: StoppedRecord[];
}

/**
 * Plans again, compares the fingerprint, runs the steps. RESTORE_PLAN_STALE before anything is touched; RESTORE_FAILED says
 * in which state each part is.
 */
export async function runRestore(context: RunContext, input: RunRestoreInput): Promise<RestoredApp> {
  const enter = (step: string): void => context.report({ step, filesDone: 0, bytesDone: 0 });
  enter('plan');
  const { plan, scope } = await planWithScope(context, input);
  if (plan.fingerprint !== input.fingerprint) {
    throw new AppError(
      'RESTORE_PLAN_STALE',
      'The app or the snapshot changed since the plan of this restore was made.',
      {
        hint: 'Look at the new plan, then confirm it.',
      },
    );
  }
  const state = new RestoreState(scope.parts);
  const run: RestoreRun = { context, input, state, problems: [], stopped: [] };
  if (input.safetySnapshot) {
    enter('safety-snapshot');
    state.safetySnapshotId = (await input.takeSafetySnapshot()).snapshotId;
    context.log('info', `The present state is in the safety snapshot ${state.safetySnapshotId.slice(0, 8)}.`);
  }
  await using lock = await lockRepository(scope.repository, {
    ...context.lockOwner,
    exclusive: false,
    waitMs: lockWaitMs,
    signal: context.signal,
  });
  // Without the lock somebody could delete what is being read.
  const locked = { ...run, context: { ...context, signal: AbortSignal.any([context.signal, lock.signal]) } };
  try {
    await restoreAll(locked, scope);
  } catch (error) {
    const unstarted = await restartStopped(context, run.stopped);
    for (const { path, message } of unstarted) context.log('error', `${path}: ${message}`);
    throw state.failure(error);
  }
  return { problems: run.problems, safetySnapshotId: state.safetySnapshotId };
}

async function restoreAll(run: RestoreRun, planned: RestoreScope): Promise<void> {
  const { context, stopped } = run;
  await stopApp(run, planned);
  const files = planned.parts.filter(({ kind }) => kind !== 'database');
  // Compose may build images from the code: it goes back before the containers are made again.
  const first = planned.recreation === null ? [] : files.filter(({ kind }) => kind === 'code');
  for (const part of first) await restorePart(run, planned, part);
  const scope = planned.recreation === null ? planned : await recreate(run, planned);
  for (const part of files) {
    if (!first.includes(part)) await restorePart(run, scope, part);
  }
  const starts = await startDatabases({ context, scope, stopped, onStep: (step) => enter(run, step) });
  for (const part of scope.parts) {
    if (part.kind === 'database') await restoreDatabase(run, scope, part);
  }
  throwIfAborted(context.signal);
  await startApp(run, planned, scope, starts);
}

function enter({ context }: RestoreRun, step: string): void {
  throwIfAborted(context.signal);
  context.report({ step, filesDone: 0, bytesDone: 0 });
}

async function stopApp(run: RestoreRun, scope: RestoreScope): Promise<void> {
  const { context, stopped } = run;
  if (hasStopCommand(scope.app)) {
    enter(run, 'run-stop-command');
    stopped.push(...(await stopHostApp(context, scope.app)));
  }
  for (const part of scope.parts) {
    if (part.kind !== 'database' || part.saved.method !== 'base') continue;
    enter(run, 'stop-database');
    const record = await stopHostDatabase(context, part.component);
    if (record !== null) stopped.push(record);
  }
  const containers = containersToStop(scope);
  if (scope.project !== null && containers.length > 0) {
    enter(run, 'stop-containers');
    stopped.push(...(await quiesce(context, scope.project.docker, containers, 'stopped')));
  }
}

/** Volumes first, with their own specification; Compose makes the rest. Yields the scope with the new containers. */
async function recreate(run: RestoreRun, scope: RestoreScope): Promise<RestoreScope> {
  const { context, input } = run;
  const { project, recreation, repository, snapshot } = scope;
  if (project === null || recreation === null) return scope;
  enter(run, 'create-containers');
  for (const part of scope.parts) {
    if (part.kind === 'volume' && part.component.source.type === 'docker-volume') {
      await ensureVolume({
        ...part,
        context,
        app: scope.app,
        repository,
        treeId: snapshot.tree,
        project,
        signal: context.signal,
      });
    }
  }
  context.log('info', `Compose creates the containers of ${recreation.project}.`);
  await recreateContainers({ repository, treeId: snapshot.tree, project, signal: context.signal }, recreation);
  return readScope(context, input);
}

async function restorePart(run: RestoreRun, scope: RestoreScope, part: Part): Promise<void> {
  const { context, state, problems } = run;
  const { app, repository, project, snapshot } = scope;
  const { signal } = context;
  const step = `restore-${part.kind}:${part.saved.name}`;
  enter(run, step);
  context.log('info', `Restoring the ${part.kind} ${part.saved.name}.`);
  state.set(part.saved.name, 'half restored');
  const base = {
    repository,
    treeId: snapshot.tree,
    signal,
    onProgress: (progress: { filesDone: number; bytesDone: number }) => context.report({ ...progress, step }),
  };
  if (part.kind === 'volume') problems.push(...(await restoreVolume({ ...base, ...part, context, app, project })));
  if (part.kind === 'code') {
    const { component } = part;
    const excluded = await pathsOfOthers({ app, component, project, signal });
    const restored = await restoreCode({
      ...base,
      saved: part.saved,
      path: component.path,
      excluded,
      now: context.clock.now(),
    });
    problems.push(...restored.problems);
    if (restored.keptAt !== null)
      context.log('info', `What was in ${component.path} stays reachable under ${restored.keptAt}.`);
  }
  state.set(part.saved.name, 'restored');
}

async function restoreDatabase(
  run: RestoreRun,
  scope: RestoreScope,
  part: Extract<Part, { kind: 'database' }>,
): Promise<void> {
  const { context, state, problems } = run;
  const step = `restore-database:${part.saved.name}`;
  enter(run, step);
  context.log('info', `Restoring the database cluster ${part.saved.name}.`);
  const found = await restoreDatabasePart({
    context,
    scope,
    part,
    recoveries: run.input.recoveries,
    onProgress: (progress) => context.report({ ...progress, step }),
    // Until the first swap every database is as before.
    onDone: (database) => {
      state.set(part.saved.name, 'half restored');
      state.addDone(part.saved.name, database);
    },
  });
  problems.push(...found);
  state.set(part.saved.name, 'restored');
}

async function startApp(
  run: RestoreRun,
  planned: RestoreScope,
  scope: RestoreScope,
  starts: readonly DatabaseStart[],
): Promise<void> {
  const { context, problems, stopped } = run;
  enter(run, 'start-containers');
  const created = planned.recreation === null ? [] : planned.missingServices;
  problems.push(...(await restartStopped(context, stopped.splice(0))));
  const current = await projectOf(context, scope.app);
  if (current === null) return;
  const { docker, project } = current;
  const wanted = new Set([...created, ...[...containersToStop(planned)].map(({ service }) => service)]);
  const waiting = project.containers.filter(({ service }) => wanted.has(service));
  for (const container of startOrder(waiting).order) {
    if (!created.includes(container.service) || container.state === 'running') continue;
    context.log('info', `Starting ${container.name}.`);
    await docker.start(container.id, { signal: context.signal });
  }
  await stopTemporary(run, starts, wanted);
  if (waiting.length === 0) return;
  enter(run, 'wait-healthy');
  try {
    await docker.waitHealthy(
      waiting.map(({ id }) => id),
      { timeoutMs: healthyTimeoutMs, signal: context.signal },
    );
  } catch (error) {
    // The data is back: an app that does not come up is told, and does not make the restore a failed one.
    if (!isAppError(error, 'DOCKER_UNHEALTHY')) throw error;
    problems.push({ path: 'containers', message: messageOf(error) });
  }
}

/** Servers that were down before and ran for the restore only are stopped again. */
async function stopTemporary(
  { context }: RestoreRun,
  starts: readonly DatabaseStart[],
  wanted: ReadonlySet<string>,
): Promise<void> {
  const docker = await (starts.length > 0 ? context.docker() : null);
  for (const { container } of starts.filter(({ wasRunning }) => !wasRunning)) {
    if (wanted.has(container.service)) continue;
    context.log('info', `Stopping ${container.name}, which did not run before.`);
    await docker?.stop(container.id, { timeoutS: 60, signal: context.signal });
  }
}
