// Plans a restore in place: looks at the snapshot and at the app, says what would be done in which order, and refuses what
// cannot be done. Changes nothing.

import { createHash } from 'node:crypto';
import { AppError } from '@varve/base';
import type { RestorePlan, RestoreStep } from '@varve/contract';
import { databaseFacts } from '@varve/postgres';
import { isThere, readHead } from '../components/code/checkout.ts';
import { openGit } from '../components/code/git.ts';
import { databaseAccess } from '../components/database/database-access.ts';
import { checkBaseTarget } from '../components/database/restore-base.ts';
import { locateVolume, sourceOf } from '../components/volume/locate-volume.ts';
import type { PlanRestoreInput, RunContext } from '../use-case.ts';
import {
  containersToStop,
  databaseContainers,
  needsServer,
  readScope,
  type Part,
  type RestoreScope,
} from './restore-scope.ts';
import { restoreWarnings } from './restore-warnings.ts';
import { join } from 'node:path';

/** Looks and changes nothing. RESTORE_TARGET_INVALID when a component cannot be put back. */
export async function planRestore(context: RunContext, input: PlanRestoreInput): Promise<RestorePlan> {
  return (await planWithScope(context, input)).plan;
}

/** The plan and what it was made from. */
export async function planWithScope(
  context: RunContext,
  input: PlanRestoreInput,
): Promise<{ plan: RestorePlan; scope: RestoreScope }> {
  const scope = await readScope(context, input);
  const restoring: RestoreStep[] = [];
  for (const part of scope.parts) restoring.push(await stepOf(context, part, scope));
  if (restoring.length === 0) {
    throw new AppError('RESTORE_TARGET_INVALID', 'Nothing that was chosen can be put back in place.', {
      hint: 'Choose at least one volume, database or code component. Configuration is shown, not put back.',
    });
  }
  const steps = [...stepsBefore(input, scope), ...arrange(restoring, scope), ...stepsAfter(scope)];
  const warnings = await restoreWarnings(context, input, scope);
  const plan = {
    appId: input.app.id,
    snapshotId: scope.snapshot.id,
    snapshotTime: scope.snapshot.time,
    steps,
    bytes: scope.parts.reduce((sum, { saved }) => sum + saved.bytes, 0),
    files: scope.parts.reduce((sum, { saved }) => sum + (saved.kind === 'volume' ? saved.files : 0), 0),
    warnings,
  };
  return { plan: { ...plan, fingerprint: fingerprintOf(plan, scope) }, scope };
}

/** Free space moves all the time and is left out: everything else that changes makes the plan another one. */
function fingerprintOf(plan: Omit<RestorePlan, 'fingerprint'>, scope: RestoreScope): string {
  const warnings = plan.warnings.filter(({ code }) => code !== 'low-space').map(({ code, subject }) => [code, subject]);
  const containers = scope.project?.project.containers.map(({ id, imageId, state }) => [id, imageId, state]) ?? [];
  const { components, origin } = scope.app;
  return createHash('sha256')
    .update(JSON.stringify({ ...plan, warnings, containers, components, origin, tree: scope.snapshot.tree }))
    .digest('hex');
}

function stepsBefore(input: PlanRestoreInput, scope: RestoreScope): RestoreStep[] {
  const steps: RestoreStep[] = input.safetySnapshot ? [{ type: 'safety-snapshot' }] : [];
  const { origin } = scope.app;
  if (origin.type === 'host' && origin.stopCommand?.length)
    steps.push({ type: 'run-stop-command', command: origin.stopCommand.join(' ') });
  const containers = containersToStop(scope).map(({ name }) => name);
  if (containers.length > 0) steps.push({ type: 'stop-containers', containers });
  for (const part of scope.parts) {
    if (part.kind !== 'database' || part.saved.method !== 'base' || part.component.dataDirectory === undefined)
      continue;
    steps.push({ type: 'stop-database', component: part.saved.name, dataDirectory: part.component.dataDirectory });
  }
  return steps;
}

/** Volumes and code, then the servers of databases that do not run, then databases. */
function arrange(restoring: readonly RestoreStep[], scope: RestoreScope): RestoreStep[] {
  const stopped = new Set(containersToStop(scope).map(({ name }) => name));
  const starts = scope.parts.filter(needsServer).flatMap((part): RestoreStep[] => {
    const service = part.component.source.type === 'container' ? part.component.source.service : '';
    const container = databaseContainers(scope).find((candidate) => candidate.service === service);
    const runs = container?.state === 'running' && !stopped.has(container.name);
    return runs
      ? []
      : [{ type: 'start-database', component: part.saved.name, containers: [container?.name ?? service] }];
  });
  const isDatabase = (step: RestoreStep): boolean => step.type === 'restore-database';
  return [...restoring.filter((step) => !isDatabase(step)), ...starts, ...restoring.filter(isDatabase)];
}

function stepsAfter(scope: RestoreScope): RestoreStep[] {
  const steps: RestoreStep[] = [];
  const { origin } = scope.app;
  const containers = [
    ...containersToStop(scope)
      .map(({ name }) => name)
      .reverse(),
    ...(scope.recreation === null ? [] : scope.missingServices),
  ];
  if (containers.length > 0) steps.push({ type: 'start-containers', containers });
  if (origin.type === 'host' && origin.startCommand?.length)
    steps.push({ type: 'run-start-command', command: origin.startCommand.join(' ') });
  if (containers.length > 0) steps.push({ type: 'wait-healthy', containers });
  return steps;
}

async function stepOf(context: RunContext, part: Part, scope: RestoreScope): Promise<RestoreStep> {
  switch (part.kind) {
    case 'volume': {
      const { saved, component } = part;
      const place = await locateVolume(component, scope.project, context.signal);
      return {
        type: 'restore-volume',
        component: saved.name,
        target: sourceOf(component),
        files: saved.files,
        bytes: saved.bytes,
        recreate: place === null,
      };
    }
    case 'code': {
      const { path } = part.component;
      const exists = await isThere(join(path, '.git'));
      const head = exists ? await readHead(await openGit(path, { signal: context.signal }), context.signal) : null;
      return {
        type: 'restore-code',
        component: part.saved.name,
        target: path,
        fromCommit: head?.commit ?? null,
        toCommit: part.saved.commit,
        withLocalChanges: part.saved.dirty,
      };
    }
    case 'database': {
      const databases = part.saved.method === 'base' ? await checkBase(part) : await checkDump(context, part, scope);
      return {
        type: 'restore-database',
        component: part.saved.name,
        method: part.saved.method,
        databases,
        bytes: part.saved.bytes,
      };
    }
  }
}

type DatabasePart = Extract<Part, { kind: 'database' }>;

async function checkBase(part: DatabasePart): Promise<string[]> {
  await checkBaseTarget({ saved: part.saved, component: part.component });
  return [part.component.dataDirectory ?? ''];
}

async function checkDump(context: RunContext, part: DatabasePart, scope: RestoreScope): Promise<string[]> {
  const { component, saved } = part;
  const names = saved.databases.map(({ name }) => name);
  if (component.source.type === 'container') {
    const { service } = component.source;
    const container = databaseContainers(scope).find((candidate) => candidate.service === service);
    if (container === undefined) {
      if (scope.recreation !== null) return names;
      throw new AppError(
        'RESTORE_TARGET_INVALID',
        `The database "${saved.name}" needs the container of the service "${service}", which is not there.`,
        {
          hint: 'Make the containers of the app again (docker compose up -d), then plan the restore again.',
          context: { component: saved.name, service },
        },
      );
    }
    // It is started for the restore; its version shows then.
    if (container.state !== 'running') return names;
  }
  const access = await databaseAccess({
    component,
    secrets: context.secrets,
    project: scope.project,
    signal: context.signal,
  });
  const facts = await databaseFacts(access.runner, access.target, { signal: context.signal });
  checkVersion(saved.name, saved.serverVersion, facts.version);
  if (facts.isInRecovery) {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The server of the database "${saved.name}" is a standby: nothing can be written to it.`,
      {
        hint: 'Restore into the primary server.',
      },
    );
  }
  return names;
}

/** RESTORE_TARGET_INVALID when the server is older than the one that was dumped: pg_restore does not promise that. */
export function checkVersion(name: string, saved: string, current: string): void {
  const majorOf = (version: string): number => Number.parseInt(version, 10);
  if (majorOf(current) >= majorOf(saved)) return;
  throw new AppError(
    'RESTORE_TARGET_INVALID',
    `The database "${name}" was saved from PostgreSQL ${saved}, and its server is PostgreSQL ${current} now.`,
    {
      hint: `Run a server of version ${majorOf(saved)} or newer, then plan the restore again.`,
      context: { component: name, saved, current },
    },
  );
}
