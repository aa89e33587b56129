// What the pages say and lay out, as pure functions of facts.

import type { AppOverview, AppSnapshot, Job, Protection, RestoreStep } from '@varve/contract';
import { describe, expect, test } from 'vitest';
import { isEnded, withJob, withLogLine } from '../src/api/apply-event.ts';
import { splitCommand } from '../src/domain/command-line.ts';
import { checkTitle, keepReasonText, progressLine, requesterText, stepText } from '../src/domain/labels.ts';
import { heroSentence, protectionSentence } from '../src/domain/protection.ts';
import { runningIndex, safetySnapshotOf, stepStates } from '../src/domain/restore-progress.ts';
import { applyRetention, isoWeek } from '../src/domain/retention.ts';
import { nextRuns, parseSchedule, scheduleWords } from '../src/domain/schedule.ts';
import { layoutTimeline } from '../src/domain/timeline.ts';
import { createFormat } from '../src/i18n/format.ts';
import { createTranslate } from '../src/i18n/translate.ts';
import { emptyDraft, problemsOf, requestOf } from '../src/pages/add-app/host-app.ts';
import { kitText } from '../src/pages/settings/recovery-kit.ts';
import { makeFixtures } from './fixtures.ts';

const now = Date.parse('2026-11-23T12:12:00Z');
const t = createTranslate('en', 'en-GB');
const format = createFormat({ locale: 'en-GB', timeZone: 'UTC', t });
const wording = { t, format, language: 'en' as const, now };
const fixtures = makeFixtures(now);

test('checks of doctor have names for people, in their language', () => {
  const es = createTranslate('es', 'es-ES');
  const names = ['data-directory', 'app:shop:schedule', 'app:shop:db', 'something new', 'app:shop:db:capture'];
  expect(names.map((name) => checkTitle(name, t))).toEqual([
    'Data directory',
    'shop · schedule',
    'shop · db',
    names[3],
    'shop · db · WAL capture',
  ]);
  expect(names.map((name) => checkTitle(name, es)).slice(0, 2)).toEqual(['Directorio de datos', 'shop · programación']);
});

const fresh: Protection = {
  level: 'protected',
  lastSnapshotAt: '2026-11-23T12:00:00Z',
  lastSnapshotId: 'a'.repeat(64),
  lastSnapshotPartial: false,
  snapshotCount: 3,
  oldestSnapshotAt: '2026-11-20T12:00:00Z',
  nextRunAt: '2026-11-23T16:00:00Z',
  failure: null,
  runningJobId: null,
};

/** No-break spaces as spaces. */
function plain(text: string): string {
  return text.replaceAll('\u00a0', ' ');
}

function textOf(changes: Partial<Protection>): string {
  const { state, text } = protectionSentence({ ...fresh, ...changes }, 24, wording);
  return plain(`${state}: ${text}`);
}

describe('the sentence about an app', () => {
  test('tells the newest snapshot and the next run', () => {
    expect(textOf({})).toBe('Protected: Last snapshot 12 minutes ago; next: 16:00.');
    expect(textOf({ nextRunAt: null })).toBe('Protected: Last snapshot 12 minutes ago; no automatic snapshots.');
  });

  test('does not call an incomplete snapshot protection', () => {
    const sentence = protectionSentence({ ...fresh, lastSnapshotPartial: true }, 24, wording);
    expect(sentence.light).toBe('warning');
    expect(sentence.text).toContain('lacks files');
  });

  test('tells lateness with its limit, a failure with its reason, and the absence of any snapshot', () => {
    expect(textOf({ level: 'late', lastSnapshotAt: '2026-11-21T12:00:00Z' })).toBe(
      'Late: Last snapshot 2 days ago; the limit is 24 h; next: 16:00.',
    );
    const failure = { code: 'DATABASE_AUTH_FAILED', message: 'The password was refused.', hint: null };
    expect(textOf({ level: 'failing', failure })).toBe(
      'Failing: Last snapshot failed: The password was refused. The last good one was 12 minutes ago.',
    );
    expect(textOf({ level: 'failing', failure, lastSnapshotAt: null })).toContain('There is no good one yet.');
    expect(textOf({ level: 'never', lastSnapshotAt: null })).toBe('No snapshot: No snapshot yet; next: 16:00.');
  });
});

describe('the sentence about the installation', () => {
  const app = fixtures.overviews[0]?.app as AppOverview['app'];
  const overview = (changes: Partial<Protection>): AppOverview => ({
    app,
    protection: { ...fresh, ...changes },
    bytes: 1,
  });

  test('says that everything is protected only when it is', () => {
    expect(heroSentence([overview({})], null, wording)).toEqual({
      light: 'ok',
      title: 'Everything is protected',
      text: '1 app · last snapshot 12 minutes ago · next: 16:00',
    });
    expect(heroSentence([overview({}), overview({ lastSnapshotPartial: true })], null, wording).title).toBe(
      '1 app needs attention',
    );
    expect(heroSentence([overview({ level: 'failing' }), overview({ level: 'late' })], null, wording)).toMatchObject({
      light: 'bad',
      title: '2 apps need attention',
    });
  });

  test('waits for a first snapshot that is scheduled, and counts an app that will never get one', () => {
    expect(heroSentence([overview({ level: 'never', lastSnapshotAt: null })], null, wording).title).toBe(
      'Waiting for the first snapshot',
    );
    expect(heroSentence([overview({ level: 'never', nextRunAt: null })], null, wording).title).toBe(
      '1 app needs attention',
    );
  });

  test('puts a repository that cannot be reached before everything else', () => {
    const repository = {
      id: 'r',
      name: 'local',
      location: '/mnt/nas',
      state: 'unreachable' as const,
      problem: 'not mounted',
      freeBytes: null,
      recoveryKitConfirmed: true,
    };
    expect(heroSentence([overview({})], repository, wording)).toEqual({
      light: 'bad',
      title: 'The repository cannot be reached',
      text: 'not mounted',
    });
  });
});

describe('the timeline', () => {
  const snapshots = fixtures.snapshots.get('ferreteria') ?? [];
  const jobs = fixtures.jobs.filter(({ appId }) => appId === 'ferreteria');
  const base = {
    snapshots,
    jobs,
    jobsComplete: false,
    scheduled: true,
    appCreatedAt: '2026-01-01T00:00:00Z',
    now,
    days: 30,
    timeZone: 'UTC',
  };
  const stateOn = (day: string, changes: Partial<typeof base> = {}) =>
    layoutTimeline({ ...base, ...changes }).find(({ key }) => key === day)?.state;

  test('has one entry per day, oldest first, today last', () => {
    const days = layoutTimeline(base);
    expect(days.map(({ key }) => key)).toHaveLength(30);
    expect([days[0]?.key, days.at(-1)?.key]).toEqual(['2026-10-25', '2026-11-23']);
  });

  test('tells a day that failed, one on which nothing ran, and one whose snapshots retention removed', () => {
    expect(stateOn('2026-11-23')).toBe('saved');
    expect(stateOn('2026-11-04')).toBe('failed');
    expect(stateOn('2026-11-11')).toBe('missed');
    expect(stateOn('2026-11-06')).toBe('thinned');
    expect(stateOn('2026-11-16')).toBe('issue');
  });

  test('does not call a day missed when nothing was scheduled, the app was not there, or the jobs do not reach back', () => {
    expect(stateOn('2026-11-11', { scheduled: false })).toBe('unknown');
    expect(
      stateOn('2026-11-11', { snapshots: [], jobs: [], appCreatedAt: '2026-11-12T00:00:00Z', jobsComplete: true }),
    ).toBe('before');
    expect(stateOn('2026-11-11', { snapshots: [], jobs: jobs.slice(0, 5) })).toBe('unknown');
    expect(stateOn('2026-11-23', { snapshots: [], jobs: [], jobsComplete: true })).toBe('waiting');
  });

  test('puts a snapshot on the day of the reader, across midnight and the change of summer time', () => {
    const late = { ...(snapshots[0] as AppSnapshot), time: '2026-10-24T22:30:00Z' };
    const days = layoutTimeline({
      ...base,
      snapshots: [late],
      jobs: [],
      now: Date.parse('2026-10-26T12:00:00Z'),
      timeZone: 'Europe/Madrid',
    });
    expect(days.find(({ snapshots: some }) => some.length > 0)?.key).toBe('2026-10-25');
    expect(new Set(days.map(({ key }) => key)).size).toBe(30);
  });
});

describe('schedules in words', () => {
  test('cover what people set, and show the rest as it is', () => {
    const words = (cron: string): string => scheduleWords(cron, t, format);
    expect(words('0 */4 * * *')).toBe('Every 4 hours');
    expect(words('15 * * * *')).toBe('Every hour, at minute 15');
    expect(words('*/10 * * * *')).toBe('Every 10 minutes');
    expect(words('30 2 * * *')).toBe('Every day at 02:30');
    expect(words('0 2 * * 1-5')).toBe('Monday to Friday at 02:00');
    expect(words('0 2 * * 7,3')).toBe('Every Sunday and Wednesday at 02:00');
    expect(words('0 2 1 * *')).toBe('On day 1 of each month at 02:00');
    expect(words('0 2 1 1 *')).toBe('By cron: 0 2 1 1 *');
    expect(parseSchedule('61 2 * * *')).toEqual({ type: 'custom' });
  });

  test('next runs are those of the time zone; none for what is not valid', () => {
    const runs = nextRuns({ cron: '0 */4 * * *', timeZone: 'Europe/Madrid', now, count: 2 });
    expect(runs.map((run) => run.toISOString())).toEqual(['2026-11-23T15:00:00.000Z', '2026-11-23T19:00:00.000Z']);
    expect(nextRuns({ cron: 'nonsense', timeZone: 'UTC', now, count: 2 })).toEqual([]);
    expect(nextRuns({ cron: '* * * * *', timeZone: 'Mars/Base', now, count: 2 })).toEqual([]);
  });
});

describe('retention of a draft', () => {
  const none = { keepLast: 0, keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 };
  const base = fixtures.snapshots.get('ferreteria')?.[0] as AppSnapshot;
  const at = (time: string, changes: Partial<AppSnapshot> = {}): AppSnapshot => ({
    ...base,
    id: time.padEnd(64, '0'),
    time,
    ...changes,
  });
  const daily = ['20', '21', '22', '23'].flatMap((day) => [
    at(`2026-11-${day}T04:00:00Z`),
    at(`2026-11-${day}T16:00:00Z`),
  ]);

  test('keeps the newest of each bucket, and the oldest while a count is left', () => {
    const { keep, remove } = applyRetention(daily, { ...none, keepDaily: 2 }, now);
    expect(keep.map(({ snapshot }) => snapshot.time)).toEqual(['2026-11-23T16:00:00Z', '2026-11-22T16:00:00Z']);
    expect(remove).toHaveLength(6);
    const wide = applyRetention(daily, { ...none, keepDaily: 9 }, now);
    expect(wide.keep.at(-1)?.snapshot.time).toBe('2026-11-20T04:00:00Z');
  });

  test('spares a fresh safety snapshot and the only complete one', () => {
    const safety = at('2026-11-23T10:00:00Z', { kind: 'pre-restore' });
    const withSafety = applyRetention([...daily, safety], { ...none, keepLast: 1 }, now);
    expect(withSafety.keep.find(({ snapshot }) => snapshot === safety)?.reasons).toEqual(['safety']);
    const partial = at('2026-11-23T20:00:00Z', { partial: true });
    const spared = applyRetention([...daily, partial], { ...none, keepLast: 1 }, now);
    expect(spared.keep.map(({ reasons }) => reasons)).toEqual([['keepLast'], ['onlyComplete']]);
  });

  test('weeks are those of ISO 8601', () => {
    expect(['2026-12-31', '2027-01-03', '2027-01-04'].map(isoWeek)).toEqual(['2026-W53', '2026-W53', '2027-W1']);
  });

  test('reasons of the server are said in the language of the reader', () => {
    const es = createTranslate('es', 'es');
    expect(keepReasonText('daily snapshot', es)).toBe('diaria');
    expect(keepReasonText('oldest weekly snapshot', es)).toBe('semanal (la más antigua)');
    expect(keepReasonText('has tags kept', es)).toBe('has tags kept');
  });
});

describe('jobs', () => {
  const running = fixtures.jobs.find(({ id }) => id === 'job-running') as Job;

  test('a running job is one line of step, bytes, speed and time left', () => {
    expect(plain(progressLine(running, t, format))).toBe(
      'Saving: web-data · 1.8 GiB of 4.5 GiB · 55.3 MiB/s · about 50 s left',
    );
  });

  test('whoever asked is named', () => {
    expect(['schedule', 'cli', 'user:Ana'].map((who) => requesterText(who, t))).toEqual([
      'by the schedule',
      'from the command line',
      'by Ana',
    ]);
  });

  test('events replace the job in a list, add new ones first, and never repeat a log line', () => {
    const done: Job = { ...running, state: 'succeeded' };
    expect(withJob([running], done)).toEqual([done]);
    expect(withJob([running], { ...done, id: 'new' }).map(({ id }) => id)).toEqual(['new', 'job-running']);
    expect([isEnded(running), isEnded(done)]).toEqual([false, true]);
    const line = { time: '2026-11-23T12:00:00Z', level: 'info' as const, message: 'x' };
    const once = withLogLine({ job: running, log: [] }, line);
    expect(withLogLine(once, line).log).toEqual([line]);
  });

  test('the steps of a plan follow the job', () => {
    const steps: RestoreStep[] = [
      { type: 'safety-snapshot' },
      { type: 'stop-containers', containers: ['web'] },
      { type: 'restore-volume', component: 'files', target: '/x', files: 1, bytes: 1, recreate: false },
      { type: 'start-containers', containers: ['web'] },
    ];
    const at = (step: string, state = 'running') => stepStates(steps, { state, progress: { step } });
    expect(at('restore-volume:files')).toEqual(['done', 'done', 'running', 'waiting']);
    expect(at('volume:files', 'failed')).toEqual(['done', 'done', 'failed', 'waiting']);
    expect(at('plan')).toEqual(['waiting', 'waiting', 'waiting', 'waiting']);
    expect(stepStates(steps, { state: 'succeeded', progress: null })).toEqual(['done', 'done', 'done', 'done']);
    expect(runningIndex(steps, 'start-containers:x')).toBe(3);
    expect(stepText(steps[1] as RestoreStep, t, format)).toEqual({ title: 'Stop 1 container', detail: 'web' });
  });
});

describe('undoing a restore', () => {
  test('takes the snapshot that the restore itself took before it began', () => {
    const base = fixtures.snapshots.get('ferreteria')?.[0] as AppSnapshot;
    const before: AppSnapshot = { ...base, id: 'b'.repeat(64), kind: 'pre-restore', time: '2026-11-23T11:00:05Z' };
    const older: AppSnapshot = { ...before, id: 'c'.repeat(64), time: '2026-11-20T11:00:05Z' };
    const job = { startedAt: '2026-11-23T11:00:00Z', finishedAt: '2026-11-23T11:02:00Z' };
    expect(safetySnapshotOf(job, [base, older, before])?.id).toBe(before.id);
    expect(safetySnapshotOf(job, [base, older])).toBeUndefined();
  });
});

describe('forms', () => {
  test('a command is split as in a shell, and an open quote is noticed', () => {
    expect(splitCommand(`systemctl stop "my app" it\\'s '' `)).toEqual(['systemctl', 'stop', 'my app', "it's", '']);
    expect(splitCommand('say "no')).toBeUndefined();
    expect(splitCommand('  ')).toEqual([]);
  });

  test('a host app without anything to save, with relative paths or a bad name is not sent', () => {
    expect(problemsOf({ ...emptyDraft, id: 'Shop' }).map(({ type }) => type)).toEqual(['id', 'empty']);
    expect(problemsOf({ ...emptyDraft, id: 'shop', folders: '/srv/a\nsrv/b' })).toEqual([
      { type: 'path', field: 'folders', path: 'srv/b' },
    ]);
    const draft = {
      ...emptyDraft,
      id: 'shop',
      folders: ' /srv/a \n\n',
      databaseUrl: 'postgresql://u:p@h/d',
      stopCommand: 'stop it',
    };
    expect(problemsOf(draft)).toEqual([]);
    expect(requestOf(draft)).toMatchObject({
      type: 'host',
      folders: ['/srv/a'],
      databases: [{ url: 'postgresql://u:p@h/d', method: 'dump' }],
      stopCommand: ['stop', 'it'],
    });
  });

  test('the recovery kit as a file has all that restic needs', () => {
    const text = kitText(
      { location: '/repo', password: 'secret', repositoryId: 'id', commands: ['restic snapshots'] },
      t,
      'today',
    );
    for (const part of ['/repo', 'secret', 'id', '  restic snapshots', 'today']) expect(text).toContain(part);
  });
});
