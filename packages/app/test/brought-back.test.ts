// Which jobs explain that a database has another history, and which do not.

import type { Job, JobResult } from '@varve/contract';
import { describe, expect, test } from 'vitest';
import type { RecoveryRecord } from '../src/recovery/recovery-records.ts';
import { broughtBackAt } from '../src/wal-capture/brought-back.ts';

const owner = { appId: 'shop', component: 'db', since: '2026-11-25T10:00:00.000Z' };
const end = '2026-11-25T10:05:00.000Z';

const job = (changes: Partial<Job>): Job => ({
  id: 'j1',
  type: 'recovery',
  appId: 'shop',
  requestedBy: 'test',
  state: 'succeeded',
  createdAt: '2026-11-25T09:59:00.000Z',
  startedAt: '2026-11-25T09:59:01.000Z',
  finishedAt: end,
  progress: null,
  snapshotId: null,
  error: null,
  problems: [],
  result: null,
  ...changes,
});

const result = (changes: Partial<Extract<JobResult, { type: 'recovery' }>> = {}): JobResult => ({
  type: 'recovery',
  component: 'db',
  timeline: 2,
  lsn: '0/3000000',
  lastCommitAt: null,
  segments: 1,
  seconds: 1,
  sandbox: null,
  folder: null,
  ...changes,
});

const record = (changes: Partial<RecoveryRecord>): RecoveryRecord => ({
  id: '3f8a1c0d',
  runId: 'j1',
  purpose: 'work',
  appId: 'shop',
  component: 'db',
  createdAt: end,
  isMade: false,
  isPaused: false,
  serverVersion: '17.2',
  stoppedAt: null,
  connection: null,
  users: [],
  owner: null,
  place: { type: 'host', folder: '/srv/new', binDirectory: '/usr/bin', port: null },
  ...changes,
});

const ask = (jobs: readonly Job[], records: readonly RecoveryRecord[] = []) =>
  broughtBackAt({ jobs: { list: async () => [...jobs] }, recoveries: { list: async () => [...records] } }, owner);

describe('another history', () => {
  test('is explained by a recovery in place, and by a restore, that ended after the old one was seen last', async () => {
    expect(await ask([job({ result: result() })])).toBe(end);
    expect(await ask([job({ type: 'restore', state: 'partial' })])).toBe(end);
    expect(await ask([job({ finishedAt: '2026-11-25T09:59:59.999Z', result: result() })])).toBeUndefined();
  });

  test('is not explained by what left the database alone', async () => {
    expect(await ask([job({ result: result({ folder: '/srv/copy' }) })])).toBeUndefined();
    expect(await ask([job({ result: result({ component: 'other' }) })])).toBeUndefined();
    expect(await ask([job({ state: 'failed' })])).toBeUndefined();
    expect(await ask([job({ type: 'snapshot' })])).toBeUndefined();
    expect(await ask([job({ type: 'restore', startedAt: null })])).toBeUndefined();
    expect(await ask([])).toBeUndefined();
  });

  test('is explained by a recovery that still runs when it works in place of this database', async () => {
    const running = job({ state: 'running', finishedAt: null });
    expect(await ask([running], [record({})])).toBe(running.startedAt);
    expect(await ask([running], [record({ purpose: 'sandbox' })])).toBeUndefined();
    expect(await ask([running], [record({ component: 'other' })])).toBeUndefined();
  });
});
