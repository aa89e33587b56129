// One snapshot of everything that an app is made of. The snapshot file is written last, and only when every component
// ended well; containers that were stopped or paused for it run again whatever happened.

import { AppError, isAppError, mapConcurrently, messageOf, throwIfAborted } from '@varve/base';
import type { App, Component, ConfigComponent, Manifest, SavedComponent } from '@varve/contract';
import { startArchive, type ArchiveSession, type Repository, type Snapshot } from '@varve/repository';
import { projectOf, type ProjectOnEngine } from '../components/docker-project.ts';
import type { Produced } from '../components/producer.ts';
import { containersToQuiesce, quiesce } from '../quiesce/quiesce.ts';
import { restartStopped } from '../quiesce/restart-stopped.ts';
import { hasStopCommand, stopHostApp } from '../quiesce/stop-host-app.ts';
import type { Problem, RunContext, StoppedRecord, TakenSnapshot, TakeSnapshotInput } from '../use-case.ts';
import { appTag, describeSnapshot, manifestPath } from './describe-snapshot.ts';
import { produce, type ProduceInput } from './produce-component.ts';
import { StepReporter } from './step-reporter.ts';

/** Components that are read at once. Each reads files or runs a dump; more would only make the disk seek. */
const producersAtOnce = 3;
/** How long a snapshot waits for a prune or a forget, which keep others out for moments only. */
const lockWaitMs = 15 * 60_000;

/**
 * Saves every component of the app as one snapshot. The failure of any of them fails it and leaves no snapshot file; the
 * error names the component and keeps its code.
 */
export async function takeSnapshot(context: RunContext, input: TakeSnapshotInput): Promise<TakenSnapshot> {
  const { app } = input;
  const startedAt = context.clock.now();
  const steps = new StepReporter(context.report);
  steps.enter('prepare');
  const repository = await context.openRepository(app.repositoryId);
  const project = await projectOf(context, app);
  const parent = await parentOf(repository, app, context.signal);
  if (parent?.summary !== undefined) {
    steps.expect({ files: parent.summary.totalFilesProcessed, bytes: parent.summary.totalBytesProcessed });
  }
  await using session = await startArchive(repository, {
    signal: context.signal,
    lockWaitMs,
    lockOwner: context.lockOwner,
    onProgress: (progress) => steps.progress(progress),
    measure: parent?.summary === undefined,
    parent,
  });
  const run: SnapshotRun = { context, input, project, repository, parent, session, steps, missing: [] };
  const { produced, problems } = await readComponents(run);
  throwIfAborted(context.signal);
  steps.enter('commit');
  const manifest = manifestOf(run, { startedAt, produced, problems });
  const data = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await session.addBytes({ target: manifestPath, data, mode: 0o600, modifiedAt: startedAt });
  const { snapshot } = await session.commit({
    time: startedAt,
    hostname: context.hostName,
    paths: [`/${app.id}`],
    tags: ['varve', appTag(app.id), `kind:${input.kind}`],
    programVersion: `varve ${context.version}`,
  });
  context.log('info', `Snapshot ${snapshot.id.slice(0, 8)} is stored.`);
  return { snapshot: describeSnapshot(snapshot, manifest), manifest, problems };
}

interface SnapshotRun {
  readonly context: RunContext;
  readonly input: TakeSnapshotInput;
  readonly project: ProjectOnEngine | null;
  readonly repository: Repository;
  readonly parent: Snapshot | undefined;
  readonly session: ArchiveSession;
  readonly steps: StepReporter;
  /** Components that a pre-restore snapshot goes without. */
  readonly missing: Problem[];
}

/** The newest snapshot of the same app: files that did not change since are not read again. */
async function parentOf(repository: Repository, app: App, signal: AbortSignal): Promise<Snapshot | undefined> {
  // One that cannot be read is no parent, and no reason to take no snapshot; the check reports it.
  const { snapshots } = await repository.readSnapshots({ signal });
  return snapshots.findLast(({ tags }) => tags?.includes('varve') === true && tags.includes(appTag(app.id)));
}

interface ReadComponents {
  readonly produced: readonly Produced[];
  readonly problems: readonly Problem[];
}

/**
 * live: databases first, then files, so that every file that a database names at its point is in the snapshot.
 * pause, stop: nothing changes while the containers rest, so everything is read at once. An app of this host rests when its
 * stop command has run; without one it is read live.
 */
async function readComponents(run: SnapshotRun): Promise<ReadComponents> {
  const { context, project } = run;
  const { app } = run.input;
  const { consistency } = app.policy;
  const components = componentsOf(app);
  const running = new Set(
    project?.project.containers.filter(({ state }) => state === 'running').map(({ name }) => name),
  );
  const { session, repository, parent } = run;
  const base = { context, app, project, session, repository, parent, running };
  const read = (wanted: readonly Component[]): Promise<Produced[]> => readAll(run, base, wanted);
  const canRest = project === null ? consistency === 'stop' && hasStopCommand(app) : consistency !== 'live';
  if (!canRest) {
    const databases = await read(components.filter(({ kind }) => kind === 'database'));
    const files = await read(components.filter(({ kind }) => kind !== 'database'));
    return collect([...databases, ...files], run.missing);
  }
  const records = await bringToRest(run);
  let restartProblems: readonly Problem[] = [];
  let produced: Produced[];
  try {
    produced = await read(components);
  } finally {
    run.steps.enter(project === null ? 'run-start-command' : 'start-containers');
    restartProblems = await restartStopped(context, records);
  }
  return collect(produced, [...run.missing, ...restartProblems]);
}

/** Stops or pauses what writes to the app's files. */
async function bringToRest({ context, project, input, steps }: SnapshotRun): Promise<readonly StoppedRecord[]> {
  const { app } = input;
  if (project === null) {
    steps.enter('run-stop-command');
    return stopHostApp(context, app);
  }
  const stops = app.policy.consistency === 'stop';
  const containers = containersToQuiesce(app, project.project);
  steps.enter(stops ? 'stop-containers' : 'pause-containers');
  return quiesce(context, project.docker, containers, stops ? 'stopped' : 'paused');
}

function collect(produced: readonly Produced[], others: readonly Problem[]): ReadComponents {
  return { produced, problems: [...produced.flatMap(({ problems }) => problems), ...others] };
}

/** Docker apps always have their containers' specifications saved, with or without a config component. */
function componentsOf(app: App): readonly Component[] {
  const hasConfig = app.components.some(({ kind }) => kind === 'config');
  if (hasConfig || app.origin.type !== 'docker') return app.components;
  const names = new Set(app.components.map(({ name }) => name));
  let name = 'config';
  for (let number = 2; names.has(name); number++) name = `config-${number}`;
  const config: ConfigComponent = { kind: 'config', name, files: [] };
  return [...app.components, config];
}

async function readAll(
  run: SnapshotRun,
  base: Omit<ProduceInput, 'component' | 'onStep' | 'signal'>,
  components: readonly Component[],
): Promise<Produced[]> {
  // The first failure ends the others: nothing of this snapshot will be kept.
  const failed = new AbortController();
  const signal = AbortSignal.any([run.context.signal, failed.signal]);
  const produced = await mapConcurrently(components, producersAtOnce, async (component) => {
    const step = `${component.kind}:${component.name}`;
    run.steps.enter(step);
    try {
      return await produce({ ...base, component, signal, onStep: (current) => run.steps.current(step, current) });
    } catch (error) {
      // Before a restore a part that is gone is what the restore is for: what is there is saved.
      if (run.input.kind === 'pre-restore' && isAppError(error, 'ARCHIVE_SOURCE_MISSING')) {
        run.context.log(
          'warning',
          `The ${component.kind} "${component.name}" is not in the safety snapshot: ${error.message}`,
        );
        run.missing.push({ path: component.name, message: error.message });
        return null;
      }
      failed.abort(error);
      throw componentError(error, component);
    } finally {
      run.steps.leave(step);
    }
  });
  return produced.filter((part) => part !== null);
}

/** The error with the component's name in front; a cancellation stays what it is. */
function componentError(error: unknown, component: Component): unknown {
  if (isAppError(error, 'CANCELLED')) return error;
  const name = `${component.kind} "${component.name}"`;
  if (!isAppError(error)) {
    return new AppError('ARCHIVE_PRODUCER_FAILED', `The ${name} could not be saved: ${messageOf(error)}`, {
      hint: 'No snapshot was made. See the log of the job, then try again.',
      context: { component: component.name },
      cause: error,
    });
  }
  return new AppError(error.code, `The ${name} could not be saved: ${error.message}`, {
    hint: error.hint ?? 'No snapshot was made. Repair what is named above, then try again.',
    context: { ...error.context, component: component.name },
    retry: error.retry,
    cause: error,
  });
}

function manifestOf(
  { context, input }: SnapshotRun,
  facts: { readonly startedAt: Date; readonly produced: readonly Produced[]; readonly problems: readonly Problem[] },
): Manifest {
  const components: SavedComponent[] = facts.produced.map(({ saved }) => saved);
  return {
    format: 'varve-app-snapshot',
    formatVersion: 1,
    varveVersion: context.version,
    app: input.app,
    kind: input.kind,
    name: input.name ?? null,
    description: input.description ?? null,
    consistency: input.app.policy.consistency,
    startedAt: facts.startedAt.toISOString(),
    finishedAt: context.clock.now().toISOString(),
    components,
    problems: [...facts.problems],
  };
}
