// SIGKILL at random moments of a snapshot that stops containers: whatever the moment, restic finds the repository in order,
// and the next start of Varve has every container running again. VARVE_KILLS sets how many (5 unless set; 50 by hand),
// VARVE_SEED repeats a run.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  dockerLab,
  expectResticCheck,
  resticAvailable,
  startBusinessApp,
  suiteName,
  type BusinessApp,
} from '@varve/testing';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const launcher = fileURLToPath(new URL('../../../varve', import.meta.url));
const kills = Number(process.env['VARVE_KILLS'] ?? 5);
const seed = Number(process.env['VARVE_SEED'] ?? randomBytes(4).readUInt32LE(0));

const lab = await dockerLab();
const hasRestic = (await resticAvailable()) !== undefined;

/** Mulberry32: small, and the same moments for the same seed. */
function randomFrom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe.skipIf(!lab.available || !hasRestic)(suiteName('a snapshot that is killed', lab), () => {
  let app: BusinessApp;
  let data: string;
  const env = (): Record<string, string> => ({ VARVE_DATA: data, DOCKER_HOST: lab.host });
  const varve = async (...parameters: string[]): Promise<unknown> => {
    const { stdout } = await execa(launcher, [...parameters, '--json'], { env: env() });
    return JSON.parse(stdout.split('\n').at(-1) ?? 'null') as unknown;
  };
  const restic = async (): Promise<{ repo: string; password: string }> => {
    const kit = (await varve('recovery-kit')) as { location: string; password: string };
    return { repo: kit.location, password: kit.password };
  };
  const stateOf = async (service: 'db' | 'web'): Promise<string> =>
    lab.docker('inspect', '--format', '{{.State.Running}} {{.State.Paused}}', await app.containerId(service));
  const addFiles = async (): Promise<void> => {
    const script = 'dd if=/dev/urandom of=/var/lib/app/files/noise bs=1M count=40 2>/dev/null';
    await lab.docker('exec', await app.containerId('web'), 'sh', '-c', script);
  };

  beforeAll(async () => {
    app = await startBusinessApp(lab, { orders: 20_000 });
    data = await mkdtemp(join(tmpdir(), 'varve-kill-'));
    await varve('app', 'add', app.project, '--id', 'shop');
    await varve('app', 'policy', 'shop', '--consistency', 'stop');
  }, 180_000);

  afterAll(async () => {
    await app?.[Symbol.asyncDispose]();
    if (data) await rm(data, { recursive: true, force: true });
    await lab[Symbol.asyncDispose]();
  }, 120_000);

  test(
    `${kills} times leaves the repository whole and no container stopped after the next start [seed ${seed}]`,
    { timeout: 120_000 + kills * 40_000 },
    async () => {
      const random = randomFrom(seed);
      await addFiles();
      const startedAt = performance.now();
      await varve('snapshot', 'shop');
      const wholeMs = performance.now() - startedAt;
      const repository = await restic();
      let completed = 0;
      for (let kill = 0; kill < kills; kill++) {
        await addFiles();
        const delayMs = random() * wholeMs;
        const child = execa(launcher, ['snapshot', 'shop', '--json'], { env: env(), reject: false });
        const timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
        const result = await child;
        clearTimeout(timer);
        if (result.exitCode === 0) completed++;
        const moment = `kill ${kill} after ${delayMs.toFixed(0)} ms`;
        const jobs = (await varve('jobs')) as readonly { state: string }[];
        expect(
          jobs.filter(({ state }) => state === 'running' || state === 'queued'),
          moment,
        ).toEqual([]);
        expect([await stateOf('db'), await stateOf('web')], moment).toEqual(['true false', 'true false']);
        await expectResticCheck(repository);
      }
      expect(completed, 'snapshots that ended before their kill').toBeLessThan(kills);
      await varve('snapshot', 'shop');
      await expectResticCheck(repository, { readData: true });
    },
  );
});
