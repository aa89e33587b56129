// `varve wal` with the real launcher and a real server.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectPostgres, parsePostgresUrl } from '@varve/postgres';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jsonError, makeLab, type Lab } from './launcher.ts';

const hasServer = (await findPostgresBinaries()).length > 0;

describe.skipIf(!hasServer)('varve wal', () => {
  let server: PostgresServer;
  let lab: Lab;

  beforeAll(async () => {
    server = await startPostgres({
      settings: { fsync: 'off', wal_keep_size: '200MB' },
      initdbOptions: ['--wal-segsize=1'],
    });
    lab = await makeLab();
    await writeFile(lab.path('url'), `${server.url}?sslmode=disable\n`, { mode: 0o600 });
  }, 30_000);

  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test('receive captures until it is interrupted, and says what happens', async () => {
    const args = ['wal', 'receive', '--url-file', 'url', '--spool', 'spool', '--slot', 'tool'];
    const running = lab.start([...args, '--create-slot', '--json']);
    await running.waitFor(/"message_type":"streaming".*"system_id":"(\d+)"/);
    await running.waitFor(/"lag_bytes":(0),"lag_ms":0,"is_connected":true/);
    {
      await using connection = await connectPostgres(parsePostgresUrl(`${server.url}?sslmode=disable`));
      await connection.query('select pg_switch_wal()');
    }
    await running.waitFor(/"message_type":"(segment-complete)"/);
    running.child.kill('SIGINT');
    const { exitCode, stdout, stderr } = await running.outcome;
    expect(exitCode, stderr).toBe(130);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { message_type: string; slot?: string; is_new?: boolean });
    expect(events[0]).toMatchObject({ message_type: 'slot', slot: 'tool', is_new: true, keep_limit_bytes: null });
    const names = (await readdir(lab.path('spool'))).filter((name) => /^[0-9A-F]{24}$/.test(name));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      expect(await readFile(lab.path('spool', name))).toEqual(await readFile(join(server.dataDir, 'pg_wal', name)));
    }
    const again = lab.start(args);
    await again.waitFor(/(receiving from [0-9A-F]+\/[0-9A-F]+ on timeline 1)/);
    await again.waitFor(/(warning: max_slot_wal_keep_size is unlimited)/);
    again.child.kill('SIGTERM');
    expect((await again.outcome).exitCode).toBe(130);
  });

  test('slots are listed and dropped', async () => {
    const list = await lab.run(['wal', 'slots', 'list', '--json'], { env: { VARVE_DATABASE_URL: server.url } });
    expect(JSON.parse(list.stdout)).toMatchObject([
      { slot: 'tool', installation: null, type: 'physical', wal_status: 'reserved' },
    ]);
    const drop = ['wal', 'slots', 'drop', 'tool', '--url-file', 'url'];
    expect((await lab.run([...drop, '--json'])).exitCode).toBe(2);
    expect((await lab.run([...drop, '--yes'])).stdout).toBe('dropped the slot tool\n');
    const missing = await lab.run([...drop, '--yes', '--json']);
    expect([missing.exitCode, jsonError(missing).code]).toEqual([8, 'WAL_SLOT_UNUSABLE']);
    expect((await lab.run(['wal', 'slots', 'list', '--url-file', 'url'])).stdout).toContain('no replication slots');
  });

  test('faults of use are told before anything is made', async () => {
    const codeOf = async (...args: string[]): Promise<string> =>
      jsonError(await lab.run(['wal', 'receive', '--spool', 'other', '--json', ...args])).code;
    expect(await codeOf()).toBe('USAGE_INVALID');
    expect(await codeOf('--url-file', 'nothing')).toBe('USAGE_INVALID');
    expect(await codeOf('--url-file', 'url', '--create-slot')).toBe('USAGE_INVALID');
    expect(await codeOf('--url-file', 'url', '--max-spool', 'much')).toBe('USAGE_INVALID');
    await writeFile(lab.path('bad-url'), 'mysql://x');
    expect(await codeOf('--url-file', 'bad-url')).toBe('SETTINGS_INVALID');
    expect(await readdir(lab.folder)).not.toContain('other');
  });
});
