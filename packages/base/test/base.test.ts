import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AppError,
  Limiter,
  Secret,
  errorCodes,
  formatBytes,
  formatDuration,
  isAppError,
  mapConcurrently,
  redact,
  retry,
  sleep,
  systemErrorCode,
  throwIfAborted,
} from '../src/index.ts';

describe('an AppError', () => {
  test('without a hint of its own has the general one of its code', () => {
    expect(new AppError('REPOSITORY_DAMAGED', 'x').hint).toContain('check --read-data');
    expect(new AppError('REPOSITORY_DAMAGED', 'x', { hint: 'Do this.' }).hint).toBe('Do this.');
    expect(new AppError('USAGE_INVALID', 'x').hint).toBeUndefined();
  });

  test('carries the exit code and HTTP status of its code', () => {
    const error = new AppError('REPOSITORY_LOCKED', 'locked', { hint: 'wait', retry: true });
    expect([error.exitCode, error.httpStatus, error.hint, error.retry]).toEqual([11, 423, 'wait', true]);
    expect(isAppError(error, 'REPOSITORY_LOCKED')).toBe(true);
    expect(isAppError(error, 'INTERNAL')).toBe(false);
  });

  test('has a code of the form AREA_REASON, an exit code from 1 to 130 and an HTTP error status', () => {
    for (const [code, { exit, http }] of Object.entries(errorCodes)) {
      expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(exit).toBeGreaterThanOrEqual(1);
      expect(exit).toBeLessThanOrEqual(130);
      expect(http).toBeGreaterThanOrEqual(400);
      expect(http).toBeLessThan(600);
    }
  });
});

describe('a Secret', () => {
  test('never turns into its text by itself', () => {
    const secret = new Secret('hunter2-hunter2');
    const printed = [
      String(secret),
      JSON.stringify({ secret }),
      inspect({ secret }, { showHidden: true, depth: 5 }),
      String(new Error(`with ${String(secret)}`)),
    ].join(' ');
    expect(printed).not.toContain('hunter2');
    expect(secret.reveal()).toBe('hunter2-hunter2');
  });

  test('is removed from texts, as are passwords in URLs', () => {
    const text = redact('postgres://odoo:s3cret@db:5432/shop failed with hunter2', [new Secret('hunter2')]);
    expect(text).toBe('postgres://odoo:[redacted]@db:5432/shop failed with [redacted]');
  });
});

describe('cancellation', () => {
  test('ends a wait at once and leaves no timer', async () => {
    const controller = new AbortController();
    const waiting = sleep(60_000, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(() => throwIfAborted(controller.signal)).toThrow(AppError);
  });

  test('keeps the reason when that is an AppError', async () => {
    const reason = new AppError('REPOSITORY_LOCK_LOST', 'lost');
    await expect(sleep(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('bounded concurrency', () => {
  test('never runs more tasks than the limit and keeps the order of results', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        async (delays, limit) => {
          let running = 0;
          let most = 0;
          const results = await mapConcurrently(delays, limit, async (delay, index) => {
            most = Math.max(most, ++running);
            await sleep(delay);
            running--;
            return index;
          });
          expect(results).toEqual(delays.map((_, index) => index));
          expect(most).toBeLessThanOrEqual(limit);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('starts nothing new after a failure and waits for what runs', async () => {
    const started: number[] = [];
    let finished = 0;
    const run = mapConcurrently([0, 1, 2, 3, 4, 5], 2, async (item) => {
      started.push(item);
      await sleep(5);
      finished++;
      if (item === 1) throw new Error('second');
    });
    await expect(run).rejects.toThrow('second');
    expect(started.length).toBeLessThan(6);
    expect(finished).toBe(started.length);
  });

  test('a Limiter hands its places on, also after failures', async () => {
    const limiter = new Limiter(2);
    let running = 0;
    let most = 0;
    const runs = Array.from({ length: 9 }, (_, index) =>
      limiter.run(async () => {
        most = Math.max(most, ++running);
        await sleep(1);
        running--;
        if (index % 3 === 0) throw new Error('every third');
      }),
    );
    const outcomes = await Promise.allSettled(runs);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(3);
    expect(most).toBe(2);
  });
});

describe('retry', () => {
  const options = { attempts: 4, firstDelayMs: 1, maxDelayMs: 4, random: () => 0 };

  test('tries again only what may succeed later', async () => {
    let calls = 0;
    const result = await retry(options, async () => {
      if (++calls < 3) throw new AppError('STORAGE_UNREACHABLE', 'away', { retry: true });
      return 'there';
    });
    expect([result, calls]).toEqual(['there', 3]);
    calls = 0;
    const refused = retry(options, async () => {
      calls++;
      throw new AppError('STORAGE_DENIED', 'no');
    });
    await expect(refused).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    expect(calls).toBe(1);
  });

  test('pauses as long as an error asks for, within bounds', async () => {
    const pauses: number[] = [];
    for (const retryAfterMs of [undefined, 20, 5000]) {
      const onRetry = (_: unknown, __: number, delayMs: number): void => void pauses.push(delayMs);
      let calls = 0;
      await retry({ ...options, maxRetryAfterMs: 30, onRetry }, async () => {
        if (++calls < 2) throw new AppError('STORAGE_UNREACHABLE', 'slow down', { retry: true, retryAfterMs });
      });
    }
    expect(pauses).toEqual([1, 21, 31]);
  });

  test('gives up after the last attempt with the last error', async () => {
    let calls = 0;
    const failing = retry(options, async () => {
      throw new AppError('STORAGE_UNREACHABLE', `try ${++calls}`, { retry: true });
    });
    await expect(failing).rejects.toThrow('try 4');
  });
});

describe('units', () => {
  test('are written for people', () => {
    expect([0, 1023, 1024, 1536, 150 * 1024, 5 * 1024 ** 3].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '150 KiB',
      '5.0 GiB',
    ]);
    expect([80, 1500, 42_000, 65_000, 3_725_000, 200_000_000].map(formatDuration)).toEqual([
      '80 ms',
      '1.5 s',
      '42 s',
      '1 min 5 s',
      '1 h 2 min',
      '2 d 7 h',
    ]);
  });

  test('a system error gives its code, anything else none', () => {
    expect(systemErrorCode(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
    expect(systemErrorCode(new Error('x'))).toBeUndefined();
    expect(systemErrorCode('x')).toBeUndefined();
  });
});
