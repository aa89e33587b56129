// SIGKILL at random moments of a process that backs up, forgets and prunes: whatever the moment, what it said it had saved is
// there and whole, and the next process goes on without help. VARVE_KILLS sets how many (5 unless set; 50 by hand), VARVE_SEED
// repeats the moments.

import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { checkRepository, openRepository } from '@varve/repository';
import { quickTemporaryFolder } from '@varve/testing';
import { expect, test } from 'vitest';
import type { Report } from './kill-worker.ts';
import { password } from './prune-lab.ts';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';
import { seededRandom } from './seeded-random.ts';
import { find } from './snapshot-contents.ts';

const kills = Number(process.env['VARVE_KILLS'] ?? 5);
const seed = Number(process.env['VARVE_SEED'] ?? randomBytes(4).readUInt32LE());
const worker = join(import.meta.dirname, 'kill-worker.ts');
/** From the first report of a process; a round of backup, forget and prune takes about half a second. */
const mostMs = 2_000;

test(
  `a process killed ${kills} times loses nothing that it said it had saved [seed ${seed}]`,
  { timeout: 60_000 + kills * 20_000 },
  async () => {
    const random = seededRandom(seed);
    await using folder = await ScratchFolder.create(quickTemporaryFolder());
    await folder.createRepository();
    const home = join(folder.path, 'home');
    mkdirSync(home);
    const saved = new Map<string, readonly string[]>();
    const doomed = new Set<string>();
    let pruned = 0;

    /** Runs the worker until it is killed or, with `rounds`, has ended; yields how it ended. */
    const run = async (number: number, { rounds = 0, delayMs = 0 }): Promise<unknown> => {
      const child = fork(worker, [], {
        env: {
          ...process.env,
          REPOSITORY: folder.repo,
          HOME_FOLDER: home,
          RUN: String(number),
          ROUNDS: String(rounds),
        },
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      });
      const ended = once(child, 'exit');
      let timer: NodeJS.Timeout | undefined;
      if (child.stdout) {
        for await (const line of createInterface({ input: child.stdout })) {
          if (rounds === 0) timer ??= setTimeout(() => child.kill('SIGKILL'), delayMs);
          // A line may be cut by the kill: then nothing that it announces has happened.
          const report = parseReport(line);
          if (!report) continue;
          if ('saved' in report) saved.set(report.saved, report.lines);
          if ('forgets' in report) for (const id of report.forgets) doomed.add(id);
          if ('pruned' in report) pruned += report.pruned;
        }
      }
      clearTimeout(timer);
      return (await ended)[1] ?? (await ended)[0];
    };

    const expectWhole = async (moment: string): Promise<void> => {
      const repository = await openRepository({ storage: folder.storage(), password });
      expect((await checkRepository(repository, { readData: true, workers: 0 })).errors, moment).toEqual([]);
      const found = new Map((await find(repository)).map(({ snapshot, lines }) => [snapshot.id, lines]));
      for (const [id, lines] of saved) {
        if (found.has(id) || !doomed.has(id)) expect(found.get(id), moment).toEqual(lines);
      }
    };

    for (let kill = 0; kill < kills; kill++) {
      const delayMs = random(mostMs);
      const moment = `kill ${kill} after ${delayMs} ms`;
      expect(await run(kill, { delayMs }), moment).toBe('SIGKILL');
      await expectWhole(moment);
    }
    expect(await run(kills, { rounds: 2 })).toBe(0);
    await expectWhole('a run that nobody killed');
    expect(saved.size).toBeGreaterThan(kills);
    expect(pruned).toBeGreaterThan(0);
    expect(readdirSync(join(folder.repo, 'locks')).filter((name) => name.length === 64)).toEqual([]);
    if (resticMissing() === null)
      expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
  },
);

function parseReport(line: string): Report | null {
  try {
    return JSON.parse(line) as Report;
  } catch {
    return null;
  }
}
