// Recovery to a point in time of a database in a container: into a sandbox beside the app, into a folder, and in place.

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import type { App, RecoveryRequestInput } from '@varve/contract';
import { connectDocker } from '@varve/docker';
import { connectPostgres, parseLsn } from '@varve/postgres';
import { dockerLab, startBusinessApp, suiteName, type BusinessApp } from '@varve/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { discoverApps } from '../src/discovery/discover-apps.ts';
import { planRecovery } from '../src/recovery/plan-recovery.ts';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { runRecovery, type RecoveredDatabase } from '../src/recovery/run-recovery.ts';
import { promoteSandbox, removeSandbox } from '../src/recovery/sandboxes.ts';
import { archiveWal, request } from './recovery-lab.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';

const lab = await dockerLab();
afterAll(() => lab[Symbol.asyncDispose]());
const timeout = 300_000;

async function appOf(fixture: RunFixture, business: BusinessApp): Promise<App> {
  const docker = await connectDocker({ host: lab.host });
  const found = (await discoverApps({ docker, apps: [] })).find(({ name }) => name === business.project);
  if (found === undefined) throw new Error(`${business.project} was not discovered`);
  const components = found.components.map((component) =>
    component.kind === 'database' ? { ...component, method: 'base' as const, wal: true } : component,
  );
  return fixture.app(components, { origin: found.origin });
}

const databaseOf = (app: App): string => app.components.find(({ kind }) => kind === 'database')?.name ?? '';

const volumePath = (business: BusinessApp): Promise<string> =>
  lab.docker('volume', 'inspect', '--format', '{{.Mountpoint}}', `${business.project}_db-data`);

/** A base backup over the network of the containers. */
async function takeBase(fixture: RunFixture, app: App, business: BusinessApp): Promise<void> {
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  const address = (await lab.docker('inspect', '--format', format, await business.containerId('db'))).trim();
  const { user, password, name } = business.database;
  fixture.secrets.set('url', new Secret(`postgresql://${user}:${password}@${address}:5432/${name}`));
  const components = app.components.flatMap((component) =>
    component.kind === 'database'
      ? [{ ...component, source: { type: 'url' as const, urlSecret: 'url', display: 'the container' } }]
      : [],
  );
  await fixture.snapshot({ ...app, components });
}

async function archive(fixture: RunFixture, app: App, business: BusinessApp): Promise<void> {
  const facts = await business.sql(
    "SELECT system_identifier, current_setting('server_version'), pg_current_wal_flush_lsn() FROM pg_control_system()",
  );
  const [systemId = '', version = '', lsn = ''] = facts.trim().split('|');
  await archiveWal({
    fixture,
    app,
    component: databaseOf(app),
    folder: join(await volumePath(business), 'pg_wal'),
    segmentBytes: 16 * 1024 ** 2,
    systemId,
    version,
    flushLsn: parseLsn(lsn),
    without: [],
  });
}

interface Recovering {
  readonly fixture: RunFixture;
  readonly app: App;
  readonly records: RecoveryRecords;
}

async function recover({ fixture, app, records }: Recovering, input: RecoveryRequestInput): Promise<RecoveredDatabase> {
  const wanted = request(input);
  const { fingerprint } = await planRecovery(fixture.context(), { app, request: wanted });
  return runRecovery(fixture.context(), {
    app,
    request: wanted,
    fingerprint,
    records,
    takeSafetySnapshot: async () => ({ snapshotId: (await fixture.snapshot(app, 'pre-restore')).snapshot.id }),
  });
}

async function inSandbox(recovered: RecoveredDatabase, sql: string): Promise<string> {
  const { connection } = recovered.sandbox ?? {};
  await using session = await connectPostgres({
    host: 'localhost',
    port: 5432,
    socketPath: connection?.socketFolder ?? '',
    user: connection?.user ?? '',
    database: 'shop',
    tls: 'disable',
  });
  return ((await session.query(sql)).at(-1)?.rows ?? []).map((row) => row.join('|')).join('\n');
}

/** Time of the server, after which nothing was changed for a moment. */
const momentOf = async (business: BusinessApp): Promise<string> =>
  (
    await business.sql(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'); SELECT pg_sleep(0.3)`,
    )
  )
    .split('\n')[0]
    ?.trim() ?? '';

const count = (business: BusinessApp): Promise<string> => business.sql('SELECT count(*) FROM orders');

describe.skipIf(!lab.available)(suiteName('recovery of a database in a container', lab), () => {
  test('into a sandbox beside the app, then in place', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab, { orders: 300, documents: 2 });
    const app = await appOf(fixture, business);
    const records = new RecoveryRecords(join(fixture.folder, 'recoveries'));
    const recovering = { fixture, app, records };
    await takeBase(fixture, app, business);
    await business.sql("INSERT INTO orders (customer, amount) SELECT 'new', n FROM generate_series(1, 50) n");
    const moment = await momentOf(business);
    await business.sql('DELETE FROM orders WHERE id <= 200');
    await archive(fixture, app, business);
    const target = { type: 'time', time: moment } as const;

    const sandbox = await recover(recovering, { target, destination: { type: 'sandbox' }, whenReached: 'pause' });
    expect(sandbox.sandbox).toMatchObject({ state: 'paused', container: expect.stringMatching(/^varve-recovery-/) });
    expect(await inSandbox(sandbox, 'SELECT count(*) FROM orders')).toBe('350');
    expect(await count(business)).toBe('150');
    const { id = '', container = '', volume = '' } = sandbox.sandbox ?? {};
    expect(await lab.docker('inspect', '--format', '{{.HostConfig.NetworkMode}}', container ?? '')).toBe('none');
    const context = fixture.context();
    expect(await promoteSandbox(records, id, context)).toMatchObject({ state: 'running' });
    await inSandbox(sandbox, 'DELETE FROM orders WHERE id <= 5');
    await removeSandbox(records, id, { docker: context.docker, isActiveRun: async () => false });
    expect(await lab.docker('ps', '-aq', '--filter', `name=${container}`)).toBe('');
    expect(await lab.docker('volume', 'ls', '-q', '--filter', `name=${volume}`)).toBe('');

    const before = await stat(await volumePath(business));
    await recover(recovering, { target, destination: { type: 'in-place' }, safetySnapshot: false });
    expect(await count(business)).toBe('350');
    const after = await stat(await volumePath(business));
    expect([after.uid, after.gid, after.mode]).toEqual([before.uid, before.gid, before.mode]);
    expect((await readdir(await volumePath(business))).filter((name) => /varve|signal/.test(name))).toEqual([]);
    expect(await lab.docker('inspect', '--format', '{{.State.Status}}', await business.containerId('web'))).toBe(
      'running',
    );
    expect(fixture.journal.size).toBe(0);
    expect(await records.list()).toEqual([]);
  });
});
