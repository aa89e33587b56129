// Alerts about captured log: each opens for its reason, and closes when that is gone.

import type { WalCapture } from '@varve/contract';
import { expect, test } from 'vitest';
import { messageOfAlert } from '../src/alerts/alert-texts.ts';
import { walAlerts } from '../src/alerts/wal-alerts.ts';
import { slotNameOf, slotPrefix } from '../src/wal-capture/slot-name.ts';
import { exampleApp } from './engine-fixture.ts';

const now = new Date('2026-11-25T12:00:00Z');
const minutesAgo = (minutes: number): string => new Date(now.getTime() - minutes * 60_000).toISOString();
const gibibyte = 1024 ** 3;

function capture(change: Partial<WalCapture> = {}): WalCapture {
  return {
    appId: 'shop',
    component: 'db',
    way: 'stream',
    slot: 'varve_x',
    state: 'streaming',
    since: minutesAgo(600),
    problem: null,
    commitProblem: null,
    systemId: '7',
    timeline: 1,
    serverLsn: '0/3000000',
    capturedLsn: '0/3000000',
    committedLsn: '0/3000000',
    completeAt: minutesAgo(1),
    lastCommitAt: minutesAgo(1),
    spoolBytes: 0,
    spoolLimitBytes: 0,
    slotFacts: null,
    archive: null,
    gap: null,
    hasBaseBackup: true,
    updatedAt: minutesAgo(0),
    ...change,
  };
}

const slotFacts = (change: Partial<NonNullable<WalCapture['slotFacts']>>): NonNullable<WalCapture['slotFacts']> => ({
  checkedAt: minutesAgo(0),
  retainedBytes: 1000,
  status: 'reserved',
  safeBytes: null,
  keepLimitBytes: null,
  ...change,
});
const archive = (change: Partial<NonNullable<WalCapture['archive']>> = {}): NonNullable<WalCapture['archive']> => ({
  directory: '/wal-archive',
  readFrom: '/srv/wal-archive',
  waitingFiles: 0,
  waitingBytes: 0,
  freeBytes: 50 * gibibyte,
  totalBytes: 100 * gibibyte,
  server: {
    checkedAt: minutesAgo(0),
    mode: 'on',
    hasCommand: true,
    timeoutSeconds: 1800,
    lastArchivedAt: minutesAgo(1),
    lastFailedAt: null,
    isFailing: false,
  },
  ...change,
});
const gap: WalCapture['gap'] = { reason: 'wal-removed', detectedAt: minutesAgo(30), message: 'It was removed.' };
const problem = { code: 'DATABASE_AUTH_FAILED', message: 'Wrong password.', hint: null };
const codes = (change: Partial<WalCapture>): string[] =>
  walAlerts(exampleApp('shop'), [capture(change)], now).map(({ code }) => code);

test.each<[string, Partial<WalCapture>, string[]]>([
  ['nothing is wrong', {}, []],
  ['it stopped a moment ago', { state: 'stopped', since: minutesAgo(0.5), problem }, []],
  ['it is stopped', { state: 'stopped', since: minutesAgo(2), problem, completeAt: minutesAgo(60) }, ['wal-stopped']],
  ['archive_timeout allows more', { archive: archive(), completeAt: minutesAgo(40) }, []],
  ['it is later than archive_timeout allows', { archive: archive(), completeAt: minutesAgo(46) }, ['wal-lag']],
  ['the archive folder is nearly full', { archive: archive({ freeBytes: gibibyte }) }, ['wal-slot']],
  ['the server restarts', { state: 'reconnecting', since: minutesAgo(4) }, []],
  ['the server is away', { state: 'reconnecting', since: minutesAgo(6) }, ['wal-stopped']],
  ['the spool is full', { state: 'blocked', since: minutesAgo(2) }, ['wal-stopped']],
  ['Varve was restarted', { state: 'off', since: minutesAgo(9) }, []],
  ['no Varve runs', { state: 'off', since: minutesAgo(11) }, ['wal-stopped']],
  ['the repository is behind', { completeAt: minutesAgo(14) }, []],
  ['the repository is far behind', { completeAt: minutesAgo(16) }, ['wal-lag']],
  ['it was never complete', { completeAt: null, since: minutesAgo(16) }, ['wal-lag']],
  ['a gap has a base backup behind it', { gap }, []],
  ['nobody has looked for one yet', { gap, hasBaseBackup: null }, []],
  ['a gap has none', { gap, hasBaseBackup: false }, ['wal-gap']],
  ['the slot keeps little', { slotFacts: slotFacts({ retainedBytes: 5 * gibibyte }) }, []],
  ['the slot keeps much', { slotFacts: slotFacts({ retainedBytes: 5 * gibibyte + 1 }) }, ['wal-slot']],
  [
    'the slot is far from its limit',
    { slotFacts: slotFacts({ keepLimitBytes: gibibyte, safeBytes: gibibyte / 2 }) },
    [],
  ],
  [
    'the slot is close to its limit',
    { slotFacts: slotFacts({ keepLimitBytes: gibibyte, safeBytes: 1000 }) },
    ['wal-slot'],
  ],
  ['the slot is past its limit', { slotFacts: slotFacts({ status: 'unreserved' }) }, ['wal-slot']],
  ['the slot was lost', { slotFacts: slotFacts({ status: 'lost' }) }, ['wal-slot']],
])('when %s', (_, change, expected) => {
  expect(codes(change)).toEqual(expected);
});

test('the text names app, database and reason, and does not change with time alone', () => {
  const [first] = walAlerts(exampleApp('shop'), [capture({ state: 'stopped', since: minutesAgo(2), problem })], now);
  if (!first) throw new Error('no alert');
  expect(messageOfAlert(first)).toBe('The log of the database db of App shop is not captured: Wrong password.');
  const later = new Date(now.getTime() + 60_000);
  const again = walAlerts(exampleApp('shop'), [capture({ state: 'stopped', since: minutesAgo(2), problem })], later);
  expect(again).toEqual([first]);
});

test('names of slots fit, and differ where names of components had to be cut', () => {
  const installation = '0f0e0d0c-0b0a-4908-8706-050403020100';
  const long = 'a-component.with_a-very-long-name'.repeat(3);
  const names = [
    slotNameOf(installation, { appId: 'shop', component: 'db' }),
    slotNameOf(installation, { appId: 'shop', component: 'DB' }),
    slotNameOf(installation, { appId: 'shop-db', component: 'x' }),
    slotNameOf(installation, { appId: 'shop', component: 'db-x' }),
    slotNameOf(installation, { appId: 'shop', component: `${long}1` }),
    slotNameOf(installation, { appId: 'shop', component: `${long}2` }),
  ];
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^varve_0f0e0d0c_[a-z0-9_]+$/);
  for (const name of names) expect(name.length).toBeLessThanOrEqual(63);
  expect(slotPrefix(installation)).toBe('varve_0f0e0d0c_');
});
