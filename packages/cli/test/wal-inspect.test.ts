import { copyFile, cp, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { connectPostgres } from '@varve/postgres';
import { findPostgresBinaries, startPostgres } from '@varve/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab } from './launcher.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const binDir = (await findPostgresBinaries())[0]?.binDir;

let lab: Lab;
let major: number;
let segments: readonly string[];

beforeAll(async () => {
  lab = await makeLab();
  if (binDir === undefined) return;
  await using server = await startPostgres({
    binDir,
    initdbOptions: ['--wal-segsize=1'],
    settings: { wal_keep_size: '1GB', fsync: 'off' },
  });
  major = server.major;
  await using connection = await connectPostgres({
    host: server.host,
    port: server.port,
    user: server.user,
    password: new Secret(server.password),
    database: server.database,
  });
  const [position] = await connection.query('select pg_walfile_name(pg_current_wal_insert_lsn())');
  const current = position?.rows[0]?.[0] ?? '';
  await connection.query(
    "select pg_logical_emit_message(false, 'test', repeat('x', 200000)) from generate_series(1, 15)",
  );
  await server.stop();
  await cp(join(server.dataDir, 'pg_wal'), lab.path('pg_wal'), { recursive: true });
  segments = (await readdir(lab.path('pg_wal'))).filter((name) => name.length === 24 && name >= current).sort();
});

afterAll(() => lab[Symbol.asyncDispose]());

/** The first, second or third of the segments that hold something. */
const segment = (number: 1 | 2 | 3): string => lab.path('pg_wal', segments[number - 1] ?? '');

interface Report {
  readonly cluster: { readonly major: number; readonly segmentSizeBytes: number } | null;
  readonly ranges: readonly {
    readonly startLsn: string;
    readonly segmentCount: number;
    readonly firstCommit: { readonly time: string } | null;
    readonly end: { readonly reason: string };
  }[];
  readonly gaps: readonly { readonly startLsn: string; readonly endLsn: string }[];
  readonly histories: readonly unknown[];
  readonly leftOut: readonly string[];
}

test.runIf(binDir !== undefined)('`wal inspect` shows what segments hold, for people and as JSON', async () => {
  const first = segment(1);
  const shown = await lab.run(['wal', 'inspect', segment(2), first, segment(3)]);
  expect(shown).toMatchObject({ exitCode: 0, stderr: '' });
  expect(shown.stdout).toMatch(new RegExp(`^PostgreSQL ${major}, cluster \\d+, segments of 1.0 MiB$`, 'm'));
  expect(shown.stdout).toMatch(/^Holds: +3 segments, [\d,]+ records$/m);
  expect(shown.stdout).toMatch(/^First commit: \d{4}-\d\d-\d\dT[\d:]+\.\d{6}Z at 0\/\w+, transaction \d+$/m);
  expect(shown.stdout).toMatch(
    /^Ends: +0\/\w+: there is no more behind 0\/\w+, \d+ bytes behind the last whole record$/m,
  );

  await copyFile(first, `${first}.partial`);
  await writeFile(lab.path('00000002.history'), '1\t0/5000000\tno recovery target specified\n');
  const inspected = await lab.run([
    'wal',
    'inspect',
    '--json',
    first,
    `${first}.partial`,
    lab.path('00000002.history'),
  ]);
  const report = JSON.parse(inspected.stdout) as Report;
  expect(inspected.exitCode).toBe(0);
  expect(report).toMatchObject({
    cluster: { major, segmentSizeBytes: 1024 * 1024 },
    ranges: [{ segmentCount: 1, end: { reason: 'end-of-input' } }],
    gaps: [],
    histories: [{ timeline: 2, ancestors: [{ timeline: 1, switchLsn: '0/5000000' }] }],
    leftOut: [`${segments[0]}.partial`],
  });
  expect(Date.parse(report.ranges[0]?.firstCommit?.time ?? '')).toBeGreaterThan(Date.now() - 120_000);
});

test.runIf(binDir !== undefined)('a gap is told by exit code 3; another name is read by its content', async () => {
  const gap = await lab.run(['wal', 'inspect', segment(1), segment(3)]);
  expect(gap).toMatchObject({
    exitCode: 3,
    stdout: expect.stringMatching(/^Gap: 0\/\w+ to 0\/\w+ of timeline 1 \(1/m),
  });
  const copy = lab.path('copied.wal');
  await copyFile(segment(2), copy);
  await truncate(copy, 500_000);
  const { stdout } = await lab.run(['wal', 'inspect', '--json', copy]);
  expect((JSON.parse(stdout) as Report).ranges).toMatchObject([{ segmentCount: 1, end: { reason: 'end-of-input' } }]);
});

test('what is not there, or no WAL, is refused', async () => {
  const missing = await lab.run(['wal', 'inspect', '--json', 'nowhere']);
  expect([missing.exitCode, jsonError(missing).code]).toEqual([4, 'PATH_NOT_FOUND']);
  for (const [path, content] of [
    ['some.txt', 'text'],
    ['00000002.history', 'nonsense\n'],
  ] as const) {
    await writeFile(lab.path(path), content);
    const refused = await lab.run(['wal', 'inspect', '--json', path]);
    expect([refused.exitCode, jsonError(refused).code]).toEqual([6, 'WAL_INVALID']);
  }
  const folder = await lab.run(['wal', 'inspect', '--json', '.']);
  expect(jsonError(folder).code).toBe('WAL_INVALID');
  expect(await lab.run(['wal', 'inspect'])).toMatchObject({ exitCode: 2 });
});
