// `varve restore` to a point in time, `varve sandbox`, `varve verify`: what is refused before anything is looked at, and one
// whole way with a real server.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openVarve } from '@varve/app';
import { newAppSchema, newSnapshotSchema, type Job, type RecoveryPlan, type Sandbox } from '@varve/contract';
import { findPostgresBinaries, startPostgres } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { momentOption } from '../src/options/recovery-options.ts';
import { runInProcess } from './run-in-process.ts';

const binDir = (await findPostgresBinaries())[0]?.binDir ?? '';
let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'varve-cli-recovery-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...argv: string[]) =>
  runInProcess(argv, {
    cwd: folder,
    env: { ...process.env, VARVE_DATA: join(folder, 'data'), DOCKER_HOST: 'unix:///no.sock' },
  });

describe('a moment', () => {
  test('is taken with its zone, to the microsecond', () => {
    expect(momentOption('2026-11-25 14:30:05.123456+01:00')).toBe('2026-11-25T14:30:05.123456+01:00');
    expect(momentOption('2026-11-25T14:30Z')).toBe('2026-11-25T14:30:00Z');
    expect(momentOption('2026-11-25 14:30:05 UTC')).toBe('2026-11-25T14:30:05Z');
    expect(momentOption('2026-11-25 14:30:05-0330')).toBe('2026-11-25T14:30:05-03:30');
    expect(momentOption('2026-11-25 14:30:05+05')).toBe('2026-11-25T14:30:05+05:00');
  });

  test('without a zone, or that does not exist, is refused', () => {
    expect(() => momentOption('2026-11-25 14:30:05')).toThrow(/zone/);
    expect(() => momentOption('2026-11-25 14:30:05 CET')).toThrow(/must be a time/);
    expect(() => momentOption('2026-13-25 14:30:05Z')).toThrow(/no such time/);
  });
});

describe('wishes that contradict each other', () => {
  test.each([
    [['restore', 'shop', '--latest', '--to-name', 'x', '--dry-run'], /Several points/],
    [['restore', 'shop', '--latest', '--component', 'db', '--dry-run'], /one database/],
    [['restore', 'shop', '--latest', '--snapshot', 'abc', '--dry-run'], /snapshot and a point/],
    [['restore', 'shop', '--latest', '--pause', '--dry-run'], /sandbox/],
    [['restore', 'shop', '--latest', '--sandbox', '--target', '/x'], /folder of its own/],
    [['restore', 'shop', '--latest'], /--yes/],
    [['restore', 'shop', '--to', 'yesterday'], /must be a time/],
    [['restore', 'shop', '--to-lsn', 'nonsense', '--sandbox'], /position in the log/],
  ])('%j is refused', async (argv, message) => {
    const { exitCode, stderr } = await run(...argv);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(message) });
  });
});

describe.skipIf(binDir === '')('a database', () => {
  test('is planned, recovered beside itself, proven, and the sandbox removed', { timeout: 180_000 }, async () => {
    await using server = await startPostgres({ binDir });
    {
      await using varve = await openVarve({ dataDirectory: join(folder, 'data'), dockerHost: 'unix:///no.sock' });
      const database = { url: server.url, method: 'base', dataDirectory: server.dataDir, binDirectory: server.binDir };
      await varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', databases: [database] }));
      const job = await varve.startSnapshot('shop', newSnapshotSchema.parse({ kind: 'manual' }), 'test');
      expect((await varve.waitForJob(job.id)).error).toBeNull();
    }
    const shown = await run('restore', 'shop', '--latest', '--dry-run');
    expect(shown).toMatchObject({ exitCode: 0, stderr: '' });
    expect(shown.stdout.toString()).toMatch(/Recover the database db of shop.*Replay the log.*warning: Everything/s);
    const plan = JSON.parse(
      (await run('restore', 'shop', '--latest', '--dry-run', '--json')).stdout.toString(),
    ) as RecoveryPlan;
    expect(plan.wal.timelines).toEqual([1]);
    const late = await run('restore', 'shop', '--to', '2199-01-01T00:00:00Z', '--sandbox');
    expect(late).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('RECOVERY_UNREACHABLE') });

    const made = JSON.parse((await run('restore', 'shop', '--latest', '--sandbox', '--json')).stdout.toString()) as Job;
    expect(made).toMatchObject({ state: 'succeeded', result: { type: 'recovery', sandbox: { state: 'running' } } });
    const listed = JSON.parse((await run('sandbox', 'list', '--json')).stdout.toString()) as Sandbox[];
    expect(listed).toHaveLength(1);
    const removed = await run('sandbox', 'remove', listed[0]?.id ?? '', '--yes');
    expect(removed.exitCode).toBe(0);
    expect((await run('sandbox', 'list')).stdout.toString()).toBe('No sandboxes.\n');
    expect((await run('sandbox', 'remove', 'abcd1234', '--yes')).exitCode).toBe(4);

    const proof = await run('verify', 'shop', '--check', 'select true');
    expect(proof.stdout.toString()).toMatch(/query .*passed.*can be recovered/s);
    const failed = await run('verify', 'shop', '--no-indexes', '--check', 'select false');
    expect(failed).toMatchObject({ exitCode: 8, stderr: expect.stringContaining('VERIFY_FAILED') });
  });
});
