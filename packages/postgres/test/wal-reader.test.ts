// The reader on the WAL of every server that is installed, against what was done there and what pg_waldump says.

import { existsSync } from 'node:fs';
import { chown, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findPostgresMajors } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  formatLsn,
  formatUnixMicros,
  parseLsn,
  summarizeWal,
  type Lsn,
  type WalEvent,
  type WalReader,
} from '../src/index.ts';
import {
  dumpRecords,
  moveWal,
  eventsOf,
  onlyEvent,
  readEvents,
  readSegments,
  recordPositions,
  startWalServer,
  type DumpedRecord,
  type WalFile,
  type WalServer,
} from './wal-lab.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const installed = await findPostgresMajors();
const defaultSegmentBytes = 16 * 1024 * 1024;

/** One of each kind that the reader tells. Yields where it begins. */
async function writeEverything(lab: WalServer, tablespace: string): Promise<Lsn> {
  const start = parseLsn(await lab.query('checkpoint', 'select pg_current_wal_insert_lsn()'));
  await lab.query(
    'create table t (a int, b text)',
    `begin; insert into t values (1); savepoint a; insert into t values (2); savepoint b; insert into t values (3); commit`,
    'begin; insert into t values (4); rollback',
    "begin; insert into t values (5); prepare transaction 'kept'",
    "begin; insert into t values (6); prepare transaction 'dropped'",
    "commit prepared 'kept'",
    "rollback prepared 'dropped'",
    "select pg_create_restore_point('before Ω')",
    'create database fresh',
    'drop database fresh',
    `create tablespace elsewhere location '${tablespace}'`,
    'drop tablespace elsewhere',
    'insert into t select g, repeat(md5(g::text), 40) from generate_series(1, 4000) g',
    'drop table t',
    `select pg_replication_origin_create('upstream'); select pg_replication_origin_session_setup('upstream');
     begin; create table o (a int);
     select pg_replication_origin_xact_setup('1/23', '2020-02-03 04:05:06.789+00'); commit`,
    'select pg_switch_wal()',
    'alter system set max_connections = 77',
    'alter system set full_page_writes = off',
    'select pg_reload_conf()',
  );
  // The checkpointer writes the change when the signal has reached it.
  while ((await lab.query('checkpoint', 'select full_page_writes from pg_control_checkpoint()')) === 't');
  await lab.server.stop();
  await lab.server.start();
  await lab.query('create table last_one (a int)');
  await lab.server.stop();
  return start;
}

describe.each(installed)('the WAL of PostgreSQL $major ($origin)', ({ binDir, major }) => {
  let lab: WalServer;
  let tablespace: string;
  let segments: WalFile[];
  let bytes: Buffer;
  let reader: WalReader;
  let all: WalEvent[];
  /** Without those of initdb. */
  let events: WalEvent[];

  beforeAll(async () => {
    lab = await startWalServer({ binDir, settings: { max_prepared_transactions: '7', wal_level: 'logical' } });
    tablespace = join(dirname(lab.server.dataDir), 'a tablespace');
    await mkdir(tablespace);
    const { uid, gid } = await stat(lab.server.dataDir);
    await chown(tablespace, uid, gid);
    const start = await writeEverything(lab, tablespace);
    segments = await readSegments(lab.server);
    bytes = Buffer.concat(segments.map((segment) => segment.bytes));
    ({ reader, events: all } = readEvents({ lsn: segments[0]!.startLsn }, bytes));
    events = all.filter(({ lsn }) => lsn >= start);
  });
  afterAll(() => lab?.[Symbol.asyncDispose]());

  test('ends where nothing was written yet, and says whose it is', () => {
    expect(reader.finish()).toMatchObject({ reason: 'zeros', lsn: reader.nextLsn, faultLsn: reader.nextLsn });
    expect(reader.identity).toMatchObject({ major, segmentSizeBytes: defaultSegmentBytes, timeline: 1 });
  });

  test('tells every end of a transaction with all its parts', () => {
    const ends = eventsOf(events, 'commit', 'abort');
    const prepared = eventsOf(events, 'prepare');
    expect(prepared.map(({ gid }) => gid)).toEqual(['kept', 'dropped']);
    expect(ends.filter((event) => event.prepared)).toMatchObject([
      { type: 'commit', xid: prepared[0]?.xid, prepared: { gid: 'kept' } },
      { type: 'abort', xid: prepared[1]?.xid, prepared: { gid: 'dropped' } },
    ]);
    expect(ends.filter(({ subtransactionCount }) => subtransactionCount > 0)).toMatchObject([
      { type: 'commit', subtransactionCount: 2 },
    ]);
    expect(ends.filter((event) => event.type === 'abort' && !event.prepared)).toHaveLength(1);
    // A table with its TOAST table and that one's index.
    expect(ends.some(({ droppedRelationCount }) => droppedRelationCount === 3)).toBe(true);
    const origins = ends.flatMap(({ origin }) => (origin ? [origin] : []));
    expect(origins.map(({ lsn, unixMicros }) => [formatLsn(lsn), formatUnixMicros(unixMicros)])).toEqual([
      ['1/23', '2020-02-03T04:05:06.789000Z'],
    ]);
    const latest = Math.max(...ends.map(({ unixMicros }) => unixMicros));
    expect(Math.abs(Date.now() - latest / 1000)).toBeLessThan(120_000);
  });

  test('tells restore points, settings, databases, tablespaces, switches and checkpoints', () => {
    expect(onlyEvent(events, 'restore-point').name).toBe('before Ω');
    expect(onlyEvent(events, 'tablespace-create')).toMatchObject({ path: tablespace });
    expect(onlyEvent(events, 'tablespace-drop').oid).toBe(onlyEvent(events, 'tablespace-create').oid);
    const strategy = major >= 15 ? 'wal-log' : 'file-copy';
    expect(onlyEvent(events, 'database-create')).toMatchObject({ tablespaceOid: 1663, strategy });
    expect(onlyEvent(events, 'database-drop').oid).toBe(onlyEvent(events, 'database-create').oid);
    expect(onlyEvent(events, 'switch').endLsn % BigInt(defaultSegmentBytes)).toBe(0n);
    expect(onlyEvent(events, 'full-page-writes').isOn).toBe(false);
    expect(onlyEvent(events, 'parameter-change').parameters).toMatchObject({
      maxConnections: 77,
      maxPreparedTransactions: 7,
      walLevel: 'logical',
    });
    const last = events.at(-1);
    expect(last).toMatchObject({ type: 'checkpoint', isShutdown: true, timeline: 1, previousTimeline: 1 });
    expect(last).toMatchObject({ redoLsn: last?.lsn });
  });

  test('has a summary', async () => {
    const summary = await summarizeWal(segments.map((segment) => ({ ...segment, bytes: [segment.bytes] })));
    const commits = eventsOf(all, 'commit');
    expect(summary).toMatchObject({
      gaps: [],
      parameterMaxima: { maxConnections: 100, maxPreparedTransactions: 7 },
      ranges: [
        {
          endLsn: reader.nextLsn,
          recordCount: reader.recordCount,
          restorePoints: [{ name: 'before Ω' }],
          tablespacesCreated: [{ path: tablespace }],
          firstCommit: commits[0],
          lastCommit: commits.at(-1),
          commitCount: commits.length,
        },
      ],
    });
  });

  // The packages of npm bring no tools: the distribution's major has the oracle.
  if (!existsSync(join(binDir, 'pg_waldump'))) return;
  test('is what pg_waldump says', async () => {
    const dumped = (await dumpRecords(lab.server, segments)) ?? [];
    const positions = recordPositions({ lsn: segments[0]!.startLsn }, bytes);
    expect(positions.map(formatLsn)).toEqual(dumped.map(({ lsn }) => lsn));
    expect(timesOf(eventsOf(all, 'commit'))).toEqual(dumpedTimes(dumped, /^COMMIT/));
    expect(timesOf(eventsOf(all, 'abort'))).toEqual(dumpedTimes(dumped, /^ABORT/));
    expect(
      eventsOf(all, 'checkpoint').map(({ lsn, redoLsn, timeline, previousTimeline, nextXid }) =>
        [formatLsn(lsn), formatLsn(redoLsn), timeline, previousTimeline, nextXid & 0xffff_ffffn].map(String),
      ),
    ).toEqual(dumpedCheckpoints(dumped));
    expect(eventsOf(all, 'restore-point').map(({ lsn, name }) => [formatLsn(lsn), `RESTORE_POINT ${name}`])).toEqual(
      dumped
        .filter(({ description }) => description.startsWith('RESTORE_POINT'))
        .map(({ lsn, description }) => [lsn, description]),
    );
  });
});

function timesOf(events: readonly { readonly lsn: Lsn; readonly unixMicros: number }[]): string[] {
  return events.map(({ lsn, unixMicros }) => {
    const time = formatUnixMicros(unixMicros).replace('T', ' ').replace('Z', '');
    return `${formatLsn(lsn)} ${time}`;
  });
}

function dumpedTimes(dumped: readonly DumpedRecord[], kind: RegExp): string[] {
  return dumped
    .filter(({ resourceManager, description }) => resourceManager === 'Transaction' && kind.test(description))
    .map(({ lsn, description }) => `${lsn} ${/\d{4}-\d\d-\d\d [\d:.]+/.exec(description)?.[0]}`);
}

function dumpedCheckpoints(dumped: readonly DumpedRecord[]): string[][] {
  const checkpoint = /^CHECKPOINT_(?:SHUTDOWN|ONLINE) redo (\S+); tli (\d+); prev tli (\d+); .*?xid \d+:(\d+)/;
  return dumped.flatMap(({ lsn, description }) => {
    const match = checkpoint.exec(description);
    return match ? [[lsn, ...match.slice(1)]] : [];
  });
}

test.runIf(installed.length > 0)('records cross segments of 1 MiB, and segments may have 64 MiB', async () => {
  for (const segmentMebibytes of [1, 64]) {
    await using lab = await startWalServer({ binDir: installed.at(-1)!.binDir, segmentMebibytes });
    await lab.query(
      "select pg_logical_emit_message(false, 'big', repeat('x', 2500000))",
      'create table t as select g, repeat(md5(g::text), 20) from generate_series(1, 3000) g',
    );
    await lab.server.stop();
    const segments = await readSegments(lab.server, segmentMebibytes);
    const bytes = Buffer.concat(segments.map((segment) => segment.bytes));
    const origin = { lsn: segments[0]!.startLsn };
    const { reader } = readEvents(origin, bytes);
    const segmentBytes = segmentMebibytes * 1024 * 1024;
    expect(reader.identity?.segmentSizeBytes).toBe(segmentBytes);
    const positions = recordPositions(origin, bytes);
    expect(positions).toHaveLength(reader.recordCount);
    expect(reader.nextLsn - origin.lsn).toBeGreaterThan(2_500_000n);
    const dumped = await dumpRecords(lab.server, segments);
    if (dumped) expect(positions.map(formatLsn)).toEqual(dumped.map(({ lsn }) => lsn));

    // Alone, a segment is read from its first whole record on.
    for (const { startLsn, bytes: content } of segments) {
      const first = positions.find((lsn) => lsn >= startLsn && lsn < startLsn + BigInt(segmentBytes));
      expect(readEvents({ lsn: startLsn }, content).reader.firstRecordLsn).toBe(first);
    }
  }
});

test.runIf(installed.length > 0)('positions may have all their 64 bits', async ({ skip }) => {
  const { binDir } = installed.find(({ origin }) => origin === 'system') ?? installed[0]!;
  await using lab = await startWalServer({ binDir, segmentMebibytes: 1 });
  await lab.server.stop();
  const start = '0000000178ABCDEF00000FFE';
  if (!(await moveWal(lab.server, start))) return skip('no pg_resetwal among the programs of this server');
  await lab.server.start();
  await lab.query(
    "select pg_logical_emit_message(false, 'big', repeat('x', 2100000))",
    "select pg_create_restore_point('far')",
  );
  await lab.server.stop();
  const segments = (await readSegments(lab.server, 1)).filter(({ name }) => name >= start);
  const bytes = Buffer.concat(segments.map((segment) => segment.bytes));
  const { reader, events } = readEvents({ lsn: segments[0]!.startLsn }, bytes);
  expect(formatLsn(segments[0]!.startLsn)).toBe('78ABCDEF/FFE00000');
  expect(reader.end?.reason).toBe('zeros');
  expect(formatLsn(onlyEvent(events, 'restore-point').lsn)).toMatch(/^78ABCDF0\//);
  const dumped = await dumpRecords(lab.server, segments);
  const positions = recordPositions({ lsn: segments[0]!.startLsn }, bytes);
  if (dumped) expect(positions.map(formatLsn)).toEqual(dumped.map(({ lsn }) => lsn));
});
