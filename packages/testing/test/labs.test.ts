// The labs themselves: an oracle that cannot say no, or a server that outlives its test, would make other tests worthless.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  expectResticCheck,
  findPostgresBinaries,
  resticAvailable,
  runRestic,
  runResticJson,
  startPostgres,
} from '../src/index.ts';

const restic = await resticAvailable();
const binaries = await findPostgresBinaries();

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

const noRestic = restic === undefined ? ' [skipped: restic is not installed]' : '';
describe.skipIf(restic === undefined)(`the restic oracle${noRestic}`, () => {
  test('is content with a good repository and not with a damaged one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'varve-restic-'));
    try {
      const repository = { repo: join(folder, 'repo'), password: 'secret' };
      await writeFile(join(folder, 'file'), 'content');
      await runRestic(repository, ['init']);
      await runRestic(repository, ['backup', 'file'], { cwd: folder });
      await expectResticCheck(repository, { readData: true });
      expect(await runResticJson(repository, ['snapshots'])).toMatchObject([[{ paths: [join(folder, 'file')] }]]);
      const names = await readdir(join(repository.repo, 'data'), { recursive: true });
      const pack = names.find((name) => name.length > 10) ?? '';
      await rm(join(repository.repo, 'data', pack));
      await expect(expectResticCheck(repository)).rejects.toThrow(/restic/);
      const wrong = await runRestic({ ...repository, password: 'wrong' }, ['snapshots'], { allowFailure: true });
      expect(wrong.exitCode).not.toBe(0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

const noPostgres = binaries.length === 0 ? ' [skipped: no server binaries are installed]' : '';
describe.skipIf(binaries.length === 0)(`a throw-away PostgreSQL${noPostgres}`, () => {
  test.each(binaries)(
    'of major $major from $origin answers, stops, starts again and is gone with dispose',
    async ({ binDir, major }) => {
      let port = 0;
      {
        await using server = await startPostgres({ binDir, settings: { wal_level: 'logical' } });
        port = server.port;
        expect(server.major).toBe(major);
        expect(await answers(port)).toBe(true);
        await server.stop('immediate');
        expect(await answers(port)).toBe(false);
        await server.start();
        expect(await answers(port)).toBe(true);
      }
      expect(await answers(port)).toBe(false);
    },
  );
});
