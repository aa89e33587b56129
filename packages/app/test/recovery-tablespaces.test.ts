// Recoveries of a cluster with tablespaces outside of its data folder: into a sandbox, a folder and in place, from base backups
// that were read from the volume and that the server sent. The folders of the original are never written to. VARVE_LONG_TESTS: the oldest major too.

import { chown, mkdir, readdir, readlink, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { App, RecoveryDestination, RecoveryPlan, RecoveryTarget } from '@varve/contract';
import { listTree } from '@varve/repository';
import { findOutermostMajors } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { planRecovery } from '../src/recovery/plan-recovery.ts';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { runRecovery, type RecoveredDatabase } from '../src/recovery/run-recovery.ts';
import { removeSandbox } from '../src/recovery/sandboxes.ts';
import type { TakenSnapshot } from '../src/use-case.ts';
import { checkPages } from '../src/verify/check-pages.ts';
import { connect, inSandbox, recoveryLab, request, type RecoveryLab } from './recovery-lab.ts';

const timeout = 300_000;
const majors = await findOutermostMajors();
const [newest] = majors;
const tested = process.env['VARVE_LONG_TESTS'] === undefined ? majors.slice(0, 1) : majors;

interface Place {
  readonly space: string;
  readonly oid: string;
}

/** A folder beside the data folder with the table `away` in it. */
async function makeTablespace(lab: RecoveryLab, name: string): Promise<Place> {
  const space = join(dirname(lab.server.dataDir), name);
  const { uid, gid } = await stat(lab.server.dataDir);
  await mkdir(space);
  await chown(space, uid, gid);
  await lab.query(`CREATE TABLESPACE ${name} LOCATION '${space}'`);
  await lab.query(`CREATE TABLE away_${name} TABLESPACE ${name} AS SELECT i FROM generate_series(1, 1000) i`);
  return { space, oid: await lab.query(`SELECT oid FROM pg_tablespace WHERE spcname = '${name}'`) };
}

const records = (lab: RecoveryLab): RecoveryRecords => new RecoveryRecords(join(lab.fixture.folder, 'recoveries'));

async function recover(
  lab: RecoveryLab,
  input: { readonly target: RecoveryTarget; readonly destination: RecoveryDestination; readonly app?: App },
): Promise<RecoveredDatabase & { readonly planned: RecoveryPlan }> {
  const { target, destination, app = lab.app } = input;
  const wanted = request({ target, destination, safetySnapshot: false });
  const planned = await planRecovery(lab.fixture.context(), { app, request: wanted });
  const done = await runRecovery(lab.fixture.context(), {
    app,
    request: wanted,
    fingerprint: planned.fingerprint,
    records: records(lab),
    takeSafetySnapshot: () => Promise.reject(new Error('not wanted')),
  });
  return { ...done, planned };
}

/** Name, size and time of change of everything below a folder. */
async function stateOf(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs, ino } = await stat(join(folder, name));
      return `${name} ${ino} ${size} ${mtimeMs}`;
    }),
  );
}

function readBy({ app }: RecoveryLab, readThrough: 'volume' | 'stream'): App {
  const components = app.components.map((one) => (one.kind === 'database' ? { ...one, readThrough } : one));
  return { ...app, components };
}

/** Files below a path of a snapshot. A server sends the folders of tablespaces in its data folder, and sends them empty. */
async function filesIn(lab: RecoveryLab, taken: TakenSnapshot, path: string): Promise<string[]> {
  const paths: string[] = [];
  const { tree } = await lab.fixture.repository.findSnapshot(taken.snapshot.id);
  for await (const one of listTree(lab.fixture.repository, { treeId: tree, path, recursive: true }))
    if (one.node.type !== 'dir') paths.push(one.path);
  return paths;
}

const warningsOf = ({ planned }: { readonly planned: RecoveryPlan }): string[] =>
  planned.warnings.filter(({ code }) => code === 'tablespaces').map(({ message }) => message);

describe.each(tested)('a cluster with tablespaces, PostgreSQL $major', ({ binDir }) => {
  test('is recovered with them inside of the recovered data folder', { timeout }, async () => {
    await using lab = await recoveryLab({ binDir });
    const { space, oid } = await makeTablespace(lab, 'apart');
    await lab.write(3);
    await lab.base();
    await lab.query('INSERT INTO away_apart SELECT 5000');
    await lab.write(3);
    await lab.archive();
    await lab.query('CHECKPOINT');
    const before = await stateOf(space);
    const count = 'SELECT count(*), max(i), (SELECT count(*) FROM ledger) FROM away_apart';

    const boxed = await recover(lab, { target: { type: 'latest' }, destination: { type: 'sandbox' } });
    const folder = boxed.sandbox?.folder ?? '';
    expect(await inSandbox(boxed, count)).toBe('1001|5000|6');
    expect(await readlink(join(folder, 'data/pg_tblspc', oid))).toBe(join(folder, 'data/varve_tablespaces', oid));
    // It takes changes, and makes relations in the tablespace, in its own folder alone.
    await inSandbox(boxed, 'CREATE TABLE more TABLESPACE apart AS SELECT * FROM away_apart; CHECKPOINT');
    expect(warningsOf(boxed)).toEqual([]);
    const context = { docker: lab.fixture.context().docker, isActiveRun: async () => false };
    await removeSandbox(records(lab), boxed.sandbox?.id ?? '', context);
    expect(await stateOf(space)).toEqual(before);

    const target = join(dirname(lab.server.dataDir), 'recovered');
    const made = await recover(lab, { target: { type: 'latest' }, destination: { type: 'folder', path: target } });
    expect(warningsOf(made)).toEqual([expect.stringContaining(space)]);
    expect(await readlink(join(target, 'pg_tblspc', oid))).toBe(join(target, 'varve_tablespaces', oid));
    const { pages, badPages } = await checkPages(target, { signal: new AbortController().signal });
    const away = await stat(join(target, await lab.query("SELECT pg_relation_filepath('away_apart')")));
    expect(badPages).toBe(0);
    await rm(join(target, 'varve_tablespaces'), { recursive: true });
    const without = await checkPages(target, { signal: new AbortController().signal });
    expect(pages - without.pages).toBeGreaterThanOrEqual(away.size / 8192);
    expect(await stateOf(space)).toEqual(before);
  });
});

describe.skipIf(newest === undefined)('a cluster with tablespaces', () => {
  const binDir = newest?.binDir ?? '';

  test(
    'gets them back in place, together with its data folder, and is saved again in both ways',
    { timeout },
    async () => {
      await using lab = await recoveryLab({ binDir });
      const { space, oid } = await makeTablespace(lab, 'apart');
      const session = await connect(lab.server, 'postgres');
      await session.query('SET allow_in_place_tablespaces = on');
      await session.query("CREATE TABLESPACE inside LOCATION ''");
      await session[Symbol.asyncDispose]();
      await lab.query('CREATE TABLE within TABLESPACE inside AS SELECT 7 AS seven');
      const insideOid = await lab.query("SELECT oid FROM pg_tablespace WHERE spcname = 'inside'");
      await lab.write(2);
      await lab.fixture.snapshot(readBy(lab, 'stream'));
      await lab.query('INSERT INTO away_apart SELECT 5000');
      const lsn = await lab.query('SELECT pg_current_wal_insert_lsn()');
      await lab.write(2);
      await lab.query('DROP TABLE away_apart');
      await lab.archive();
      const back = await recover(lab, { target: { type: 'lsn', lsn }, destination: { type: 'in-place' } });
      expect(warningsOf(back)).toEqual([expect.stringMatching(/not used any more and stays/)]);
      const inData = join(lab.server.dataDir, 'varve_tablespaces', oid);
      expect(await lab.query('SELECT count(*), max(i), (SELECT count(*) FROM ledger) FROM away_apart')).toBe(
        '1001|5000|2',
      );
      expect(await lab.query(`SELECT pg_tablespace_location(${oid})`)).toBe(inData);
      expect(await lab.query('SELECT seven FROM within')).toBe('7');
      expect((await readdir(space)).length).toBe(1);

      // The next base backups have the tablespace once, beside the data folder, and lead to a sandbox again.
      for (const readThrough of ['volume', 'stream'] as const) {
        const app = readBy(lab, readThrough);
        const taken = await lab.fixture.snapshot(app);
        expect(taken.problems).toEqual([]);
        const source: RecoveryTarget = { type: 'snapshot', snapshotId: taken.snapshot.id };
        const boxed = await recover(lab, { target: source, destination: { type: 'sandbox' }, app });
        expect(await inSandbox(boxed, 'SELECT count(*), max(i) FROM away_apart')).toBe('1001|5000');
        const folder = boxed.sandbox?.folder ?? '';
        expect((await readdir(join(folder, 'data/varve_tablespaces'))).sort()).toEqual([oid, insideOid].sort());
        expect(await filesIn(lab, taken, '/databases/db/base/varve_tablespaces')).toEqual([]);
        const context = { docker: lab.fixture.context().docker, isActiveRun: async () => false };
        await removeSandbox(records(lab), boxed.sandbox?.id ?? '', context);
      }
    },
  );
});
