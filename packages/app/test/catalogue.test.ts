import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { sql } from 'kysely';
import { openCatalogue } from '../src/catalogue/catalogue.ts';
import { schemaVersion } from '../src/catalogue/migrations.ts';
import { AppStore } from '../src/apps/app-store.ts';
import { exampleApp, exampleSnapshot, repositoryId, startEngine, temporaryFolder } from './engine-fixture.ts';

describe('the catalogue', () => {
  test('is made private, in WAL mode, with full synchronisation and foreign keys', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'catalogue.sqlite');
    await using catalogue = openCatalogue(path);
    expect(catalogue.isNew).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const pragma = async (name: string): Promise<unknown> =>
      Object.values(
        (await sql.raw<Record<string, unknown>>(`PRAGMA ${name}`).execute(catalogue.queries)).rows[0] ?? {},
      )[0];
    expect(await pragma('journal_mode')).toBe('wal');
    expect(await pragma('synchronous')).toBe(2);
    expect(await pragma('foreign_keys')).toBe(1);
    expect(await pragma('user_version')).toBe(schemaVersion);
    expect(await catalogue.check()).toEqual([]);
    for (const suffix of ['-wal', '-shm']) expect((await stat(path + suffix)).mode & 0o077).toBe(0);
  });

  test('keeps what it holds when it is opened again', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'catalogue.sqlite');
    {
      await using first = openCatalogue(path);
      await first.queries.insertInto('settings').values({ key: 'a', value_json: '1' }).execute();
    }
    await using second = openCatalogue(path);
    expect(second.isNew).toBe(false);
    expect(await second.queries.selectFrom('settings').selectAll().execute()).toEqual([{ key: 'a', value_json: '1' }]);
  });

  test('of a newer Varve is refused and left as it is', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'catalogue.sqlite');
    await openCatalogue(path)[Symbol.asyncDispose]();
    const database = new DatabaseSync(path);
    database.exec(`PRAGMA user_version = ${schemaVersion + 1}`);
    database.close();
    const before = await readFile(path);
    expect(() => openCatalogue(path)).toThrow(
      expect.objectContaining({ code: 'CATALOGUE_UNUSABLE', message: expect.stringContaining('newer Varve') }),
    );
    expect(await readFile(path)).toEqual(before);
  });

  test('that belongs to another program is refused', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'catalogue.sqlite');
    const database = new DatabaseSync(path);
    database.exec('PRAGMA application_id = 7; CREATE TABLE theirs (a)');
    database.close();
    expect(() => openCatalogue(path)).toThrow(expect.objectContaining({ code: 'CATALOGUE_UNUSABLE' }));
  });

  test('that is not SQLite says how to go on', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'catalogue.sqlite');
    await writeFile(path, 'x'.repeat(10_000));
    expect(() => openCatalogue(path)).toThrow(
      expect.objectContaining({ code: 'CATALOGUE_UNUSABLE', hint: expect.stringContaining('aside') }),
    );
  });

  test('with a page overwritten is reported as damaged', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'catalogue.sqlite');
    {
      await using catalogue = openCatalogue(path);
      await sql`PRAGMA wal_checkpoint(TRUNCATE)`.execute(catalogue.queries);
    }
    const bytes = await readFile(path);
    bytes.fill(0xff, 4096, 3 * 4096);
    await writeFile(path, bytes);
    const problems = async (): Promise<string[]> => {
      await using catalogue = openCatalogue(path);
      return await catalogue.check();
    };
    const outcome = await problems().catch((error: unknown) => error);
    if (Array.isArray(outcome)) expect(outcome).not.toEqual([]);
    else expect(outcome).toMatchObject({ code: 'CATALOGUE_UNUSABLE' });
  });

  test('rolls back a transaction that throws, and goes on', async () => {
    await using engine = await startEngine();
    await expect(
      engine.catalogue.write(async (queries) => {
        await queries.insertInto('settings').values({ key: 'a', value_json: '1' }).execute();
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await engine.catalogue.queries.selectFrom('settings').selectAll().execute()).toEqual([]);
  });

  test('takes writes of several processes at once without losing one', async () => {
    await using engine = await startEngine();
    const program = join(import.meta.dirname, 'processes', 'count-up.ts');
    const children = [1, 2, 3].map((number) =>
      spawn(process.execPath, [program, join(engine.path, 'catalogue.sqlite'), String(number), '100'], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as number));
    expect(codes).toEqual([0, 0, 0]);
    const counter = await engine.catalogue.queries
      .selectFrom('settings')
      .select('value_json')
      .where('key', '=', 'counter')
      .executeTakeFirst();
    expect(counter?.value_json).toBe('300');
  });
});

describe('apps and snapshots in the catalogue', () => {
  test('an id is given once, and removing an app keeps its snapshots', async () => {
    await using engine = await startEngine();
    const apps = new AppStore(engine.catalogue);
    await apps.add(exampleApp('shop'));
    await expect(apps.add(exampleApp('shop'))).rejects.toMatchObject({ code: 'APP_EXISTS' });
    await engine.snapshots.add(repositoryId, [exampleSnapshot(1, { appId: 'shop', time: '2026-01-01T00:00:00Z' })]);
    await apps.remove('shop', engine.clock.now());
    await expect(apps.get('shop')).rejects.toMatchObject({ code: 'APP_NOT_FOUND' });
    await expect(apps.remove('shop', engine.clock.now())).rejects.toMatchObject({ code: 'APP_NOT_FOUND' });
    expect(await engine.snapshots.list('shop')).toHaveLength(1);
  });

  test('a snapshot is found by id, beginning and latest, and times of other zones sort right', async () => {
    await using engine = await startEngine();
    const older = exampleSnapshot(0x11, { appId: 'shop', time: '2026-01-01T12:00:00+05:00' });
    const newer = exampleSnapshot(0x12, { appId: 'shop', time: '2026-01-01T08:00:00.123456789Z' });
    await engine.snapshots.add(repositoryId, [newer, older]);
    expect((await engine.snapshots.list('shop')).map(({ id }) => id)).toEqual([newer.id, older.id]);
    expect(await engine.snapshots.find('shop', 'latest')).toEqual(newer);
    expect(await engine.snapshots.find('shop', older.id)).toEqual(older);
    await expect(engine.snapshots.find('shop', '0000')).rejects.toMatchObject({ code: 'SNAPSHOT_AMBIGUOUS' });
    await expect(engine.snapshots.find('shop', 'ff')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    await expect(engine.snapshots.find('shop', '%')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    await expect(engine.snapshots.find('other', 'latest')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    expect(await engine.snapshots.facts('shop')).toMatchObject({ count: 2, oldestAt: '2026-01-01T07:00:00.000Z' });
  });
});
