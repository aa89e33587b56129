// The proof that a database can be recovered, with real servers; and that it sees what is wrong.

import { open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { verifyRequestSchema, type JobResult, type VerifyRequestInput } from '@varve/contract';
import { findPostgresBinaries, startPostgres } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { checkPages } from '../src/verify/check-pages.ts';
import { runVerify } from '../src/verify/run-verify.ts';
import { recoveryLab, type RecoveryLab } from './recovery-lab.ts';

const timeout = 180_000;
const binaries = await findPostgresBinaries();
const system = binaries.find(({ origin }) => origin === 'system') ?? binaries[0];
const binDir = system?.binDir ?? '';

async function verify(lab: RecoveryLab, input: VerifyRequestInput) {
  const results: Extract<JobResult, { type: 'verify' }>[] = [];
  const done = runVerify(lab.fixture.context(), {
    app: lab.app,
    request: verifyRequestSchema.parse(input),
    records: new RecoveryRecords(join(lab.fixture.folder, 'recoveries')),
    onResult: (result) => results.push(result),
  });
  const failure = await done.then(
    () => undefined,
    (error: unknown) => error,
  );
  return { result: results[0], failure };
}

describe.skipIf(binDir === '')('a proof', () => {
  test('passes with every check told, and leaves nothing', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.base();
    await lab.write(30);
    await lab.archive();
    const { result, failure } = await verify(lab, {
      queries: [{ sql: 'SELECT count(*) = 30 FROM ledger' }, { sql: 'SELECT * FROM ledger WHERE id < 0' }],
    });
    expect(failure).toBeUndefined();
    expect(result?.checks.map(({ name, state }) => [name, state])).toEqual([
      ['recovery', 'passed'],
      ['indexes', expect.stringMatching(/passed|skipped/)],
      ['indexes', expect.stringMatching(/passed|skipped/)],
      ['query', 'passed'],
      ['query', 'passed'],
      ['page-checksums', 'passed'],
    ]);
    expect(result?.checks.at(-1)?.message).toMatch(/^\d{3,} pages are right$/);
    expect((await readdir(dirname(lab.server.dataDir))).filter((name) => name.includes('varve'))).toEqual([]);
  });

  test('fails with what the questions yield, and has the result all the same', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    await lab.base();
    await lab.write(5);
    await lab.archive();
    const { result, failure } = await verify(lab, {
      indexes: false,
      queries: [
        { sql: 'SELECT id, 7 FROM ledger ORDER BY id' },
        { sql: 'SELECT count(*) > 5 FROM ledger' },
        { sql: 'SELECT * FROM no_such_table' },
      ],
    });
    expect(failure).toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('5 rows, the first: 1, 7'),
    });
    expect(result?.checks.map(({ state }) => state)).toEqual(['passed', 'failed', 'failed', 'failed', 'passed']);
  });

  test('sees a page that is not what it was', { timeout }, async () => {
    await using server = await startPostgres({ binDir, initdbOptions: ['--data-checksums'] });
    await server.stop();
    const signal = new AbortController().signal;
    const good = await checkPages(server.dataDir, { signal });
    expect(good).toMatchObject({ badPages: 0, named: [] });
    const [database = ''] = (await readdir(join(server.dataDir, 'base'))).toSorted();
    // pg_class, whose file has this name in a new cluster of every version.
    const path = `base/${database}/1259`;
    {
      await using file = await open(join(server.dataDir, path), 'r+');
      await file.write(Buffer.from([0x55]), 0, 1, 8192 + 4000);
    }
    const bad = await checkPages(server.dataDir, { signal });
    expect(bad).toEqual({ pages: good.pages, badPages: 1, named: [`${path}, page 1`] });
  });
});
