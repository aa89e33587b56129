// What doctor looks at for each app: its schedule, its containers, its folders, and whether its databases answer.

import { access } from 'node:fs/promises';
import { AppError, messageOf } from '@varve/base';
import type { App, DatabaseComponent, DoctorCheck } from '@varve/contract';
import { connectPostgres, listDatabases, readServerFacts } from '@varve/postgres';
import { projectOf } from '../components/docker-project.ts';
import { databaseAccess } from '../components/database/database-access.ts';
import type { Installation } from '../installation.ts';
import { nextRun } from '../schedule/cron.ts';
import { checked, type Finding } from './check.ts';

const databaseTimeoutMs = 15_000;

function schedule(app: App, now: Date): Finding {
  const { enabled, cron, timeZone } = app.policy.schedule;
  if (!enabled) {
    return {
      state: 'warning',
      message: 'Its schedule is off: snapshots are taken only when somebody asks.',
      hint: 'Switch the schedule on in the app’s policy.',
    };
  }
  const next = nextRun({ cron, timeZone }, now);
  return { state: 'ok', message: `"${cron}" in ${timeZone}, next at ${next.toISOString()}.` };
}

async function containers(app: App, parts: Installation, signal: AbortSignal): Promise<Finding> {
  const found = await projectOf({ docker: () => parts.docker.get(), signal }, app);
  const all = found?.project.containers ?? [];
  const running = all.filter(({ state }) => state === 'running').length;
  const message = `${all.length} containers, ${running} of them running.`;
  if (all.length > 0) return { state: running > 0 ? 'ok' : 'warning', message };
  return {
    state: 'failed',
    message: 'None of its containers are there.',
    hint: 'Create them again (docker compose up -d), or remove the app.',
  };
}

async function database(
  app: App,
  component: DatabaseComponent,
  parts: Installation,
  signal: AbortSignal,
): Promise<Finding> {
  const project = await projectOf({ docker: () => parts.docker.get(), signal }, app);
  const access = await databaseAccess({ component, secrets: parts.secrets, project, signal });
  // Asked the way it is saved: a base backup needs the replication protocol and none of PostgreSQL's programs.
  if (component.method === 'base' && access.location !== null) {
    await using connection = await connectPostgres({ ...access.location, replication: 'database', signal });
    const { version } = await readServerFacts(connection, { signal });
    return { state: 'ok', message: `PostgreSQL ${version} answers and lets Varve take base backups.` };
  }
  const databases = await listDatabases(access.runner, access.target, { signal });
  return { state: 'ok', message: `It answers and has ${databases.length} databases.` };
}

async function folder(path: string): Promise<Finding> {
  try {
    await access(path);
    return { state: 'ok', message: `${path} is there.` };
  } catch (error) {
    throw new AppError('ARCHIVE_SOURCE_MISSING', `${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Put it back or mount it, or remove it from the app.',
    });
  }
}

/** The checks of one app. Names begin with `app:<id>:`. */
export async function appChecks(app: App, parts: Installation): Promise<DoctorCheck[]> {
  const signal = AbortSignal.timeout(databaseTimeoutMs);
  const name = (what: string): string => `app:${app.id}:${what}`;
  const checks = [checked(name('schedule'), () => schedule(app, parts.clock.now()))];
  if (app.origin.type === 'docker') checks.push(checked(name('containers'), () => containers(app, parts, signal)));
  for (const component of app.components) {
    const label = name(component.name);
    if (component.kind === 'database') checks.push(checked(label, () => database(app, component, parts, signal)));
    else if (component.kind === 'code') checks.push(checked(label, () => folder(component.path)));
    else if (component.kind === 'volume' && component.source.type === 'folder') {
      const { path } = component.source;
      // The folders of a Docker app are on the Engine's host and may not be visible from here.
      if (app.origin.type === 'host') checks.push(checked(label, () => folder(path)));
    }
  }
  return Promise.all(checks);
}
