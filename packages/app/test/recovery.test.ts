// Recovery to a point in time with real servers: the ledger of acknowledged commits is the oracle.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecoveryRequestInput } from '@varve/contract';
import { connectPostgres, formatUnixMicros } from '@varve/postgres';
import { findPostgresBinaries } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { planRecovery } from '../src/recovery/plan-recovery.ts';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { runRecovery, type RecoveredDatabase } from '../src/recovery/run-recovery.ts';
import { removeSandbox } from '../src/recovery/sandboxes.ts';
import { recoveryLab, request, type RecoveryLab } from './recovery-lab.ts';

const timeout = 180_000;
const binaries = await findPostgresBinaries();
const majors = [...new Map(binaries.map((one) => [one.major, one])).values()];

function records(lab: RecoveryLab): RecoveryRecords {
  return new RecoveryRecords(join(lab.fixture.folder, 'sandboxes'));
}

async function recover(lab: RecoveryLab, input: RecoveryRequestInput): Promise<RecoveredDatabase> {
  const context = lab.fixture.context();
  const wanted = request(input);
  const plan = await planRecovery(context, { app: lab.app, request: wanted });
  return runRecovery(context, {
    app: lab.app,
    request: wanted,
    fingerprint: plan.fingerprint,
    records: records(lab),
    takeSafetySnapshot: async () => ({ snapshotId: (await lab.fixture.snapshot(lab.app, 'pre-restore')).snapshot.id }),
  });
}

async function idsIn(recovered: RecoveredDatabase): Promise<number[]> {
  const { connection } = recovered.sandbox ?? {};
  if (!connection?.socketFolder || connection.port === null) throw new Error('no sandbox');
  await using session = await connectPostgres({
    host: 'localhost',
    port: connection.port,
    socketPath: connection.socketFolder,
    user: connection.user,
    database: 'postgres',
    tls: 'disable',
  });
  const [result] = await session.query('SELECT id FROM ledger ORDER BY id');
  return (result?.rows ?? []).map(([id]) => Number(id));
}

const removal = (lab: RecoveryLab) => ({ docker: lab.fixture.context().docker, isActiveRun: async () => false });

describe.each(majors)('recovery with PostgreSQL $major', ({ binDir }) => {
  test('into a sandbox has every commit up to the time and none after', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.write(5);
    await lab.base();
    await lab.write(60);
    await lab.archive();
    const target = lab.ledger[40];
    if (!target) throw new Error('no row');
    const recovered = await recover(lab, {
      target: { type: 'time', time: formatUnixMicros(target.micros) },
      destination: { type: 'sandbox' },
    });
    const expected = lab.ledger.filter(({ micros }) => micros <= target.micros).map(({ id }) => id);
    expect(await idsIn(recovered)).toEqual(expected);
    expect(recovered.plan.stop.lastCommitAt).toBe(formatUnixMicros(target.micros));
    expect(recovered.state.lastCommitMicros).toBe(target.micros);
    const { id = '', folder } = recovered.sandbox ?? {};
    await removeSandbox(records(lab), id, removal(lab));
    expect(await stat(folder ?? '').catch(() => 'gone')).toBe('gone');
  });
});
