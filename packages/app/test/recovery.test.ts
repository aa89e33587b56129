// Recovery to a point in time with real servers: the ledger of acknowledged commits is the oracle. VARVE_TEST_TARGETS sets how
// many random targets each major version gets (2 unless set).

import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RecoveryRequestInput, RecoveryTarget } from '@varve/contract';
import { formatUnixMicros } from '@varve/postgres';
import { findOutermostMajors } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { planRecovery } from '../src/recovery/plan-recovery.ts';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { runRecovery, type RecoveredDatabase } from '../src/recovery/run-recovery.ts';
import { promoteSandbox, removeSandbox } from '../src/recovery/sandboxes.ts';
import { inSandbox, recoveryLab, request, type RecoveryLab } from './recovery-lab.ts';

const timeout = 300_000;
const targetCount = Number(process.env['VARVE_TEST_TARGETS'] ?? 2);
const majors = await findOutermostMajors();
const [newest] = majors;
const sandbox = { type: 'sandbox' } as const;

function records(lab: RecoveryLab): RecoveryRecords {
  return new RecoveryRecords(join(lab.fixture.folder, 'recoveries'));
}

const planOf = (lab: RecoveryLab, input: RecoveryRequestInput) =>
  planRecovery(lab.fixture.context(), { app: lab.app, request: request(input) });

async function recover(
  lab: RecoveryLab,
  input: RecoveryRequestInput,
  signal?: AbortSignal,
): Promise<RecoveredDatabase> {
  const { fingerprint } = await planOf(lab, input);
  return runRecovery(lab.fixture.context(signal), {
    app: lab.app,
    request: request(input),
    fingerprint,
    records: records(lab),
    takeSafetySnapshot: async () => ({ snapshotId: (await lab.fixture.snapshot(lab.app, 'pre-restore')).snapshot.id }),
  });
}

const idsIn = async (recovered: RecoveredDatabase): Promise<number[]> =>
  (await inSandbox(recovered, 'SELECT id FROM ledger ORDER BY id')).split('\n').filter(Boolean).map(Number);

async function remove(lab: RecoveryLab, recovered: RecoveredDatabase): Promise<void> {
  const context = { docker: lab.fixture.context().docker, isActiveRun: async () => false };
  await removeSandbox(records(lab), recovered.sandbox?.id ?? '', context);
}

/** Recovers into a sandbox, yields the ids that are there, removes the sandbox. */
async function idsAt(lab: RecoveryLab, target: RecoveryTarget): Promise<number[]> {
  const recovered = await recover(lab, { target, destination: sandbox });
  try {
    return await idsIn(recovered);
  } finally {
    await remove(lab, recovered);
  }
}

const at = (micros: number): RecoveryTarget => ({ type: 'time', time: formatUnixMicros(micros) });
const idsUntil = (lab: RecoveryLab, micros: number): number[] =>
  lab.ledger.filter((row) => row.micros <= micros).map(({ id }) => id);

function row(lab: RecoveryLab, index: number) {
  const found = lab.ledger.at(index);
  if (found === undefined) throw new Error(`no row ${index}`);
  return found;
}

const leftovers = async (lab: RecoveryLab): Promise<string[]> =>
  (await readdir(dirname(lab.server.dataDir))).filter((name) => name.includes('varve'));

describe.each(majors)('recovery with PostgreSQL $major', ({ binDir }) => {
  test('has every commit up to a time and none after, for random times', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(5);
    await lab.base();
    await lab.write(100);
    await lab.base();
    await lab.write(100);
    await lab.archive();
    const seed = Math.floor(Math.random() * 1e9);
    for (let n = 0; n < targetCount; n++) {
      const [first, last] = [row(lab, 5).micros, row(lab, -1).micros];
      const micros = first + (((seed * (n + 1)) % 1_000_003) / 1_000_003) * (last - first);
      expect(await idsAt(lab, at(Math.floor(micros))), `seed ${seed}, target ${micros}`).toEqual(
        idsUntil(lab, Math.floor(micros)),
      );
    }
    expect(await leftovers(lab)).toEqual([]);
  });
});

describe.skipIf(newest === undefined)('a target', () => {
  const binDir = newest?.binDir ?? '';

  test('in an idle period, exactly at a commit, just before one, by position and by name', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(3);
    await lab.base();
    await lab.write(30);
    await lab.query("SELECT pg_create_restore_point('before the import')");
    const idleFrom = row(lab, -1).micros;
    await lab.query('SELECT pg_sleep(1.2)');
    await lab.write(20);
    await lab.archive();
    expect(await idsAt(lab, at(idleFrom + 600_000))).toEqual(idsUntil(lab, idleFrom));
    const exact = row(lab, 20).micros;
    expect(await idsAt(lab, at(exact))).toEqual(idsUntil(lab, exact));
    expect(await idsAt(lab, at(exact - 1))).toEqual(idsUntil(lab, exact - 1));
    const { id, lsn } = row(lab, 40);
    expect(await idsAt(lab, { type: 'lsn', lsn })).toEqual(lab.ledger.slice(0, id).map((one) => one.id));
    expect(await idsAt(lab, { type: 'name', name: 'before the import' })).toEqual(idsUntil(lab, idleFrom));
    // In another zone the same moment.
    const local = new Date(exact / 1000 + 5.5 * 3_600_000).toISOString().slice(0, 19);
    const zoned = `${local}.${String(exact % 1_000_000).padStart(6, '0')}+05:30`;
    expect((await planOf(lab, { target: { type: 'time', time: zoned }, destination: sandbox })).stop.lastCommitAt).toBe(
      formatUnixMicros(exact),
    );
  });

  test('before the end of the backup or after the last commit is refused with the nearest', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(10);
    const { snapshot } = await lab.base();
    await lab.write(10);
    await lab.archive();
    const early = planOf(lab, { target: at(row(lab, 4).micros), destination: sandbox });
    await expect(early).rejects.toMatchObject({
      code: 'RECOVERY_UNREACHABLE',
      message: expect.stringContaining(`the end of the base backup ${snapshot.id.slice(0, 8)}`),
      context: { before: null, after: expect.stringMatching(/^20/) },
    });
    const last = row(lab, -1).micros;
    const late = planOf(lab, { target: at(last + 60_000_000), destination: sandbox });
    await expect(late).rejects.toMatchObject({
      code: 'RECOVERY_UNREACHABLE',
      message: expect.stringContaining(formatUnixMicros(last)),
      context: { before: formatUnixMicros(last), after: null },
    });
    // The last commit itself, the end of what there is, the snapshot's own point.
    expect(await idsAt(lab, at(last))).toHaveLength(20);
    expect(await idsAt(lab, { type: 'latest' })).toHaveLength(20);
    expect(await idsAt(lab, { type: 'snapshot', snapshotId: snapshot.id })).toHaveLength(10);
  });

  test('that two restore points have the name of is refused with both positions', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.base();
    await lab.query("SELECT pg_create_restore_point('twice')");
    await lab.write(2);
    await lab.query("SELECT pg_create_restore_point('twice')");
    await lab.write(2);
    await lab.archive();
    const plan = planOf(lab, { target: { type: 'name', name: 'twice' }, destination: sandbox });
    await expect(plan).rejects.toMatchObject({
      code: 'RECOVERY_POINT_AMBIGUOUS',
      message: expect.stringMatching(/0\/.*; 0\//),
    });
    await expect(planOf(lab, { target: { type: 'name', name: 'never' }, destination: sandbox })).rejects.toMatchObject({
      code: 'RECOVERY_UNREACHABLE',
      hint: 'Known are: twice.',
    });
  });

  test('behind a missing segment is refused with its name', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(3);
    await lab.base();
    await lab.write(20);
    const missing = await lab.query('SELECT pg_walfile_name(pg_switch_wal())');
    const before = row(lab, -1).micros;
    await lab.write(20);
    await lab.query('SELECT pg_switch_wal()');
    await lab.write(20);
    await lab.archive({ without: [missing] });
    const plan = planOf(lab, { target: at(row(lab, -2).micros), destination: sandbox });
    await expect(plan).rejects.toMatchObject({
      code: 'RECOVERY_UNREACHABLE',
      message: expect.stringContaining(missing),
    });
    expect(before).toBeGreaterThan(0);
  });

  test('of a base backup without any log is its own end', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(7);
    await lab.base();
    await lab.write(7);
    expect(await idsAt(lab, { type: 'latest' })).toHaveLength(7);
  });
});

describe.skipIf(newest === undefined)('timelines', () => {
  const binDir = newest?.binDir ?? '';

  test(
    'are followed after a recovery in place, and the branch that was left is reached by its number',
    { timeout },
    async () => {
      await using lab = await recoveryLab({ binDir });
      await lab.write(4);
      await lab.base();
      await lab.write(30);
      await lab.archive();
      const fork = row(lab, 15).micros;
      const leftBehind = row(lab, 25).micros;
      await recover(lab, { target: at(fork), destination: { type: 'in-place' }, safetySnapshot: false });
      const first = lab.ledger.splice(0);
      const kept = first.filter(({ micros }) => micros <= fork).map(({ id }) => id);
      // On timeline 2 from here on; ids go on behind those that were used.
      await lab.query('SELECT pg_sleep(0.2)');
      await lab.write(0);
      for (let id = 100; id < 110; id++) await lab.query(`INSERT INTO ledger VALUES (${id}, '')`);
      await lab.archive();
      const now = await idsAt(lab, { type: 'latest' });
      expect(now).toEqual([...kept, ...Array.from({ length: 10 }, (_, n) => 100 + n)]);
      const plan = await planOf(lab, { target: { type: 'latest' }, destination: sandbox });
      expect(plan.wal.timelines).toEqual([1, 2]);
      // What was committed after the fork is on timeline 1 only.
      const branch = await recover(lab, { target: at(leftBehind), timeline: 1, destination: sandbox });
      expect(await idsIn(branch)).toEqual(first.filter(({ micros }) => micros <= leftBehind).map(({ id }) => id));
      await remove(lab, branch);
    },
  );
});

describe.skipIf(newest === undefined)('a recovery', () => {
  const binDir = newest?.binDir ?? '';

  test('that pauses can be read, takes nothing, and goes on when it is promoted', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.base();
    await lab.write(30);
    await lab.archive();
    const { micros } = row(lab, 10);
    const recovered = await recover(lab, { target: at(micros), destination: sandbox, whenReached: 'pause' });
    expect(recovered.sandbox?.state).toBe('paused');
    expect(await idsIn(recovered)).toEqual(idsUntil(lab, micros));
    await expect(inSandbox(recovered, "INSERT INTO ledger VALUES (0, '')")).rejects.toMatchObject({
      code: 'DATABASE_QUERY_FAILED',
    });
    const context = { docker: lab.fixture.context().docker };
    const promoted = await promoteSandbox(records(lab), recovered.sandbox?.id ?? '', context);
    expect(promoted.state).toBe('running');
    await inSandbox(recovered, "INSERT INTO ledger VALUES (0, '')");
    expect(await inSandbox(recovered, 'SHOW archive_mode')).toBe('off');
    await remove(lab, recovered);
    expect(await leftovers(lab)).toEqual([]);
  });

  test(
    'in place swaps the data, and the server runs as it ran, without a trace of the recovery',
    { timeout },
    async () => {
      await using lab = await recoveryLab({ binDir });
      await lab.query("ALTER SYSTEM SET work_mem = '5MB'");
      await lab.query("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'");
      await lab.write(4);
      await lab.base();
      await lab.write(40);
      await lab.archive();
      const { micros } = row(lab, 20);
      await recover(lab, { target: at(micros), destination: { type: 'in-place' } });
      const ids = (await lab.query('SELECT id FROM ledger ORDER BY id')).split('\n').map(Number);
      expect(ids).toEqual(idsUntil(lab, micros));
      expect(await lab.query('SHOW work_mem')).toBe('5MB');
      expect(await lab.query('SHOW restore_command')).toBe('');
      expect(await lab.query('SHOW port')).toBe(String(lab.server.port));
      const auto = await readFile(join(lab.server.dataDir, 'postgresql.auto.conf'), 'utf8');
      expect(auto).not.toContain('primary_conninfo');
      expect(await leftovers(lab)).toEqual([]);
      expect(lab.fixture.journal.size).toBe(0);
      // A new timeline begins, and its log leads on from there.
      expect(await lab.query('SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)')).toBe('00000002');
    },
  );

  test('into a folder leaves a data folder that was shut down cleanly', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    // What an earlier recovery of the server has left, which would end this one elsewhere, or never.
    await lab.query("ALTER SYSTEM SET recovery_target_name = 'long gone'");
    await lab.query("ALTER SYSTEM SET recovery_target_action = 'shutdown'");
    for (const name of ['standby.signal', 'recovery.signal']) await writeFile(join(lab.server.dataDir, name), '');
    await lab.base();
    await lab.write(20);
    await lab.archive();
    const parent = dirname(lab.server.dataDir);
    const path = join(parent, 'copy');
    const recovered = await recover(lab, { target: { type: 'latest' }, destination: { type: 'folder', path } });
    expect(recovered.folder).toBe(path);
    expect((await readdir(path)).filter((name) => /signal|postmaster/.test(name))).toEqual([]);
    expect(await readFile(join(path, 'postgresql.auto.conf'), 'utf8')).not.toMatch(/^recovery_target/m);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await writeFile(join(parent, 'not-empty'), '');
    const refused = planOf(lab, { target: { type: 'latest' }, destination: { type: 'folder', path: parent } });
    await expect(refused).rejects.toMatchObject({ code: 'RESTORE_TARGET_INVALID' });
    expect(await leftovers(lab)).toEqual([]);
  });

  test('whose log cannot be read stops, is never promoted, and leaves everything as it was', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    const packs = async (): Promise<string[]> =>
      (await readdir(join(lab.fixture.repo, 'data'), { recursive: true })).filter((name) => /[0-9a-f]{64}$/.test(name));
    const segment = async (): Promise<string> => {
      await lab.write(3);
      return lab.query('SELECT pg_walfile_name(pg_switch_wal())');
    };
    await lab.base();
    const before = new Set(await packs());
    const names = [await segment(), await segment()];
    await lab.archive();
    const early = (await packs()).filter((name) => !before.has(name));
    for (let n = 0; n < 4; n++) await segment();
    await lab.write(2);
    await lab.archive();
    // The plan reads the end of the log only: that the beginning is lost shows when the server asks for it.
    for (const name of early) await rm(join(lab.fixture.repo, 'data', name));
    const running = recover(lab, {
      target: at(row(lab, -1).micros),
      destination: { type: 'in-place' },
      safetySnapshot: false,
    });
    await expect(running).rejects.toMatchObject({ code: expect.stringMatching(/^(STORAGE|REPOSITORY)_/) });
    expect(names).toHaveLength(2);
    expect(await lab.query('SELECT count(*), left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM ledger')).toBe(
      '20|00000001',
    );
    expect(await leftovers(lab)).toEqual([]);
    expect(await records(lab).list()).toEqual([]);
  });

  test('of a server with larger settings than the recovered files have gets enough of each', { timeout }, async () => {
    await using lab = await recoveryLab({
      binDir,
      settings: { max_connections: '30', max_prepared_transactions: '0' },
    });
    await lab.write(2);
    await lab.base();
    await lab.query('ALTER SYSTEM SET max_connections = 233');
    await lab.query('ALTER SYSTEM SET max_prepared_transactions = 41');
    await lab.server.stop();
    await lab.server.start();
    await lab.write(10);
    await lab.archive();
    const recovered = await recover(lab, { target: at(row(lab, -2).micros), destination: sandbox });
    expect(await inSandbox(recovered, 'SHOW max_connections')).toBe('233');
    expect(await inSandbox(recovered, 'SHOW max_prepared_transactions')).toBe('41');
    await remove(lab, recovered);
  });

  test('that is cancelled leaves nothing, and the database runs on', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.base();
    await lab.write(40);
    await lab.archive();
    const stop = new AbortController();
    const context = lab.fixture.context(stop.signal);
    const wanted = {
      target: { type: 'latest' as const },
      destination: { type: 'in-place' as const },
      safetySnapshot: false,
    };
    const { fingerprint } = await planOf(lab, wanted);
    const running = runRecovery(
      {
        ...context,
        report: ({ step }) => {
          if (step.startsWith('replay-wal')) stop.abort();
        },
      },
      {
        app: lab.app,
        request: request(wanted),
        fingerprint,
        records: records(lab),
        takeSafetySnapshot: async () => ({ snapshotId: 'none' }),
      },
    );
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await leftovers(lab)).toEqual([]);
    expect(await records(lab).list()).toEqual([]);
    expect(await lab.query('SELECT count(*) FROM ledger')).toBe('40');
  });
});
