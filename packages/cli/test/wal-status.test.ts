// How captures are shown.

import type { WalCapture } from '@varve/contract';
import { expect, test } from 'vitest';
import { installationOfSlot } from '../src/output/wal-events.ts';
import { walCaptureLines } from '../src/output/wal-captures.ts';

const now = new Date('2026-11-25T12:00:00Z');

const capture: WalCapture = {
  appId: 'shop',
  component: 'db',
  slot: 'varve_x',
  state: 'streaming',
  since: '2026-11-25T11:00:00Z',
  problem: null,
  commitProblem: null,
  systemId: '7',
  timeline: 1,
  serverLsn: '0/3000000',
  capturedLsn: '0/2FFFFF0',
  committedLsn: '0/2F00000',
  completeAt: '2026-11-25T11:57:00Z',
  lastCommitAt: '2026-11-25T11:57:00Z',
  spoolBytes: 1024,
  spoolLimitBytes: 1e9,
  slotFacts: {
    checkedAt: '2026-11-25T11:59:00Z',
    retainedBytes: 16 * 1024 * 1024,
    status: 'reserved',
    safeBytes: 1e9,
    keepLimitBytes: 2e9,
  },
  gap: null,
  hasBaseBackup: true,
  updatedAt: '2026-11-25T11:59:59Z',
};

test('a healthy capture is one line of a table', () => {
  const lines = walCaptureLines([capture], now);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(
    /^shop\/db +streaming +3 minutes ago +0\/2F00000 +0\/2FFFFF0 +0\/3000000 +1\.0+ KiB +16\.0+ MiB$/,
  );
});

test('what is wrong, and what could become so, stands below it', () => {
  const slotFacts = capture.slotFacts && { ...capture.slotFacts, keepLimitBytes: null, status: 'lost' as const };
  const problem = { code: 'DATABASE_AUTH_FAILED', message: 'The password is wrong.', hint: 'Change it.' };
  const gap = { reason: 'slot-lost' as const, detectedAt: '2026-11-25T11:00:00Z', message: 'Log was removed.' };
  const lines = walCaptureLines([{ ...capture, state: 'stopped', problem, gap, hasBaseBackup: false, slotFacts }], now);
  expect(lines.slice(2).map((line) => line.replace(/^shop\/db: /, ''))).toEqual([
    'The password is wrong. Change it.',
    expect.stringMatching(/^gap found 1 hour ago .*: Log was removed\.$/),
    'there is no base backup in what was captured: nothing of it can be recovered yet',
    'max_slot_wal_keep_size is unlimited: while nothing is captured, log fills the disk of the server',
    'the slot is lost: the server removes log that is not captured yet',
  ]);
  expect(walCaptureLines([{ ...capture, state: 'off' }], now).at(-1)).toContain('start varve server');
  expect(walCaptureLines([], now)).toEqual(['No database is captured. Turn it on: varve wal on APP']);
});

test('slots of installations of Varve are told from others', () => {
  expect(installationOfSlot('varve_0f0e0d0c_shop_db_12345678')).toBe('0f0e0d0c');
  expect(installationOfSlot('varve')).toBeUndefined();
  expect(installationOfSlot('standby_1')).toBeUndefined();
});
