// Short texts made from facts: who asked for a job, what step it is at, what a plan's step does, why a snapshot stays.

import type { App, Component, DatabaseMethod, Job, RestorePlan, RestoreStep } from '@varve/contract';
import type { Format } from '../i18n/format.ts';
import type { Translate } from '../i18n/messages.ts';

/** `by the schedule`, `from the command line`, `by Ana`. */
export function requesterText(requestedBy: string, t: Translate): string {
  if (requestedBy === 'schedule') return t('job.by.schedule');
  if (requestedBy === 'cli' || requestedBy.startsWith('cli:')) return t('job.by.cli');
  return t('job.by.user', { name: requestedBy.replace(/^user:/, '') });
}

/** `Snapshot of Shop` */
export function jobTitle(job: Pick<Job, 'type' | 'appId'>, appName: string | undefined, t: Translate): string {
  const type = t(`job.type.${job.type}`);
  const app = appName ?? job.appId;
  return app === null ? type : t('job.of', { type, app });
}

/** A job's step in words; an unknown step is shown as it is. */
export function jobStepText(step: string, jobType: Job['type'], t: Translate): string {
  const separator = step.indexOf(':');
  const name = separator === -1 ? step : step.slice(0, separator);
  const component = separator === -1 ? '' : step.slice(separator + 1);
  if (name === 'safety-snapshot') return t('job.step.safety');
  if (name === 'commit') return t('job.step.commit');
  if (/^(stop|pause)/.test(name) || name === 'run-stop-command') return t('job.step.stop');
  if (/^(start|resume|unpause)/.test(name) || name === 'run-start-command') return t('job.step.start');
  if (name === 'wait-healthy') return t('job.step.health');
  if (name === 'prune-find') return t('job.step.pruneFind');
  if (name === 'prune-repack') return t('job.step.pruneRepack');
  if (name === 'prune-remove') return t('job.step.pruneRemove');
  if (name === 'lock') return t('job.step.lock');
  if (name === 'forget') return t('job.step.forget');
  if (name === 'restore-base') return t('job.step.restoreBase', { component });
  if (name === 'replay-wal') return t('job.step.replayWal', { component });
  if (name === 'swap-data') return t('job.step.swapData', { component });
  if (name === 'verify') return t('job.step.verifying', { component });
  if (name === 'check' || jobType === 'check') return t('job.step.check');
  if (name === 'prepare' || name === 'plan' || name === 'start') return t('job.step.prepare');
  if (component === '') return step;
  return jobType === 'restore' ? t('job.step.restoring', { component }) : t('job.step.saving', { component });
}

/** Fraction done by bytes, `null` while the total is unknown. */
export function progressFraction(job: Pick<Job, 'progress' | 'state'>): number | null {
  if (job.progress === null || job.progress.bytesTotal === null || job.progress.bytesTotal === 0) return null;
  return job.progress.bytesDone / job.progress.bytesTotal;
}

/** One line about a running job: step, bytes, speed, time left; only what is known. */
export function progressLine(job: Job, t: Translate, format: Format): string {
  if (job.progress === null) return t(`job.state.${job.state}`);
  const { step, bytesDone, bytesTotal, bytesPerSecond, secondsLeft } = job.progress;
  const parts = [jobStepText(step, job.type, t)];
  if (bytesTotal !== null && bytesTotal > 0) {
    parts.push(t('job.ofTotal', { done: format.bytes(bytesDone), total: format.bytes(bytesTotal) }));
  } else if (bytesDone > 0) {
    parts.push(format.bytes(bytesDone));
  }
  if (bytesPerSecond !== null && bytesPerSecond > 0) parts.push(format.speed(bytesPerSecond));
  if (secondsLeft !== null) parts.push(t('job.leftAbout', { time: format.duration(Math.ceil(secondsLeft) * 1000) }));
  return parts.join(' · ');
}

export interface StepText {
  readonly title: string;
  /** Names, paths, sizes: what the step works on. */
  readonly detail: string;
}

/** A step of a restore in plain words. */
export function stepText(step: RestoreStep, t: Translate, format: Format): StepText {
  switch (step.type) {
    case 'safety-snapshot':
      return { title: t('step.safety-snapshot'), detail: '' };
    case 'stop-containers':
    case 'start-containers':
      return { title: t(`step.${step.type}`, { count: step.containers.length }), detail: format.list(step.containers) };
    case 'run-stop-command':
    case 'run-start-command':
      return { title: t(`step.${step.type}`), detail: step.command };
    case 'stop-database':
      return { title: t('step.stop-database', { component: step.component }), detail: step.dataDirectory };
    case 'start-database':
      return { title: t('step.start-database', { component: step.component }), detail: format.list(step.containers) };
    case 'restore-volume': {
      const key = step.recreate ? 'step.restore-volumeNew' : 'step.restore-volume';
      const sizes = [t('snapshot.fileCount', { count: step.files }), format.bytes(step.bytes), step.target];
      return { title: t(key, { component: step.component }), detail: sizes.join(' · ') };
    }
    case 'restore-code':
      return codeStepText(step, t);
    case 'restore-database': {
      if (step.method === 'base') {
        return {
          title: t('step.restore-databaseBase', { component: step.component }),
          detail: format.bytes(step.bytes),
        };
      }
      const databases = format.list(step.databases);
      return {
        title: t('step.restore-database', { count: step.databases.length, databases }),
        detail: [step.component, format.bytes(step.bytes)].join(' · '),
      };
    }
    case 'wait-healthy':
      return { title: t('step.wait-healthy'), detail: format.list(step.containers) };
  }
}

function codeStepText(step: Extract<RestoreStep, { type: 'restore-code' }>, t: Translate): StepText {
  const to = shortCommit(step.toCommit);
  const from = shortCommit(step.fromCommit);
  const title =
    to === null || to === from
      ? t('step.restore-codeSame', { component: step.component })
      : t('step.restore-code', { component: step.component, commit: to });
  const details = [step.target];
  if (from !== null && to !== null && from !== to) details.push(t('step.fromCommit', { from, to }));
  if (step.withLocalChanges) details.push(t('step.localChanges'));
  return { title, detail: details.join(' · ') };
}

export function shortCommit(commit: string | null): string | null {
  return commit === null ? null : commit.slice(0, 8);
}

export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** Title of a warning; the server's own sentence stands below it. */
export function warningTitle(
  warning: RestorePlan['warnings'][number],
  plan: RestorePlan,
  t: Translate,
  format: Format,
): string {
  switch (warning.code) {
    case 'newer-data-lost':
      return t('warning.newer-data-lost', { time: format.dateTime(plan.snapshotTime) });
    case 'snapshot-partial':
    case 'no-safety-snapshot':
      return t(`warning.${warning.code}`);
    default:
      return t(`warning.${warning.code}`, { subject: warning.subject });
  }
}

/** restic's reasons ("daily snapshot", "oldest weekly snapshot") in the reader's language. */
export function keepReasonText(reason: string, t: Translate): string {
  if (reason.startsWith('safety snapshot')) return t('retention.reason.safety');
  if (reason === 'needed for the point-in-time window') return t('retention.reason.pointInTime');
  if (reason.startsWith('the only complete')) return t('retention.reason.onlyComplete');
  const match = /^(oldest )?(last|hourly|daily|weekly|monthly|yearly)(?: snapshot)?$/.exec(reason.trim());
  if (match === null) return reason;
  const text = t(`retention.reason.${match[2] as 'daily'}`);
  return match[1] === undefined ? text : t('retention.reason.oldest', { reason: text });
}

/** `2 databases, 1 folder of files and configuration` */
export function componentsText(components: readonly Component[], t: Translate, format: Format): string {
  const count = (kind: Component['kind']): number => components.filter((component) => component.kind === kind).length;
  const parts: string[] = [];
  if (count('database') > 0) parts.push(t('component.databases', { count: count('database') }));
  if (count('volume') > 0) parts.push(t('component.volumes', { count: count('volume') }));
  if (count('code') > 0) parts.push(t('component.codes', { count: count('code') }));
  if (count('config') > 0) parts.push(t('component.configs'));
  return format.list(parts);
}

/** How a database is saved, in a word or two. */
export const methodKeys = {
  dump: 'component.methodDump',
  base: 'component.methodBase',
  both: 'component.methodBoth',
} as const satisfies Record<DatabaseMethod, string>;

/** Where a component comes from, in one line. */
export function componentSource(component: Component, t: Translate): string {
  switch (component.kind) {
    case 'volume':
      return component.source.type === 'folder'
        ? component.source.path
        : t('component.dockerVolume', { volume: component.source.volume });
    case 'database': {
      const method = t(methodKeys[component.method]);
      const source =
        component.source.type === 'container'
          ? t('component.service', { service: component.source.service })
          : component.source.display;
      return `${source} · ${method}`;
    }
    case 'code':
      return component.path;
    case 'config':
      return component.files.join(' · ');
  }
}

export function originText(app: Pick<App, 'origin'>, t: Translate): string {
  return app.origin.type === 'docker' ? t('apps.kindDocker') : t('apps.kindHost');
}

const checks = ['node', 'data-directory', 'catalogue', 'repository', 'docker', 'git', 'clock', 'email'] as const;
const appChecks = ['schedule', 'containers'] as const;
const databaseChecks = ['way', 'capture'] as const;

/** The name of a check of doctor for people: `Data directory`, or `shop · schedule` for `app:shop:schedule`, `shop · db · WAL capture`. */
export function checkTitle(name: string, t: Translate): string {
  const match = /^app:([^:]+):(.+)$/.exec(name);
  if (match === null) {
    const check = checks.find((known) => known === name);
    return check === undefined ? name : t(`doctor.check.${check}`);
  }
  const [, app = '', what = ''] = match;
  const check = appChecks.find((known) => known === what);
  if (check !== undefined) return `${app} · ${t(`doctor.check.${check}`)}`;
  const [component = '', part] = what.split(':');
  const databaseCheck = databaseChecks.find((known) => known === part);
  return [app, component, ...(databaseCheck === undefined ? [] : [t(`doctor.check.${databaseCheck}`)])].join(' · ');
}
