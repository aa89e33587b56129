// Base backups that the server sends, of every major: restic alone brings back a folder that PostgreSQL starts from, and
// what is wrong on the server's disk or on the way is never taken for good.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findPostgresMajors, resticAvailable, startPostgres } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { runFixture } from './run-fixture.ts';
import { appOf, connect, query, savedOf, startRestored } from './volume-base-lab.ts';

const majors = await findPostgresMajors();
const [newest] = majors;
const hasRestic = (await resticAvailable()) !== undefined;
const timeout = 120_000;
const stream = { readThrough: 'stream' } as const;

const hash = 'SELECT count(*) || md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM t';

describe.skipIf(!hasRestic)(
  `a cluster that its server sends${hasRestic ? '' : ' [skipped: restic is not installed]'}`,
  () => {
    test.each(majors)(
      'of PostgreSQL $major starts from what restic restores, as it was at the end of the backup',
      { timeout },
      async ({ binDir, major }) => {
        await using fixture = await runFixture();
        await using server = await startPostgres({ binDir, settings: { fsync: 'off' } });
        await using session = await connect(server);
        await query(session, 'CREATE TABLE t AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 20000) n');
        await query(session, 'CREATE UNLOGGED TABLE scratch AS SELECT 1 AS a');
        const before = await query(session, hash);
        const taken = await fixture.snapshot(appOf(fixture, server, { ...stream, maxRateKBps: 500_000 }));
        await query(session, 'DELETE FROM t WHERE id % 2 = 0');
        expect(taken.problems).toEqual([]);
        const saved = savedOf(taken);
        expect(saved).toMatchObject({ method: 'base', readThrough: 'stream', timeline: 1 });
        expect(Number.parseInt(saved.serverVersion, 10)).toBe(major);
        const restored = await startRestored(fixture, server, 'restored');
        try {
          await using copy = await connect(server, 'postgres', restored.port);
          expect(await query(copy, hash)).toBe(before);
          expect(await query(copy, 'SELECT pg_is_in_recovery()')).toBe('f');
          expect(await query(copy, 'SELECT system_identifier FROM pg_control_system()')).toBe(saved.systemId);
        } finally {
          await restored.stop();
        }
      },
    );
  },
);

describe.skipIf(newest === undefined)('a server with a damaged page', () => {
  test('gives a partial snapshot that names the file', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ initdbOptions: ['--data-checksums'], settings: { fsync: 'off' } });
    await using session = await connect(server);
    await query(session, "CREATE TABLE victim AS SELECT repeat('x', 500) FROM generate_series(1, 1000)");
    await query(session, 'CHECKPOINT');
    const path = await query(session, "SELECT pg_relation_filepath('victim')");
    const file = join(server.dataDir, path);
    const bytes = await readFile(file);
    bytes.fill(0xff, 8192 + 4000, 8192 + 4100);
    await writeFile(file, bytes);
    const taken = await fixture.snapshot(appOf(fixture, server, stream));
    expect(taken.problems).toEqual([
      { path: `db: ${path}`, message: expect.stringMatching(/wrong checksum.*\(suspect\)/) },
    ]);
    expect(taken.manifest.problems).toEqual(taken.problems);
    expect(taken.snapshot.partial).toBe(true);
  });
});
