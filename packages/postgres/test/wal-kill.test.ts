// A receiver that is killed at any moment: what it leaves is enough to go on without a hole, and what the server was told to forget
// is in the folder.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { sleep } from '@varve/base';
import { describe, expect, test } from 'vitest';
import { createPhysicalSlot, readSlot, WalSpool } from '../src/index.ts';
import {
  expectSamePartial,
  expectSameSegments,
  installedServers,
  keepLoading,
  spoolFolder,
  startCapture,
  startWalServer,
} from './wal-server.ts';

const script = fileURLToPath(new URL('processes/receive.ts', import.meta.url));
const binDir = installedServers.at(-1)?.binDir ?? '';
const rounds = Number(process.env['VARVE_TEST_KILLS'] ?? 8);

describe.skipIf(binDir === '')('a receiver that is killed', () => {
  test(
    `leaves no hole after ${rounds} kills under load, and nothing acknowledged is missing`,
    async () => {
      // All of its log is compared at the end.
      await using server = await startWalServer({ binDir, settings: { wal_keep_size: '1TB' } });
      const folder = spoolFolder(server);
      const { port, user, password } = server.location;
      await using connection = await server.replication();
      const made = await createPhysicalSlot(connection, 'killed');
      let acknowledgedRounds = 0;
      const load = keepLoading(server);
      for (let round = 0; round < rounds; round++) {
        const child = spawn(process.execPath, [script, String(port), user, folder, 'killed'], {
          env: { ...process.env, PGPASSWORD: password?.reveal() ?? '' },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await once(child.stdout, 'data');
        await sleep(Math.random() * 1500);
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        expect(await ended).toEqual([null, 'SIGKILL']);
        const acknowledged = (await readSlot(connection, 'killed'))?.restartLsn;
        const spool = await WalSpool.open({ folder });
        const end = await spool.end();
        await spool.close();
        if (acknowledged === made.restartLsn || acknowledged === undefined) continue;
        acknowledgedRounds++;
        expect(end?.lsn).toBeGreaterThanOrEqual(acknowledged);
      }
      await load[Symbol.asyncDispose]();
      expect(acknowledgedRounds).toBeGreaterThan(0);
      await using capture = await startCapture({ folder, location: () => server.location, slot: 'killed' });
      await capture.reach(await server.position());
      expect((await expectSameSegments(folder, server)).length).toBeGreaterThan(3);
      await expectSamePartial(capture, server);
      expect(capture.events.filter(({ kind }) => kind === 'gap')).toEqual([]);
    },
    60_000 + rounds * 8_000,
  );
});
