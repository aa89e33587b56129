// How captures are shown.

import type { WalCapture, WalSettings } from '@varve/contract';
import { expect, test } from 'vitest';
import { installationOfSlot } from '../src/output/wal-events.ts';
import { archiveFromOptions } from '../src/options/archive-options.ts';
import { walCaptureLines } from '../src/output/wal-captures.ts';
import { leftFolderLines, walSettingsLines } from '../src/output/wal-settings.ts';

const now = new Date('2026-11-25T12:00:00Z');

const capture: WalCapture = {
  appId: 'shop',
  component: 'db',
  way: 'stream',
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
  archive: null,
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

test('log that comes through a folder tells the folder, the promised lag and a disk that fills up', () => {
  const server = {
    checkedAt: '2026-11-25T11:59:00Z',
    mode: 'on' as const,
    hasCommand: true,
    timeoutSeconds: 60,
    lastArchivedAt: '2026-11-25T11:58:00Z',
    lastFailedAt: null,
    isFailing: false,
  };
  const archive = {
    directory: '/wal-archive',
    readFrom: '/srv/wal',
    waitingFiles: 2,
    waitingBytes: 32 * 1024 * 1024,
    freeBytes: 1e9,
    totalBytes: 1e11,
    server,
  };
  const archived: WalCapture = { ...capture, way: 'archive', slot: null, slotFacts: null, archive };
  const lines = walCaptureLines([archived], now);
  expect(lines[1]).toMatch(/^shop\/db +streaming \(archive\) .* 32\.0+ MiB$/);
  expect(lines.slice(2)).toEqual([
    'shop/db: log comes by archive_command through /wal-archive, here /srv/wal; at most about 60 s behind (archive_timeout)',
    expect.stringMatching(/^shop\/db: only 9\d\d\.?\d* MiB are free there: when it is full/),
  ]);
  const without = { ...archive, readFrom: null, freeBytes: null, server: { ...server, timeoutSeconds: 0 } };
  expect(walCaptureLines([{ ...archived, archive: without }], now).slice(2)).toEqual([
    'shop/db: log comes by archive_command through /wal-archive; archive_timeout is 0: log of a quiet database leaves the server only when a segment is full',
  ]);
});

test('the settings of a server are lines to copy, then what is missing', () => {
  const settings: WalSettings = {
    component: 'db',
    directory: '/wal-archive',
    lines: ['archive_mode = on', 'archive_timeout = 60'],
    needsRestart: true,
    obstacles: [{ severity: 'blocks', message: 'archive_mode is off', hint: 'Turn it on.' }],
  };
  const lines = walSettingsLines('shop', settings);
  expect(lines).toContain('  archive_mode = on');
  expect(lines.join('\n')).toContain('restart the server');
  expect(lines.at(-1)).toBe('missing: archive_mode is off. Turn it on.');
  const ready = walSettingsLines('shop', { ...settings, needsRestart: false, obstacles: [] });
  expect(ready.join('\n')).toContain('no restart is needed');
  expect(ready.at(-1)).toBe('The server has all of this.');
  expect(leftFolderLines([])).toEqual([]);
  expect(leftFolderLines(['/wal-archive'])[0]).toMatch(/still copies log into \/wal-archive.*archive_mode = off/);
});

test('a folder to read from needs the one that the server sees', async () => {
  await expect(archiveFromOptions({ archiveReadFrom: '/srv/wal' })).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  await expect(archiveFromOptions({ archiveDirectory: '/with "quotes"' })).rejects.toMatchObject({
    code: 'USAGE_INVALID',
    message: expect.stringContaining('archive_command'),
  });
  expect(await archiveFromOptions({})).toBeUndefined();
  expect(await archiveFromOptions({ archiveDirectory: '/wal' })).toEqual({ directory: '/wal' });
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
