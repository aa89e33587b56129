// SIGKILL at random moments of snapshots and restores: the repository stays sound, the app runs again, the next
// snapshot works.
// VARVE_KILLS sets how often, VARVE_SEED which moments.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { newAppSchema, newSnapshotSchema } from '@varve/contract';
import { expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { temporaryFolder } from './engine-fixture.ts';

const kills = Number(process.env['VARVE_KILLS'] ?? '4');
const seed = Number(process.env['VARVE_SEED'] ?? String(Date.now() % 100_000));

/** Numbers in [0,1) that depend on the seed only: mulberry32. */
function randomNumbers(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function resticCheck(kit: { readonly location: string; readonly password: string }): void {
  try {
    execFileSync('restic', ['version']);
  } catch {
    return;
  }
  execFileSync('restic', ['-r', kit.location, 'check', '--read-data'], {
    env: { ...process.env, RESTIC_PASSWORD: kit.password },
  });
}

test(
  `${kills} kills at random moments of snapshots and restores (seed ${seed}) leave the repository sound and the app running`,
  {
    timeout: kills * 20_000,
  },
  async () => {
    const random = randomNumbers(seed);
    await using folder = await temporaryFolder();
    const dataDirectory = join(folder.path, 'data');
    const files = join(folder.path, 'files');
    const stopped = join(folder.path, 'stopped');
    await mkdir(files);
    for (let number = 0; number < 200; number++)
      await writeFile(join(files, `file-${number}`), Buffer.alloc(20_000, number));
    const open = () => openVarve({ dataDirectory, dockerHost: `unix://${folder.path}/no.sock` });
    {
      await using varve = await open();
      await varve.addApp(
        newAppSchema.parse({
          type: 'host',
          id: 'shop',
          folders: [files],
          stopCommand: ['touch', stopped],
          startCommand: ['rm', '-f', stopped],
        }),
      );
    }
    let interrupted = 0;
    let killedWhileStopped = 0;
    for (let kill = 0; kill < kills; kill++) {
      const program = join(import.meta.dirname, 'processes', 'snapshot-and-restore.ts');
      const child = spawn(process.execPath, [program, dataDirectory, 'shop', files], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await wait(random() * 5000);
      child.kill('SIGKILL');
      await once(child, 'exit');
      if (existsSync(stopped)) killedWhileStopped++;

      await using varve = await open();
      expect(existsSync(stopped)).toBe(false);
      const [last] = await varve.listJobs({ appId: 'shop', limit: 1 });
      if (last?.error?.code === 'JOB_INTERRUPTED') interrupted++;
      expect((await varve.getApp('shop')).protection.runningJobId).toBeNull();
      resticCheck(await varve.recoveryKit());
    }
    await using varve = await open();
    const check = await varve.startCheck({ readData: true }, 'test');
    expect((await varve.waitForJob(check.id)).state).toBe('succeeded');
    const next = await varve.startSnapshot('shop', newSnapshotSchema.parse({}), 'test');
    expect((await varve.waitForJob(next.id)).state).toBe('succeeded');
    const listed = (await varve.listSnapshots('shop')).length;
    expect(await varve.rebuildCatalogue()).toEqual({ apps: 0, snapshots: listed });
    expect
      .soft(
        interrupted + killedWhileStopped,
        `${interrupted} of ${kills} kills hit a running job, ${killedWhileStopped} while the app was stopped`,
      )
      .toBeGreaterThan(0);
  },
);
