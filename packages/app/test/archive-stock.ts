// What a real server has archived, kept to be handed over file by file: one history, another one of a server that was set back, and
// the timeline after a promotion.

import { execFile } from 'node:child_process';
import { chown, cp, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { vi } from 'vitest';
import { startArchiving } from './archive-fixture.ts';
import { query } from './capture-fixture.ts';

const run = promisify(execFile);

export interface ArchiveStock extends AsyncDisposable {
  /** Segments 1 to 8 of timeline 1 at least. */
  readonly first: string;
  /** Of the same server, set back to where it had written about four segments. */
  readonly setBack: string;
  /** `first`'s way on to timeline 2: the history, the partial segment and two segments. */
  readonly promoted: string;
}

/** Takes some seconds. */
export async function makeArchiveStock(binDir: string): Promise<ArchiveStock> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-stock-'));
  await using lab = await startArchiving({ binDir });
  const { server, archive } = lab;
  const write = async (segments: number): Promise<void> => {
    for (let n = 0; n < segments; n++) {
      await query(server, 'insert into notes select repeat(md5(random()::text), 30) from generate_series(1, 100)');
      await query(server, 'select pg_switch_wal()');
    }
  };
  const waitFor = (sql: string): Promise<boolean> =>
    vi.waitUntil(async () => (await query(server, sql)) === 't', { timeout: 20_000, interval: 50 });
  const settle = async (): Promise<void> => {
    await waitFor(`select count(*) = 0 from pg_ls_archive_statusdir() where name like '%.ready'`);
  };
  /** What is in the archive goes into the stock. */
  const keep = async (name: string): Promise<string> => {
    const path = join(folder, name);
    await mkdir(path);
    for (const file of await readdir(archive)) {
      await cp(join(archive, file), join(path, file));
      await rm(join(archive, file));
    }
    return path;
  };
  await query(server, 'create table notes (note text)');
  await write(4);
  await settle();
  await server.stop();
  const copy = join(folder, 'data');
  await run('cp', ['-a', server.dataDir, copy]);
  await server.start();
  await write(5);
  await settle();
  const promoteFrom = async (): Promise<void> => {
    await server.stop();
    const { uid, gid } = await stat(server.dataDir);
    await writeFile(join(server.dataDir, 'standby.signal'), '');
    await chown(join(server.dataDir, 'standby.signal'), uid, gid);
    await server.start();
    await query(server, 'select pg_promote()');
    await waitFor('select not pg_is_in_recovery()');
  };
  const stopped = async (): Promise<void> => {
    await server.stop();
    await server.start();
    await settle();
  };
  await stopped();
  const first = await keep('first');
  await promoteFrom();
  await write(2);
  await settle();
  const promoted = await keep('promoted');
  await server.stop();
  await rm(server.dataDir, { recursive: true });
  await run('cp', ['-a', copy, server.dataDir]);
  await server.start();
  await write(6);
  await settle();
  const setBack = await keep('set-back');
  return {
    first,
    setBack,
    promoted,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
