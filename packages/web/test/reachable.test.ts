// Moments that can be reached, as the page judges, snaps to and draws them; and times as they are typed.

import { describe, expect, test } from 'vitest';
import type { DatabaseTimeline } from '@varve/contract';
import {
  judge,
  landmarksOf,
  latestReachable,
  leftBehind,
  onLeftTimeline,
  nearestTo,
  snapTo,
  stretchOf,
  ticksOf,
  timeAt,
  xOf,
} from '../src/domain/reachable.ts';
import { captureSentence, reachSentence } from '../src/domain/reach-text.ts';
import { momentOf, typedText } from '../src/domain/typed-time.ts';
import { createFormat } from '../src/i18n/format.ts';
import { createTranslate } from '../src/i18n/translate.ts';
import { makeCaptures, makeTimeline } from './timeline-fixtures.ts';

const now = Date.parse('2026-11-23T12:00:00Z');
const hourMs = 3_600_000;
const ago = (hours: number): number => now - hours * hourMs;
const found = makeTimeline('ferreteria', { now, snapshots: [], from: 0 }).databases[0];
if (!found) throw new Error('no timeline');
const database: DatabaseTimeline = found;

describe('a moment', () => {
  test('is judged by where it lies, with the nearest that can be reached', () => {
    expect(judge(database, ago(3))).toEqual({ state: 'reachable', at: ago(3) });
    expect(judge(database, ago(17))).toMatchObject({
      state: 'gap',
      reason: 'slot-lost',
      before: ago(17.4),
      after: ago(15.2),
    });
    expect(judge(database, ago(15.5))).toMatchObject({ state: 'waiting' });
    expect(judge(database, ago(200))).toMatchObject({ state: 'before', before: null, after: ago(168) });
    expect(judge(database, now)).toMatchObject({ state: 'after', before: now - 4000, after: null });
    expect(judge({ ...database, ranges: [] }, now)).toMatchObject({ state: 'nothing' });
  });

  test('of an abandoned branch is not taken for one of the present history', () => {
    const only = { ...database, ranges: database.ranges.filter(({ branch }) => branch === 'abandoned') };
    expect(judge(only, ago(6))).toMatchObject({ state: 'nothing' });
    expect(latestReachable(only)).toBeNull();
  });

  test('of an abandoned branch is judged by that branch once it is looked at on its own', () => {
    expect(leftBehind(database)).toEqual([{ timeline: 1, from: ago(6.5), to: ago(5) }]);
    const left = onLeftTimeline(database, 1);
    expect(judge(left, ago(6)).state).toBe('reachable');
    expect(judge(left, ago(3))).toMatchObject({ state: 'after', before: ago(5), after: null });
    expect(latestReachable(left)).toBe(ago(5));
    expect(landmarksOf(left, [])).toEqual([]);
    // The same number in an earlier cluster is another branch.
    expect(leftBehind({ ...database, systemId: '1' })).toEqual([]);
  });

  test('snaps to a landmark close by, else to what can be reached', () => {
    const landmarks = landmarksOf(database, []);
    const within = 5 * 60_000;
    expect(snapTo(database, { at: ago(11) + 200_000, landmarks, within })).toBe(ago(11));
    expect(snapTo(database, { at: ago(12), landmarks, within })).toBe(ago(12));
    expect(snapTo(database, { at: ago(17.2), landmarks, within })).toBe(ago(17.4));
    expect(snapTo(database, { at: ago(15.4), landmarks, within })).toBe(ago(15.2));
    expect(nearestTo({ ...database, ranges: [] }, now)).toBeNull();
  });
});

test('the strip maps time to pixels and back, and loses nothing that is short', () => {
  const scale = { from: ago(24), to: now, width: 960 };
  expect(xOf(scale, ago(12))).toBe(480);
  expect(timeAt(scale, 480)).toBe(ago(12));
  expect(timeAt(scale, 5000)).toBe(now);
  expect(stretchOf(scale, { from: ago(50), to: ago(12) })).toEqual({ x: 0, width: 480 });
  expect(stretchOf(scale, { from: ago(50), to: ago(30) })).toBeUndefined();
  expect(stretchOf(scale, { from: now - 100, to: now }, 5)).toEqual({ x: 955, width: 5 });
  const ticks = ticksOf(scale, 64);
  // Both ends may be round times.
  expect([12, 13]).toContain(ticks.length);
  expect(ticks.filter(({ isDay }) => isDay)).toHaveLength(1);
});

describe('a typed time', () => {
  test('is read in its zone and written back', () => {
    expect(momentOf('2026-11-23T14:05:06', 'Europe/Madrid')).toBe(Date.parse('2026-11-23T13:05:06Z'));
    expect(momentOf('2026-07-23T14:05', 'Europe/Madrid')).toBe(Date.parse('2026-07-23T12:05:00Z'));
    expect(typedText(Date.parse('2026-11-23T13:05:06.789Z'), 'Europe/Madrid')).toBe('2026-11-23T14:05:06');
    expect(momentOf('', 'UTC')).toBeUndefined();
    expect(momentOf('2026-13-45T00:00:00', 'UTC')).toBeUndefined();
  });

  test('that the clock shows twice is the first one, and one that it leaves out is none', () => {
    expect(momentOf('2026-10-25T02:30:00', 'Europe/Madrid')).toBe(Date.parse('2026-10-25T00:30:00Z'));
    expect(momentOf('2026-03-29T02:30:00', 'Europe/Madrid')).toBeUndefined();
    expect(momentOf('2026-03-29T03:00:00', 'Europe/Madrid')).toBe(Date.parse('2026-03-29T01:00:00Z'));
  });
});

describe('sentences', () => {
  const t = createTranslate('en', 'en-GB');
  const wording = { t, format: createFormat({ locale: 'en-GB', timeZone: 'UTC', t }), language: 'en', now } as const;

  test('say what can be reached, and what is missing', () => {
    expect(reachSentence(database, wording)).toMatchObject({
      light: 'ok',
      text: 'From 16 Nov 2026, 12:00 to 23 Nov 2026, 11:59:56, with 1 gap',
    });
    const gaps = database.gaps.map((gap) => Object.assign({}, gap, { healedAt: null }));
    expect(reachSentence({ ...database, gaps }, wording).light).toBe('bad');
    expect(reachSentence({ ...database, ranges: [] }, wording).light).toBe('warning');
  });

  test('say how the capture stands, as of the last news', () => {
    const [capture] = makeCaptures('ferreteria', now);
    if (!capture) throw new Error('no capture');
    const plain = (text: string): string => text.replaceAll('\u00a0', ' ');
    expect(plain(captureSentence(capture, { ...wording, now: now + 60_000 }).text)).toBe(
      'the repository is 3 s behind · slot varve_3f8a_db keeps 16 MiB on the server, 7.9 GiB more before it is in danger',
    );
    expect(captureSentence({ ...capture, completeAt: capture.updatedAt }, wording).text).toContain('has everything');
    const [stopped] = makeCaptures('wiki', now);
    expect(stopped && captureSentence(stopped, wording)).toMatchObject({
      light: 'bad',
      text: expect.stringContaining('refused the password') as string,
    });
    expect(captureSentence({ ...capture, state: 'off' }, wording).light).toBe('warning');
    const unlimited = { ...capture.slotFacts, safeBytes: null, keepLimitBytes: null };
    const withoutLimit = { ...capture, slotFacts: unlimited } as typeof capture;
    expect(captureSentence(withoutLimit, wording).text).toContain('without a limit');
    const server = {
      checkedAt: capture.updatedAt,
      mode: 'on',
      hasCommand: true,
      timeoutSeconds: 60,
      lastArchivedAt: null,
      lastFailedAt: null,
      isFailing: false,
    } as const;
    const archive = {
      directory: '/wal-archive',
      readFrom: null,
      waitingFiles: 0,
      waitingBytes: 0,
      freeBytes: null,
      totalBytes: null,
      server,
    };
    const archived = { ...capture, way: 'archive', slot: null, slotFacts: null, archive } as typeof capture;
    expect(plain(captureSentence(archived, wording).text)).toBe(
      'the repository is 3 s behind · by archive_command through /wal-archive, at most about 1 min late',
    );
    const quiet = { ...archived, archive: { ...archive, server: { ...server, timeoutSeconds: 0 } } };
    expect(captureSentence(quiet, wording).text).toContain('archive_timeout is 0');
    const problem = { code: 'DATABASE_UNREACHABLE', message: 'Nobody answers.', hint: null };
    expect(captureSentence({ ...archived, problem }, wording)).toMatchObject({
      light: 'warning',
      text: expect.stringContaining('Nobody answers') as string,
    });
  });
});
