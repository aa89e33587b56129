import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { AppError, cancelledError, silentLogger, sleep } from '@varve/base';
import type { JobResult, VarveEvent } from '@varve/contract';
import { FakeClock } from '@varve/testing';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { ChangeFeed } from '../src/jobs/change-feed.ts';
import { JobLog } from '../src/jobs/job-log.ts';
import { ProgressMeter } from '../src/jobs/job-progress.ts';
import type { JobOutcome, JobWork } from '../src/jobs/job-run.ts';
import { leaseMs } from '../src/jobs/job-store.ts';
import { ownerState } from '../src/jobs/process-owner.ts';
import { endDeadJobs, recover, type RecoveryOptions } from '../src/jobs/recovery.ts';
import type { StoppedRecord } from '../src/use-case.ts';
import { startEngine } from './engine-fixture.ts';

type Engine = Awaited<ReturnType<typeof startEngine>>;

const done: JobOutcome = { snapshotId: null, problems: [] };
const snapshotOf = (appId: string) => ({ type: 'snapshot', appId, requestedBy: 'test' }) as const;

/** A job that runs until it is let go or cancelled. */
function heldWork(): { readonly work: JobWork; readonly started: Promise<void>; readonly release: () => void } {
  const started = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  return {
    started: started.promise,
    release: () => released.resolve(),
    work: async ({ signal }) => {
      started.resolve();
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(cancelledError(signal)), { once: true });
      });
      await Promise.race([released.promise, aborted]);
      return done;
    },
  };
}

async function ended(engine: Engine, id: string) {
  for (;;) {
    const job = await engine.jobs.get(id);
    if (job.finishedAt !== null) return job;
    await wait(5);
  }
}

function recoveryOptions(engine: Engine, restarted: string[] = []): RecoveryOptions {
  return {
    catalogue: engine.catalogue,
    jobs: engine.jobs,
    log: engine.log,
    clock: engine.clock,
    logger: silentLogger,
    owner: engine.owner,
    docker: () => Promise.reject(new AppError('DOCKER_UNREACHABLE', 'no engine here')),
    restartStopped: async (context, records) => {
      for (const { id, thing } of records) {
        restarted.push(thing.kind === 'container' ? thing.name : thing.kind);
        await context.stopped.clear(id);
      }
      return [];
    },
    releaseLeftovers: () => Promise.resolve(),
  };
}

describe('jobs', () => {
  test('go from queued over running to succeeded, partial or failed, with result, problems and log', async () => {
    await using engine = await startEngine();
    const good = await engine.engine.start(snapshotOf('a'), async ({ log }) => {
      log('info', 'reading postgres://me:hunter2@db/x');
      return { snapshotId: 'f'.repeat(64), problems: [] };
    });
    expect(good).toMatchObject({ state: 'queued', appId: 'a', requestedBy: 'test', startedAt: null });
    expect(await ended(engine, good.id)).toMatchObject({ state: 'succeeded', snapshotId: 'f'.repeat(64), error: null });
    expect((await engine.log.list(good.id)).map(({ message }) => message)).toEqual([
      'reading postgres://me:[redacted]@db/x',
    ]);

    const problems = [{ path: '/srv/x', message: 'permission denied' }];
    const partial = await engine.engine.start(snapshotOf('a'), () => Promise.resolve({ snapshotId: null, problems }));
    expect(await ended(engine, partial.id)).toMatchObject({ state: 'partial', problems });

    const failed = await engine.engine.start(snapshotOf('a'), () =>
      Promise.reject(new AppError('DATABASE_AUTH_FAILED', 'postgres://me:hunter2@db said no', { hint: 'Look.' })),
    );
    expect((await ended(engine, failed.id)).error).toEqual({
      code: 'DATABASE_AUTH_FAILED',
      message: 'postgres://me:[redacted]@db said no',
      hint: 'Look.',
    });
    const faulty = await engine.engine.start(snapshotOf('a'), () => Promise.reject(new TypeError('oops')));
    expect((await ended(engine, faulty.id)).error).toMatchObject({ code: 'INTERNAL', message: 'oops' });
    expect((await engine.jobs.list({ limit: 2 })).map(({ id }) => id)).toEqual([faulty.id, failed.id]);
    expect((await engine.jobs.list({ limit: 9, before: failed.id })).map(({ id }) => id)).toEqual([
      partial.id,
      good.id,
    ]);
    await expect(engine.jobs.get('nope')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' });
  });

  test('of one app never overlap, and the refusal names the job in the way', async () => {
    await using engine = await startEngine();
    const held = heldWork();
    const first = await engine.engine.start(snapshotOf('a'), held.work);
    await expect(engine.engine.start({ ...snapshotOf('a'), type: 'restore' }, held.work)).rejects.toMatchObject({
      code: 'APP_BUSY',
      message: expect.stringContaining(first.id),
      context: { jobId: first.id },
    });
    const other = await engine.engine.start(snapshotOf('b'), () => Promise.resolve(done));
    await ended(engine, other.id);
    held.release();
    await ended(engine, first.id);
    const again = await engine.engine.start(snapshotOf('a'), () => Promise.resolve(done));
    expect((await ended(engine, again.id)).state).toBe('succeeded');
  });

  test('run two at a time; the third waits in the queue', async () => {
    await using engine = await startEngine();
    const [one, two, three] = [heldWork(), heldWork(), heldWork()];
    const first = await engine.engine.start(snapshotOf('a'), one.work);
    await engine.engine.start(snapshotOf('b'), two.work);
    await Promise.all([one.started, two.started]);
    const third = await engine.engine.start(snapshotOf('c'), three.work);
    await wait(30);
    expect((await engine.jobs.get(third.id)).state).toBe('queued');
    one.release();
    await ended(engine, first.id);
    await three.started;
    expect((await engine.jobs.get(third.id)).state).toBe('running');
    two.release();
    three.release();
  });

  test('that are cancelled end as cancelled, running or queued', async () => {
    await using engine = await startEngine();
    const held = [heldWork(), heldWork(), heldWork()] as const;
    const jobs = [];
    for (const [index, { work }] of held.entries())
      jobs.push(await engine.engine.start(snapshotOf(`app${index}`), work));
    await Promise.all([held[0].started, held[1].started]);
    // The queued one first: a place that gets free would start it.
    for (const job of jobs.toReversed()) await engine.engine.cancel(job.id);
    for (const job of jobs) {
      expect(await ended(engine, job.id)).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } });
    }
    expect((await engine.jobs.get(jobs[2]?.id ?? '')).startedAt).toBeNull();
    await expect(engine.engine.cancel('nope')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' });
    expect((await engine.engine.cancel(jobs[0]?.id ?? '')).state).toBe('cancelled');
  });

  test('that are cancelled in the queue end at once, not when a place gets free', async () => {
    await using engine = await startEngine();
    const held = [heldWork(), heldWork(), heldWork()] as const;
    for (const index of [0, 1] as const) await engine.engine.start(snapshotOf(`app${index}`), held[index].work);
    await Promise.all([held[0].started, held[1].started]);
    const queued = await engine.engine.start(snapshotOf('app2'), held[2].work);
    await engine.engine.cancel(queued.id);
    expect((await ended(engine, queued.id)).state).toBe('cancelled');
    expect((await engine.jobs.active()).map(({ job }) => job.state)).toEqual(['running', 'running']);
  });

  test('whose end the database does not take end with a later heartbeat', { timeout: 20_000 }, async () => {
    await using engine = await startEngine();
    const readOnly = (value: 0 | 1) => sql.raw(`PRAGMA query_only = ${value}`).execute(engine.catalogue.queries);
    const job = await engine.engine.start(snapshotOf('a'), async () => {
      await readOnly(1);
      return { snapshotId: 'f'.repeat(64), problems: [] };
    });
    await wait(200);
    expect((await engine.jobs.get(job.id)).state).toBe('running');
    await readOnly(0);
    expect(await ended(engine, job.id)).toMatchObject({ state: 'succeeded', snapshotId: 'f'.repeat(64) });
  });

  test('with a result of a wrong shape have failed, and lists of jobs stay readable', async () => {
    await using engine = await startEngine();
    const job = await engine.engine.start(snapshotOf('a'), async ({ setResult }) => {
      setResult({ type: 'recovery', timeline: 0 } as JobResult);
      return done;
    });
    expect(await ended(engine, job.id)).toMatchObject({ state: 'failed', error: { code: 'INTERNAL' }, result: null });
    expect(await engine.jobs.list({ limit: 1 })).toHaveLength(1);
  });

  test('whose end can never be saved do not keep Varve from stopping', { timeout: 20_000 }, async () => {
    await using engine = await startEngine();
    const held = heldWork();
    const job = await engine.engine.start(snapshotOf('a'), held.work);
    await held.started;
    await sql`CREATE TRIGGER refuse BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END`.execute(
      engine.catalogue.queries,
    );
    await engine.engine.shutdown();
    expect((await engine.jobs.get(job.id)).finishedAt).toBeNull();
  });

  test('that answer a cancellation with a failure of their own are failed, so that it is seen', async () => {
    await using engine = await startEngine();
    const job = await engine.engine.start(snapshotOf('a'), async ({ signal }) => {
      await sleep(60_000, { signal }).catch(() => {});
      throw new AppError('RESTORE_FAILED', 'volume a is half restored');
    });
    while ((await engine.jobs.get(job.id)).state !== 'running') await wait(5);
    await engine.engine.cancel(job.id);
    expect(await ended(engine, job.id)).toMatchObject({ state: 'failed', error: { code: 'RESTORE_FAILED' } });
  });

  test('are cancelled and waited for when Varve stops, and none starts afterwards', async () => {
    await using engine = await startEngine();
    let cleanedUp = false;
    const job = await engine.engine.start(snapshotOf('a'), async ({ signal }) => {
      try {
        await sleep(60_000, { signal });
      } finally {
        await wait(50);
        cleanedUp = true;
      }
      return done;
    });
    while ((await engine.jobs.get(job.id)).state !== 'running') await wait(5);
    await engine.engine.shutdown();
    expect(cleanedUp).toBe(true);
    expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'cancelled', error: { code: 'JOB_INTERRUPTED' } });
    await expect(engine.engine.start(snapshotOf('b'), () => Promise.resolve(done))).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });

  test(
    'stop when another process asks, and abort when their row is no longer theirs',
    { timeout: 20_000 },
    async () => {
      await using engine = await startEngine();
      const [asked, lost] = [heldWork(), heldWork()];
      const first = await engine.engine.start(snapshotOf('a'), asked.work);
      const second = await engine.engine.start(snapshotOf('b'), lost.work);
      await Promise.all([asked.started, lost.started]);
      await engine.jobs.requestCancel(first.id);
      await engine.jobs.end(second.id, { state: 'failed', snapshotId: null, error: null, problems: [] });
      expect((await ended(engine, first.id)).state).toBe('cancelled');
      await engine.engine.shutdown();
      expect(await engine.jobs.get(second.id)).toMatchObject({ state: 'failed', error: null });
    },
  );

  test('keep the newest lines of their log only', async () => {
    await using engine = await startEngine();
    const job = await engine.jobs.add(snapshotOf('a'), engine.owner);
    const id = job?.id ?? '';
    for (let line = 1; line <= JobLog.maxLines + 150; line++) await engine.log.add(id, 'info', `line ${line}`);
    const lines = await engine.log.list(id);
    expect(lines.length).toBe(JobLog.maxLines);
    expect(lines.at(-1)?.message).toBe(`line ${JobLog.maxLines + 150}`);
    const { count } = await engine.catalogue.queries
      .selectFrom('job_log')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    expect(count).toBeLessThan(JobLog.maxLines + 100);
  });
});

describe('progress', () => {
  const at = (meter: ProgressMeter, nowMs: number, bytesDone: number, step = 'volume:a') =>
    meter.take({ step, filesDone: 1, bytesDone, bytesTotal: 10_000 }, nowMs);

  test('is passed on at most twice a second, and the last one is not lost', () => {
    const meter = new ProgressMeter();
    expect(at(meter, 0, 0)).toBeDefined();
    expect(at(meter, 499, 1)).toBeUndefined();
    expect(at(meter, 500, 2)).toBeDefined();
    expect(at(meter, 600, 3)).toBeUndefined();
    expect(meter.flush(700)).toMatchObject({ bytesDone: 3 });
    expect(meter.flush(700)).toBeUndefined();
  });

  test('has speed and time left from the last ten seconds, once a second has passed', () => {
    const meter = new ProgressMeter();
    expect(at(meter, 0, 0)).toMatchObject({ bytesPerSecond: null, secondsLeft: null });
    expect(at(meter, 500, 500)).toMatchObject({ bytesPerSecond: null });
    expect(at(meter, 1000, 1000)).toMatchObject({ bytesPerSecond: 1000, secondsLeft: 9 });
    // A pause of 100 s, then 100 bytes a second: the fast beginning no longer counts.
    for (let second = 101; second <= 115; second++) at(meter, second * 1000, 1000 + (second - 100) * 100);
    expect(at(meter, 116_000, 2600)).toMatchObject({ bytesPerSecond: 100, secondsLeft: 74 });
  });

  test('starts anew with each step and never says less than no time', () => {
    const meter = new ProgressMeter();
    at(meter, 0, 0);
    at(meter, 2000, 2000);
    expect(at(meter, 2001, 0, 'volume:b')).toMatchObject({ step: 'volume:b', bytesPerSecond: null });
    expect(at(meter, 4001, 20_000, 'volume:b')).toMatchObject({ secondsLeft: 0 });
    expect(at(meter, 5001, 20_000, 'volume:b')).toMatchObject({ bytesTotal: 10_000 });
    expect(meter.take({ step: 'c', filesDone: 0, bytesDone: 0 }, 6000)).toMatchObject({
      bytesTotal: null,
      filesTotal: null,
      secondsLeft: null,
      current: null,
    });
  });

  test('reaches the row of the job', async () => {
    await using engine = await startEngine();
    const job = await engine.engine.start(snapshotOf('a'), ({ report }) => {
      report({ step: 'commit', filesDone: 3, filesTotal: 4, bytesDone: 10, current: '/x' });
      report({ step: 'commit', filesDone: 4, filesTotal: 4, bytesDone: 12 });
      return Promise.resolve(done);
    });
    expect((await ended(engine, job.id)).progress).toMatchObject({ step: 'commit', filesDone: 4, bytesDone: 12 });
  });
});

describe('events', () => {
  test('tell every change of this process, the last state of each job included', async () => {
    await using engine = await startEngine();
    const feed = new ChangeFeed({ catalogue: engine.catalogue, jobs: engine.jobs, log: engine.log });
    const stop = new AbortController();
    const from = await feed.position();
    const job = await engine.engine.start(snapshotOf('a'), ({ log }) => {
      log('warning', 'careful');
      return Promise.resolve(done);
    });
    const seen: VarveEvent[] = [];
    for await (const event of feed.events({ signal: stop.signal, from })) {
      seen.push(event);
      const isEnd = event.type === 'job' && event.job.finishedAt !== null;
      if (isEnd) stop.abort();
    }
    expect(seen).toContainEqual({ type: 'app', appId: 'a' });
    expect(seen).toContainEqual({
      type: 'job-log',
      jobId: job.id,
      line: { time: expect.any(String), level: 'warning', message: 'careful' },
    });
    feed.close();
  });

  test('of another connection arrive within about a second, and the stream ends when told', async () => {
    await using engine = await startEngine();
    const feed = new ChangeFeed({ catalogue: engine.catalogue, jobs: engine.jobs, log: engine.log });
    const stop = new AbortController();
    const next = feed.events({ signal: stop.signal }).next();
    await wait(20);
    // Not through `write`, so that this process is not woken: as a write of another one.
    await engine.catalogue.queries.insertInto('changes').values({ kind: 'alerts', key: '' }).execute();
    expect(await next).toEqual({ done: false, value: { type: 'alerts' } });
    const events = feed.events({ signal: stop.signal });
    const end = events.next();
    stop.abort();
    expect((await end).done).toBe(true);
    const closing = feed.events({ signal: new AbortController().signal }).next();
    feed.close();
    expect((await closing).done).toBe(true);
  });
});

describe('owners of jobs', () => {
  test('are alive while their process runs, dead when it ended or the host booted again', async () => {
    await using engine = await startEngine();
    const me = engine.owner;
    expect(ownerState(me, me)).toBe('alive');
    expect(ownerState({ ...me, startedAt: '1' }, me)).toBe('dead');
    expect(ownerState({ ...me, boot: 'another', pid: 1 }, me)).toBe('dead');
    expect(ownerState({ ...me, pid: 2 ** 22 + 1, startedAt: '5' }, me)).toBe('dead');
    expect(ownerState({ ...me, namespace: 'pid:[1]' }, me)).toBe('unknown');
    expect(ownerState({ ...me, host: 'elsewhere' }, me)).toBe('unknown');
  });

  test('that cannot be looked at are dead when their lease has run out, not a moment sooner', async () => {
    const clock = new FakeClock('2026-01-01T00:00:00Z');
    await using engine = await startEngine({ clock });
    const job = await engine.jobs.add(snapshotOf('a'), { ...engine.owner, host: 'elsewhere' });
    clock.advance(leaseMs);
    expect(await endDeadJobs(recoveryOptions(engine))).toEqual([]);
    await engine.jobs.heartbeat([job?.id ?? '']);
    clock.advance(leaseMs);
    expect(await endDeadJobs(recoveryOptions(engine))).toEqual([]);
    clock.advance(1);
    expect(await endDeadJobs(recoveryOptions(engine))).toEqual([job?.id]);
    expect(await engine.jobs.get(job?.id ?? '')).toMatchObject({ state: 'failed', error: { code: 'JOB_INTERRUPTED' } });
  });
});

/** Starts a process that runs a job which has stopped the container `db` and then hangs. */
async function startHangingJob(engine: Engine, appId: string): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'processes', 'hang-in-job.ts');
  const child = spawn(process.execPath, [program, join(engine.path, 'catalogue.sqlite'), appId], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

describe('what dead processes left', () => {
  test('is repaired after SIGKILL: the job is interrupted and its containers start; the living are left alone', async () => {
    await using engine = await startEngine();
    const [dead, alive] = await Promise.all([startHangingJob(engine, 'a'), startHangingJob(engine, 'b')]);
    const restarted: string[] = [];
    try {
      expect(await recover(recoveryOptions(engine, restarted))).toEqual({
        interrupted: [],
        restarted: 0,
        problems: [],
      });
      dead.kill('SIGKILL');
      await once(dead, 'exit');
      const report = await recover(recoveryOptions(engine, restarted));
      expect(report.interrupted).toHaveLength(1);
      expect(restarted).toEqual(['db of a']);
      expect(await engine.jobs.get(report.interrupted[0] ?? '')).toMatchObject({
        appId: 'a',
        state: 'failed',
        error: { code: 'JOB_INTERRUPTED' },
      });
      expect((await engine.jobs.active()).map(({ job }) => job.appId)).toEqual(['b']);
      expect(await recover(recoveryOptions(engine, restarted))).toEqual({
        interrupted: [],
        restarted: 0,
        problems: [],
      });
    } finally {
      alive.kill('SIGKILL');
      await once(alive, 'exit');
    }
    await recover(recoveryOptions(engine, restarted));
    expect(restarted).toEqual(['db of a', 'db of b']);
  });

  test('stays in the journal until it runs again', async () => {
    await using engine = await startEngine();
    const child = await startHangingJob(engine, 'a');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const options = recoveryOptions(engine);
    const failing: RecoveryOptions = {
      ...options,
      restartStopped: (context, records: readonly StoppedRecord[]) => {
        context.log('error', 'no engine');
        return Promise.resolve(records.map(() => ({ path: 'db of a', message: 'no engine' })));
      },
    };
    const first = await recover(failing);
    expect(first).toMatchObject({ restarted: 0, problems: ['db of a: no engine'] });
    expect((await recover(failing)).problems).toHaveLength(1);
    const lines = await engine.log.list(first.interrupted[0] ?? '');
    expect(lines.at(-1)).toMatchObject({ level: 'error', message: expect.stringContaining('no engine') });
    expect(await recover(options)).toMatchObject({ restarted: 1, problems: [] });
  });

  test('is not touched while another living process repairs', async () => {
    await using engine = await startEngine();
    const child = await startHangingJob(engine, 'a');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const nowMs = engine.clock.now().getTime();
    const claim = (owner: object) =>
      engine.catalogue.queries
        .replaceInto('claims')
        .values({ name: 'recovery', owner_json: JSON.stringify(owner), until_ms: nowMs + 1000 })
        .execute();
    const restarted: string[] = [];
    await claim({ ...engine.owner, host: 'elsewhere' });
    await recover(recoveryOptions(engine, restarted));
    expect(restarted).toEqual([]);
    await claim({ ...engine.owner, startedAt: '1' });
    await recover(recoveryOptions(engine, restarted));
    expect(restarted).toEqual(['db of a']);
  });
});
