import { AppError, silentLogger } from '@varve/base';
import type { Job } from '@varve/contract';
import { FakeClock } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import type { JobEnd } from '../src/jobs/job-store.ts';
import { assertCronRule, intervalMs, jitterMs, nextRun, nextRunOfApp } from '../src/schedule/cron.ts';
import { Scheduler } from '../src/schedule/scheduler.ts';
import { exampleApp, startEngine } from './engine-fixture.ts';

const minuteMs = 60_000;
const next = (cron: string, timeZone: string, after: string): string =>
  nextRun({ cron, timeZone }, new Date(after)).toISOString();

describe('cron rules', () => {
  test('are read in their time zone', () => {
    expect(next('0 */4 * * *', 'UTC', '2026-11-23T00:30:00Z')).toBe('2026-11-23T04:00:00.000Z');
    expect(next('0 3 * * *', 'America/Bogota', '2026-11-23T00:30:00Z')).toBe('2026-11-23T08:00:00.000Z');
    expect(next('0 3 * * *', 'Europe/Madrid', '2026-07-23T00:30:00Z')).toBe('2026-07-23T01:00:00.000Z');
    expect(next('30 2 29 2 *', 'UTC', '2026-11-23T00:00:00Z')).toBe('2028-02-29T02:30:00.000Z');
  });

  test('run right after the gap when the clocks go forward', () => {
    // Madrid, 29 March 2026: 02:00 becomes 03:00, so 02:30 does not exist; 01:00 UTC is 03:00 there.
    expect(next('30 2 * * *', 'Europe/Madrid', '2026-03-28T12:00:00Z')).toMatch(/^2026-03-29T01:/);
    expect(next('30 2 * * *', 'Europe/Madrid', '2026-03-29T12:00:00Z')).toBe('2026-03-30T00:30:00.000Z');
  });

  test('run once when the clocks go back', () => {
    // Madrid, 25 October 2026: 02:30 occurs at 00:30 and at 01:30 UTC.
    const first = next('30 2 * * *', 'Europe/Madrid', '2026-10-24T12:00:00Z');
    expect(first).toBe('2026-10-25T00:30:00.000Z');
    expect(next('30 2 * * *', 'Europe/Madrid', first)).toBe('2026-10-26T01:30:00.000Z');
  });

  test('that are hourly go on through both changes', () => {
    expect(next('0 * * * *', 'Europe/Madrid', '2026-10-25T00:00:00Z')).toBe('2026-10-25T01:00:00.000Z');
    expect(next('0 * * * *', 'Europe/Madrid', '2026-03-29T00:00:00Z')).toBe('2026-03-29T01:00:00.000Z');
  });

  test.each([
    ['61 * * * *', 'UTC'],
    ['* * * * * *', 'UTC'],
    ['often', 'UTC'],
    ['0 0 31 2 *', 'UTC'],
    ['0 * * * *', 'Mars/Olympus'],
    ['0 * * * *', ''],
  ])('"%s" in "%s" is refused with a hint', (cron, timeZone) => {
    expect(() => assertCronRule({ cron, timeZone }, new Date('2026-01-01'))).toThrow(
      expect.objectContaining({ code: 'SETTINGS_INVALID', hint: expect.any(String) }),
    );
  });

  test('have a delay per app: always the same, below a minute and a tenth of the interval, and spread', () => {
    const rule = { cron: '0 */4 * * *', timeZone: 'UTC' };
    const interval = intervalMs(rule, new Date('2026-01-01'));
    expect(interval).toBe(4 * 60 * minuteMs);
    const delays = Array.from({ length: 200 }, (_, number) => jitterMs(`app-${number}`, interval));
    for (const delay of delays) expect(delay).toBeGreaterThanOrEqual(0);
    expect(Math.max(...delays)).toBeLessThan(minuteMs);
    expect(new Set(delays.map((delay) => Math.floor(delay / 10_000))).size).toBe(6);
    expect(jitterMs('app-1', interval)).toBe(delays[1]);
    expect(jitterMs('app-1', minuteMs)).toBeLessThan(6000);
  });

  test('do not skip a run that is due within the delay', () => {
    const rule = { cron: '0 */4 * * *', timeZone: 'UTC' };
    const delay = jitterMs('shop', intervalMs(rule, new Date('2026-01-01')));
    expect(delay).toBeGreaterThan(1000);
    const justAfterTheHour = new Date('2026-01-01T04:00:00.500Z');
    expect(nextRunOfApp(rule, 'shop', justAfterTheHour).getTime()).toBe(Date.parse('2026-01-01T04:00:00Z') + delay);
    const justAfterTheRun = new Date(Date.parse('2026-01-01T04:00:00Z') + delay);
    expect(nextRunOfApp(rule, 'shop', justAfterTheRun).getTime()).toBe(Date.parse('2026-01-01T08:00:00Z') + delay);
  });
});

/** A scheduler over real rows; its snapshots are jobs that the test ends as it likes. */
async function startScheduler(cron = '0 */4 * * *') {
  const clock = new FakeClock('2026-01-01T00:30:00Z');
  const engine = await startEngine({ clock });
  const started: Job[] = [];
  const retained: string[] = [];
  const build = () =>
    new Scheduler({
      ...engine,
      logger: silentLogger,
      startSnapshot: async (appId) => {
        const job = await engine.jobs.add({ type: 'snapshot', appId, requestedBy: 'schedule' }, engine.owner);
        if (!job) throw new AppError('APP_BUSY', 'busy');
        started.push(job);
        return job;
      },
      applyRetention: (appId) => {
        retained.push(appId);
        return Promise.resolve();
      },
    });
  const app = exampleApp('shop', { policy: { schedule: { cron } } });
  await engine.apps.add(app);
  const delay = jitterMs('shop', intervalMs(app.policy.schedule, clock.now()));
  return {
    ...engine,
    fakeClock: clock,
    app,
    delay,
    started,
    retained,
    scheduler: build(),
    /** As after a restart. */
    build,
    async endLast(state: JobEnd['state'], code = 'DATABASE_UNREACHABLE') {
      const error = state === 'succeeded' || state === 'partial' ? null : { code, message: 'x', hint: null };
      await engine.jobs.end(started.at(-1)?.id ?? '', { state, snapshotId: null, error, problems: [] });
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

describe('the schedule', () => {
  test('starts a snapshot when it is due, not before, once, and retention after it succeeded', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    expect(await s.scheduler.nextRunAt(s.app)).toBe(
      new Date(Date.parse('2026-01-01T04:00:00Z') + s.delay).toISOString(),
    );
    s.fakeClock.set('2026-01-01T04:00:00Z');
    s.fakeClock.advance(s.delay - 1);
    await s.scheduler.tick();
    expect(s.started).toHaveLength(0);
    s.fakeClock.advance(1);
    await s.scheduler.tick();
    await s.scheduler.tick();
    expect(s.started).toHaveLength(1);
    expect(s.retained).toEqual([]);
    await s.endLast('succeeded');
    await s.scheduler.tick();
    expect(s.retained).toEqual(['shop']);
    await s.scheduler.tick();
    expect(s.retained).toEqual(['shop']);
    expect(await s.scheduler.nextRunAt(s.app)).toBe(
      new Date(Date.parse('2026-01-01T08:00:00Z') + s.delay).toISOString(),
    );
  });

  test('catches up once what was missed while Varve was down', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-05T09:30:00Z');
    const afterRestart = s.build();
    await afterRestart.tick();
    expect(s.started).toHaveLength(1);
    await s.endLast('partial');
    await afterRestart.tick();
    expect(s.started).toHaveLength(1);
    expect(await afterRestart.nextRunAt(s.app)).toMatch(/^2026-01-05T12:00/);
  });

  test('never starts a run while its predecessor runs', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T04:05:00Z');
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T08:05:00Z');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(1);
    await s.endLast('succeeded');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(2);
  });

  test('tries again after 5, 15 and 30 minutes, then waits for the regular run', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T04:01:00Z');
    await s.scheduler.tick();
    for (const [tries, waitMinutes] of [5, 15, 30].entries()) {
      expect(s.started).toHaveLength(tries + 1);
      await s.endLast('failed');
      s.fakeClock.advance(waitMinutes * minuteMs - 1);
      await s.scheduler.tick();
      expect(s.started).toHaveLength(tries + 1);
      s.fakeClock.advance(1);
      await s.scheduler.tick();
    }
    expect(s.started).toHaveLength(4);
    await s.endLast('failed');
    await s.scheduler.tick();
    s.fakeClock.advance(60 * minuteMs);
    await s.scheduler.tick();
    expect(s.started).toHaveLength(4);
    expect(await s.scheduler.nextRunAt(s.app)).toMatch(/^2026-01-01T08:00/);
    expect(s.retained).toEqual([]);
  });

  test('does not move a regular run behind a later retry, and counts anew after a success', async () => {
    await using s = await startScheduler('*/10 * * * *');
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T00:41:00Z');
    await s.scheduler.tick();
    await s.endLast('failed');
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T00:46:00Z');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(2);
    await s.endLast('failed');
    await s.scheduler.tick();
    // 15 minutes after 00:46 is later than the regular run of 00:50.
    expect(await s.scheduler.nextRunAt(s.app)).toMatch(/^2026-01-01T00:50/);
    s.fakeClock.set('2026-01-01T00:51:00Z');
    await s.scheduler.tick();
    await s.endLast('succeeded');
    await s.scheduler.tick();
    const row = await s.catalogue.queries.selectFrom('schedules').selectAll().executeTakeFirst();
    expect(row).toMatchObject({ attempts: 0, pending_job_id: null });
  });

  test('tries again a minute later when somebody else has a job with the app', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    const manual = await s.jobs.add({ type: 'restore', appId: 'shop', requestedBy: 'user:ana' }, s.owner);
    s.fakeClock.set('2026-01-01T04:01:00Z');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(0);
    await s.jobs.end(manual?.id ?? '', { state: 'succeeded', snapshotId: null, error: null, problems: [] });
    s.fakeClock.advance(minuteMs);
    await s.scheduler.tick();
    expect(s.started).toHaveLength(1);
  });

  test('repeats a run that the stop of Varve cancelled, and leaves alone one that a user cancelled', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T04:01:00Z');
    await s.scheduler.tick();
    await s.endLast('cancelled', 'JOB_INTERRUPTED');
    await s.build().tick();
    expect(s.started).toHaveLength(2);
    await s.endLast('cancelled', 'CANCELLED');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(2);
    expect(await s.scheduler.nextRunAt(s.app)).toMatch(/^2026-01-01T08:00/);
  });

  test('follows a changed policy, and stops when it is switched off', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    const daily = exampleApp('shop', { policy: { schedule: { cron: '15 5 * * *', timeZone: 'Europe/Madrid' } } });
    await s.apps.update(daily);
    expect(await s.scheduler.nextRunAt(daily)).toMatch(/^2026-01-01T04:15/);
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T04:10:00Z');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(0);
    const off = exampleApp('shop', { policy: { schedule: { enabled: false } } });
    await s.apps.update(off);
    s.fakeClock.set('2026-01-09T00:00:00Z');
    await s.scheduler.tick();
    expect(s.started).toHaveLength(0);
    expect(await s.scheduler.nextRunAt(off)).toBeNull();
  });

  test('is not silenced by a clock that was years ahead', async () => {
    await using s = await startScheduler();
    s.fakeClock.set('2031-01-01T00:00:00Z');
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T00:30:00Z');
    await s.scheduler.tick();
    expect(await s.scheduler.nextRunAt(s.app)).toMatch(/^2026-01-01T04:00/);
  });

  test('of two servers on one catalogue starts a run once', async () => {
    await using s = await startScheduler();
    await s.scheduler.tick();
    s.fakeClock.set('2026-01-01T04:01:00Z');
    await Promise.all([s.scheduler.tick(), s.build().tick()]);
    expect(s.started).toHaveLength(1);
  });
});
