// What doctor looks at for each app: its schedule, its containers, its folders, and whether its databases answer.

import { access } from 'node:fs/promises';
import { AppError, messageOf } from '@varve/base';
import type { App, DoctorCheck } from '@varve/contract';
import { projectOf } from '../components/docker-project.ts';
import type { Installation } from '../installation.ts';
import { nextRun } from '../schedule/cron.ts';
import { checked, type Finding } from './check.ts';
import { databaseChecks } from './database-checks.ts';

const databaseTimeoutMs = 40_000;

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
  const checks: Promise<DoctorCheck | readonly DoctorCheck[]>[] = [
    checked(name('schedule'), () => schedule(app, parts.clock.now())),
  ];
  if (app.origin.type === 'docker') checks.push(checked(name('containers'), () => containers(app, parts, signal)));
  for (const component of app.components) {
    const label = name(component.name);
    if (component.kind === 'database') checks.push(databaseChecks(app, component, { parts, label, signal }));
    else if (component.kind === 'code') checks.push(checked(label, () => folder(component.path)));
    else if (component.kind === 'volume' && component.source.type === 'folder') {
      const { path } = component.source;
      // The folders of a Docker app are on the Engine's host and may not be visible from here.
      if (app.origin.type === 'host') checks.push(checked(label, () => folder(path)));
    }
  }
  return (await Promise.all(checks)).flat();
}
