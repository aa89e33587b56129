// Log in the repository that is deleted or damaged: a check finds it and names the segments, a recovery that needs it stops and
// names the exact stretch, and what is before it can still be recovered.

import { open, readdir, rm, stat, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import type { AppError } from '@varve/base';
import { connectPostgres, formatUnixMicros } from '@varve/postgres';
import { checkRepository } from '@varve/repository';
import { findPostgresBinaries } from '@varve/testing';
import { expect, test } from 'vitest';
import { planRecovery } from '../src/recovery/plan-recovery.ts';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { runRecovery, type RecoveredDatabase } from '../src/recovery/run-recovery.ts';
import { removeSandbox } from '../src/recovery/sandboxes.ts';
import { recoveryLab, request, type RecoveryLab } from './recovery-lab.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const segmentBytes = 1024 * 1024;
const isLong = process.env['VARVE_LONG_TESTS'] === '1';

async function packs(lab: RecoveryLab): Promise<string[]> {
  const names = await readdir(join(lab.fixture.repo, 'data'), { recursive: true });
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).map((name) => join(lab.fixture.repo, 'data', name));
}

/** Fills the rest of a segment; its name. */
async function segment(lab: RecoveryLab): Promise<string> {
  await lab.write(20);
  return lab.query('SELECT pg_walfile_name(pg_switch_wal())');
}

async function recover(lab: RecoveryLab, micros: number): Promise<RecoveredDatabase> {
  const wanted = request({
    target: { type: 'time', time: formatUnixMicros(micros) },
    destination: { type: 'sandbox' },
  });
  const { fingerprint } = await planRecovery(lab.fixture.context(), { app: lab.app, request: wanted });
  return runRecovery(lab.fixture.context(), {
    app: lab.app,
    request: wanted,
    fingerprint,
    records: recordsOf(lab),
    takeSafetySnapshot: () => Promise.reject(new Error('not in place')),
  });
}

const recordsOf = (lab: RecoveryLab): RecoveryRecords => new RecoveryRecords(join(lab.fixture.folder, 'recoveries'));

async function idsAt(lab: RecoveryLab, micros: number): Promise<number[]> {
  const recovered = await recover(lab, micros);
  const { connection } = recovered.sandbox ?? {};
  await using session = await connectPostgres({
    host: 'localhost',
    port: connection?.port ?? 0,
    socketPath: connection?.socketFolder ?? '',
    user: connection?.user ?? '',
    database: 'postgres',
    tls: 'disable',
  });
  const [result] = await session.query('SELECT id FROM ledger ORDER BY id');
  await session[Symbol.asyncDispose]();
  const context = { docker: lab.fixture.context().docker, isActiveRun: async () => false };
  await removeSandbox(recordsOf(lab), recovered.sandbox?.id ?? '', context);
  return (result?.rows ?? []).map(([id]) => Number(id));
}

async function flipInTheMiddle(path: string): Promise<void> {
  const { size } = await stat(path);
  await chmod(path, 0o600);
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, size >> 1);
  byte.writeUInt8(byte.readUInt8(0) ^ 0x10);
  await file.write(byte, 0, 1, size >> 1);
}

const startOf = (name: string): string => {
  const lsn = BigInt(`0x${name.slice(8, 16)}`) * (1n << 32n) + BigInt(`0x${name.slice(16)}`) * BigInt(segmentBytes);
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
};

const spoilings: readonly (readonly [string, (path: string) => Promise<void>])[] = [
  ['deleted', (path) => rm(path)],
  ...(isLong ? [['changed by one bit', flipInTheMiddle] as const] : []),
];

test.skipIf(binDir === '').each(spoilings)(
  'log whose pack is %s is found by a check, and is the exact stretch that a recovery names',
  { timeout: 240_000 },
  async (_, spoil) => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(3);
    await lab.base();
    await segment(lab);
    await segment(lab);
    await lab.archive();
    const before = new Set(await packs(lab));
    // At the last commit itself it would not be known that no other one follows.
    const lastBefore = lab.ledger.at(-2);
    const lost = [await segment(lab), await segment(lab)];
    await lab.archive();
    const added = (await packs(lab)).filter((path) => !before.has(path));
    const sizes = await Promise.all(added.map(async (path) => (await stat(path)).size));
    const spoiled = added[sizes.indexOf(Math.max(...sizes))] ?? '';
    const next = await segment(lab);
    await segment(lab);
    await lab.write(2);
    await lab.archive();
    await spoil(spoiled);

    const { affected } = await checkRepository(lab.fixture.repository, { readData: true });
    const damaged = new Set(affected.flatMap(({ path }) => /[0-9A-F]{24}/.exec(path)?.[0] ?? []));
    const failure: unknown = await recover(lab, lab.ledger.at(-1)?.micros ?? 0).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'REPOSITORY_DAMAGED', message: expect.stringContaining('is lost') });
    const { from, to, segments } = (failure as AppError).context;
    expect(new Set(segments as string[])).toEqual(damaged);
    expect(lost).toEqual(expect.arrayContaining(segments as string[]));
    const behind = lost.find((name) => name > ((segments as string[]).at(-1) ?? '')) ?? next;
    expect({ from, to }).toEqual({ from: startOf((segments as string[])[0] ?? ''), to: startOf(behind) });

    expect(await idsAt(lab, lastBefore?.micros ?? 0)).toEqual(
      lab.ledger.filter(({ micros }) => micros <= (lastBefore?.micros ?? 0)).map(({ id }) => id),
    );
    expect(await recordsOf(lab).list()).toEqual([]);
  },
);
