import { silentLogger } from '@varve/base';
import type { CheckScope, EmailSettings, Job, JobType } from '@varve/contract';
import { FakeClock, startMailSink, type MailSink } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { AlertMonitor } from '../src/alerts/alert-monitor.ts';
import { firstSnapshotGraceMs, wantedAlerts } from '../src/alerts/alert-rules.ts';
import { AlertStore } from '../src/alerts/alert-store.ts';
import { headlineOf, letterOf, testLetter } from '../src/alerts/alert-texts.ts';
import { sendLetter } from '../src/alerts/mailer.ts';
import { unresolvedCheck } from '../src/alerts/unresolved-check.ts';
import { Secret } from '@varve/base';
import { exampleApp, exampleSnapshot, repositoryId, startEngine } from './engine-fixture.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;

async function startMonitor(sink?: MailSink, settings: Partial<EmailSettings> = {}) {
  const clock = new FakeClock('2026-01-01T00:00:00Z');
  const engine = await startEngine({ clock });
  const alerts = new AlertStore(engine);
  const monitor = new AlertMonitor({
    ...engine,
    alerts,
    logger: silentLogger,
    hostName: 'srv1',
    listCaptures: async () => [],
  });
  if (sink) {
    await engine.settings.update({
      email: {
        enabled: true,
        host: '127.0.0.1',
        port: sink.port,
        security: 'none',
        user: 'varve',
        from: 'varve@example.com',
        to: ['ana@example.com', 'luis@example.com'],
        language: 'en',
        ...settings,
      },
      emailPassword: 'smtp-password-1',
    });
  }
  let number = 0;
  return {
    ...engine,
    fakeClock: clock,
    alerts,
    async turn() {
      await monitor.evaluate();
      await monitor.notify();
    },
    async open() {
      return (await alerts.list({ open: true })).map(({ code, appId }) => `${code} ${appId ?? '-'}`).sort();
    },
    async runJob(
      type: JobType,
      appId: string | null,
      state: 'succeeded' | 'failed' | 'cancelled',
      error?: Job['error'],
    ) {
      const job = await engine.jobs.add({ type, appId, requestedBy: 'test' }, engine.owner);
      await engine.jobs.end(job?.id ?? '', { state, snapshotId: null, error: error ?? null, problems: [] });
    },
    async snapshot(appId: string, facts: { partial?: boolean } = {}) {
      await engine.snapshots.add(repositoryId, [
        exampleSnapshot(++number, { appId, time: clock.now().toISOString(), ...facts }),
      ]);
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

const failure = { code: 'DATABASE_UNREACHABLE', message: 'no answer from db:5432', hint: 'Start the database.' };

describe('alerts', () => {
  test('about a missing first backup wait one interval of the schedule, or an hour without one', async () => {
    expect(firstSnapshotGraceMs(exampleApp('a'))).toBe(4 * hourMs + 10 * minuteMs);
    expect(firstSnapshotGraceMs(exampleApp('a', { policy: { schedule: { cron: '0 0 * * 0' } } }))).toBe(24 * hourMs);
    expect(firstSnapshotGraceMs(exampleApp('a', { policy: { schedule: { enabled: false } } }))).toBe(hourMs);

    await using m = await startMonitor();
    await m.apps.add(exampleApp('shop', { createdAt: '2026-01-01T00:00:00Z' }));
    m.fakeClock.advance(4 * hourMs + 10 * minuteMs);
    await m.turn();
    expect(await m.open()).toEqual([]);
    m.fakeClock.advance(1);
    await m.turn();
    expect(await m.open()).toEqual(['no-backup shop']);
    await m.snapshot('shop');
    await m.turn();
    expect(await m.open()).toEqual([]);
  });

  test('about late backups open past the limit of the app, once, and close with the next snapshot', async () => {
    await using m = await startMonitor();
    await m.apps.add(exampleApp('shop', { policy: { alertAfterHours: 6 } }));
    await m.snapshot('shop');
    m.fakeClock.advance(6 * hourMs);
    await m.turn();
    expect(await m.open()).toEqual([]);
    m.fakeClock.advance(1);
    for (let turn = 0; turn < 3; turn++) {
      await m.turn();
      m.fakeClock.advance(hourMs);
    }
    const [alert, ...others] = await m.alerts.list({});
    expect(others).toEqual([]);
    expect(alert).toMatchObject({
      code: 'backup-late',
      message: 'App shop has had no backup for more than 6 hours.',
      openedAt: '2026-01-01T06:00:00.001Z',
      closedAt: null,
    });
    await m.snapshot('shop');
    await m.turn();
    expect((await m.alerts.list({}))[0]?.closedAt).not.toBeNull();
  });

  test('about partial snapshots and failed jobs close themselves when the reason is gone', async () => {
    await using m = await startMonitor();
    await m.apps.add(exampleApp('shop'));
    await m.apps.add(exampleApp('wiki'));
    await m.snapshot('shop', { partial: true });
    await m.snapshot('wiki');
    await m.runJob('snapshot', 'wiki', 'failed', failure);
    await m.runJob('forget', 'wiki', 'failed', failure);
    await m.runJob('check', null, 'failed', failure);
    await m.turn();
    expect(await m.open()).toEqual(['job-failed -', 'job-failed wiki', 'job-failed wiki', 'snapshot-partial shop']);
    expect((await m.alerts.list({ open: true })).map(({ message }) => message)).toContain(
      'The snapshot of App wiki failed: no answer from db:5432',
    );
    await m.runJob('snapshot', 'wiki', 'cancelled');
    await m.turn();
    expect(await m.open()).toHaveLength(4);
    await m.runJob('snapshot', 'wiki', 'succeeded');
    await m.runJob('check', null, 'succeeded');
    m.fakeClock.advance(1000);
    await m.snapshot('shop');
    await m.turn();
    expect(await m.open()).toEqual(['job-failed wiki']);
    expect(await m.alerts.list({ open: false })).toHaveLength(3);
  });

  test('about a failed restore stop being news after a week', async () => {
    await using m = await startMonitor();
    await m.apps.add(exampleApp('shop', { policy: { alertAfterHours: 8760 } }));
    await m.snapshot('shop');
    await m.runJob('restore', 'shop', 'failed', failure);
    m.fakeClock.advance(7 * 24 * hourMs);
    await m.turn();
    expect(await m.open()).toEqual(['job-failed shop']);
    m.fakeClock.advance(1);
    await m.turn();
    expect(await m.open()).toEqual([]);
  });

  test('of an app close when it is removed', async () => {
    await using m = await startMonitor();
    await m.apps.add(exampleApp('shop'));
    await m.runJob('snapshot', 'shop', 'failed', failure);
    await m.turn();
    await m.apps.remove('shop', m.clock.now());
    expect(await m.open()).toEqual([]);
    await m.turn();
    expect(await m.open()).toEqual([]);
  });
});

describe('e-mail about alerts', () => {
  test('goes out once when one opens and once when it closes, to every recipient, with reason and advice', async () => {
    await using sink = await startMailSink();
    await using m = await startMonitor(sink);
    await m.apps.add(exampleApp('shop'));
    await m.snapshot('shop');
    await m.runJob('snapshot', 'shop', 'failed', failure);
    for (let turn = 0; turn < 3; turn++) await m.turn();
    expect(sink.mails).toHaveLength(1);
    expect(sink.mails[0]).toMatchObject({
      from: 'varve@example.com',
      to: ['ana@example.com', 'luis@example.com'],
      subject: '[Varve] The snapshot of App shop failed',
      auth: { user: 'varve', password: 'smtp-password-1' },
    });
    const body = sink.mails[0]?.body ?? '';
    for (const part of ['no answer from db:5432', 'Start the database.', 'Host: srv1', '1 January 2026']) {
      expect(body).toContain(part);
    }
    expect((await m.alerts.list({}))[0]).toMatchObject({ notifiedAt: '2026-01-01T00:00:00.000Z', notifyProblem: null });

    await m.runJob('snapshot', 'shop', 'succeeded');
    for (let turn = 0; turn < 3; turn++) await m.turn();
    expect(sink.mails).toHaveLength(2);
    expect(sink.mails[1]?.subject).toBe('[Varve] Solved: The snapshot of App shop failed');
    expect(sink.mails[1]?.body).not.toContain('no answer');
  });

  test('is in Spanish when the settings say so', async () => {
    await using sink = await startMailSink();
    await using m = await startMonitor(sink, { language: 'es' });
    await m.apps.add({ ...exampleApp('shop'), name: 'Tienda «Ñandú»' });
    m.fakeClock.advance(5 * hourMs);
    m.fakeClock.set('2026-01-03T00:00:00Z');
    await m.turn();
    expect(sink.mails[0]?.subject).toBe('[Varve] Tienda «Ñandú» todavía no tiene ninguna copia de seguridad');
    expect(sink.mails[0]?.body).toContain('Añadida el: 1 de enero de 2026');
    expect(sink.mails[0]?.body).toContain('Servidor: srv1');
    await m.snapshot('shop');
    await m.turn();
    expect(sink.mails[1]?.subject).toContain('Resuelto: Tienda «Ñandú»');
  });

  test('that the server refuses is tried again with growing waits, and the reason is kept without the password', async () => {
    await using sink = await startMailSink();
    await using m = await startMonitor(sink);
    await m.apps.add(exampleApp('shop'));
    await m.runJob('snapshot', 'shop', 'failed', failure);
    sink.refuse = true;
    await m.turn();
    const [alert] = await m.alerts.list({});
    expect(alert).toMatchObject({ notifiedAt: null, notifyProblem: expect.stringContaining('no such mailbox') });
    expect(alert?.notifyProblem).not.toContain('smtp-password-1');
    sink.refuse = false;
    m.fakeClock.advance(minuteMs - 1);
    await m.turn();
    expect(sink.mails).toHaveLength(0);
    m.fakeClock.advance(1);
    await m.turn();
    expect(sink.mails).toHaveLength(1);
    expect((await m.alerts.list({}))[0]).toMatchObject({ notifyProblem: null });
  });

  test('about the end is not sent to whom nobody told of the beginning', async () => {
    await using sink = await startMailSink();
    await using m = await startMonitor(sink);
    sink.refuse = true;
    await m.apps.add(exampleApp('shop'));
    await m.runJob('snapshot', 'shop', 'failed', failure);
    await m.turn();
    await m.runJob('snapshot', 'shop', 'succeeded');
    sink.refuse = false;
    for (let hours = 0; hours < 3; hours++) {
      m.fakeClock.advance(hourMs);
      await m.turn();
    }
    expect(sink.mails).toHaveLength(0);
  });

  test('waits while e-mail is off and goes out when it is switched on', async () => {
    await using sink = await startMailSink();
    await using m = await startMonitor(sink);
    const { email } = await m.settings.read();
    await m.settings.update({ email: { ...email, enabled: false } });
    await m.apps.add(exampleApp('shop'));
    await m.runJob('snapshot', 'shop', 'failed', failure);
    await m.turn();
    expect(sink.mails).toHaveLength(0);
    await m.settings.update({ email });
    await m.turn();
    expect(sink.mails).toHaveLength(1);
  });

  test('is refused over STARTTLS when the server cannot do it: nothing goes in the clear', async () => {
    await using sink = await startMailSink();
    await using m = await startMonitor(sink, { security: 'starttls' });
    const settings = await m.settings.email();
    const password = new Secret('smtp-password-1');
    await expect(sendLetter({ settings, password, letter: testLetter('en', 'srv1') })).rejects.toMatchObject({
      code: 'EMAIL_FAILED',
      hint: expect.any(String),
    });
    expect(sink.mails).toEqual([]);
  });

  test('fails with EMAIL_FAILED when nobody listens', async () => {
    const sink = await startMailSink();
    await using m = await startMonitor(sink);
    await sink[Symbol.asyncDispose]();
    const settings = await m.settings.email();
    await expect(sendLetter({ settings, password: undefined, letter: testLetter('es', 'x') })).rejects.toMatchObject({
      code: 'EMAIL_FAILED',
      message: expect.stringContaining(`127.0.0.1:${sink.port}`),
    });
  });
});

describe('texts', () => {
  test('exist for every alert in both languages, and a subject is one line without the reason', () => {
    const facts = { appName: 'Shop\r\nBcc: x@example.com', errorMessage: 'secret reason', limitHours: 24 } as const;
    for (const code of ['job-failed', 'no-backup', 'backup-late', 'snapshot-partial'] as const) {
      const [english, spanish] = (['en', 'es'] as const).map((language) => {
        const letter = letterOf({ code, facts, language, isSolved: false, hostName: 'h' });
        expect(letter.subject).not.toMatch(/[\r\n]|secret/);
        return headlineOf({ code, facts, language });
      });
      expect(english).not.toBe(spanish);
    }
    for (const jobType of ['snapshot', 'restore', 'forget', 'check'] as const) {
      expect(headlineOf({ code: 'job-failed', facts: { jobType, appName: 'A' }, language: 'es' })).not.toBe('');
    }
  });
});

describe('settings', () => {
  test('keep the password when none is given, remove it when an empty one is, and refuse half of a set-up', async () => {
    await using m = await startMonitor();
    const { email } = await m.settings.read();
    expect(email).toMatchObject({ enabled: false, port: 587, security: 'starttls', language: 'en' });
    await expect(m.settings.update({ email: { ...email, enabled: true, host: 'mail' } })).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: expect.stringContaining('the sender, a recipient'),
    });
    expect((await m.settings.update({ email, emailPassword: 'one' })).emailPasswordSet).toBe(true);
    expect((await m.settings.update({ email })).emailPasswordSet).toBe(true);
    expect((await m.settings.emailPassword())?.reveal()).toBe('one');
    expect((await m.settings.update({ email, emailPassword: '' })).emailPasswordSet).toBe(false);
  });
});

describe('a check that found damage', () => {
  const check = (
    state: 'succeeded' | 'failed',
    scope: CheckScope,
    code = 'REPOSITORY_DAMAGED',
    affected: readonly string[] = [],
  ): Job => ({
    id: `${state} ${JSON.stringify(scope)}`,
    type: 'check',
    appId: null,
    requestedBy: 'schedule',
    state,
    createdAt: '2026-01-01T00:00:00Z',
    startedAt: '2026-01-01T00:00:00Z',
    finishedAt: '2026-01-01T00:00:00Z',
    progress: null,
    snapshotId: null,
    error: state === 'failed' ? { code, message: 'The check found 1 error.', hint: null } : null,
    problems: [],
    result:
      code === 'REPOSITORY_DAMAGED'
        ? {
            type: 'check',
            scope,
            snapshots: 1,
            packs: 1,
            bytesRead: 0,
            errors: state === 'failed' ? 1 : 0,
            warnings: 0,
            affectedCount: affected.length,
            affected: affected.map((path) => ({ snapshotId: 'a'.repeat(64), path, type: 'file', reason: 'lost' })),
          }
        : null,
  });
  const part = (number: number): CheckScope => ({ data: 'part', part: number, parts: 4 });
  const none: CheckScope = { data: 'none' };
  const all: CheckScope = { data: 'all' };

  test('stays true until a check that read as much finds nothing', () => {
    const failed = check('failed', part(2));
    expect(unresolvedCheck([])).toBeUndefined();
    expect(unresolvedCheck([failed])).toBe(failed);
    expect(unresolvedCheck([check('succeeded', none), check('succeeded', part(3)), failed])).toBe(failed);
    expect(unresolvedCheck([check('succeeded', part(2)), failed])).toBeUndefined();
    expect(unresolvedCheck([check('succeeded', all), failed])).toBeUndefined();
    expect(unresolvedCheck([failed, check('succeeded', all)])).toBe(failed);
    const whole = check('failed', all);
    expect(unresolvedCheck([1, 2, 3, 4].map((number) => check('succeeded', part(number))).concat(whole))).toBe(whole);
    const structure = check('failed', none);
    expect(unresolvedCheck([check('succeeded', part(1)), structure])).toBeUndefined();
    // It could not look at all: any that could is better.
    expect(unresolvedCheck([check('succeeded', none), check('failed', all, 'STORAGE_UNREACHABLE')])).toBeUndefined();
  });

  test('names the files in the e-mail, and only once each', () => {
    const paths = ['/volumes/files/a.txt', '/volumes/files/b.txt', '/volumes/files/a.txt'];
    const [alert] = wantedAlerts({
      apps: [],
      repositoryJobs: [check('failed', all, 'REPOSITORY_DAMAGED', paths)],
      now: new Date('2026-01-01T01:00:00Z'),
    });
    if (!alert) throw new Error('no alert');
    const letter = letterOf({ ...alert, language: 'es', isSolved: false, hostName: 'srv1' });
    expect(letter.body).toContain(
      'Archivos a los que alcanza el daño (la tarea los indica todos):\n- /volumes/files/a.txt\n- /volumes/files/b.txt\n\n',
    );
    expect(letter.subject).not.toContain('/volumes');
    expect(letterOf({ ...alert, language: 'en', isSolved: true, hostName: 'srv1' }).body).not.toContain('/volumes');
  });
});
