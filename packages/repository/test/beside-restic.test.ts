// restic and Varve at the same time on one repository: restic backs up again and again while Varve backs up, forgets and prunes.
// Their files have the same contents now and then, so that a backup wants to use what a prune is about to remove.

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAppError } from '@varve/base';
import { backupPaths, checkRepository, lockRepository, openRepository, runPrune } from '@varve/repository';
import { quickTemporaryFolder } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { resticLockTimes } from '../src/lock/repository-lock.ts';
import { noise } from './odd-tree.ts';
import { password } from './prune-lab.ts';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';
import { seededRandom } from './seeded-random.ts';
import { find, linesOfFolder } from './snapshot-contents.ts';

const missing = resticMissing();
const seed = Number(process.env['VARVE_SEED'] ?? randomBytes(4).readUInt32LE());
/** Backups that Varve has to make. */
const rounds = Number(process.env['VARVE_ROUNDS'] ?? 8);

/** Waits for restic, and looks often whether it has made way. */
const patient = { waitMs: 60_000, times: { ...resticLockTimes, retryMs: 5, maxRetryMs: 20 } };

interface Saved {
  readonly id: string;
  readonly lines: readonly string[];
}

/** A folder of its own whose files change; of six contents, the same for all. */
class Source {
  readonly home: string;
  readonly #random: (below: number) => number;

  constructor(home: string, random: (below: number) => number) {
    this.home = home;
    this.#random = random;
    mkdirSync(join(home, 'source'), { recursive: true });
  }

  change(): void {
    for (let file = 0; file < 4; file++) {
      if (this.#random(2) === 0) continue;
      writeFileSync(join(this.home, 'source', `${file}`), noise(50_000 + file, `content ${this.#random(6)}`));
    }
  }
}

describe.skipIf(missing !== null)(`beside restic (${missing ?? 'restic is there'})`, () => {
  test(`prunes take nothing from backups [seed ${seed}]`, { timeout: 60_000 + rounds * 10_000 }, async () => {
    await using folder = await ScratchFolder.create(quickTemporaryFolder());
    await folder.createRepository();
    const saved: Saved[] = [];
    const forgotten = new Set<string>();
    const prunes = { done: 0, packs: 0 };
    const end = new AbortController();

    const restic = async (): Promise<void> => {
      const source = new Source(join(folder.path, 'theirs'), seededRandom(seed));
      while (!end.signal.aborted) {
        source.change();
        const args = ['backup', '--json', '--host', 'theirs', 'source'];
        const output = await folder.restic(args, { cwd: source.home }).catch((error: unknown) => {
          if (!String(error).includes('locked')) throw error;
          return null;
        });
        const id = output === null ? undefined : /"snapshot_id":"([0-9a-f]+)"/.exec(output)?.[1];
        if (id !== undefined) saved.push({ id, lines: linesOfFolder(source.home) });
      }
    };
    const varve = async (): Promise<void> => {
      const source = new Source(join(folder.path, 'ours'), seededRandom(seed + 1));
      const repository = await openRepository({ storage: folder.storage(), password });
      for (let round = 0; round < rounds; round++) {
        source.change();
        const paths = { paths: ['source'], cwd: source.home, hostname: 'ours', workers: 1, packSizeBytes: 80_000 };
        const { snapshot } = await backupPaths(repository, { ...paths, lockWaitMs: 60_000 });
        saved.push({ id: snapshot.id, lines: linesOfFolder(source.home) });
        {
          await using lock = await lockRepository(repository, { ...patient, exclusive: true });
          const gone = (await repository.listSnapshots()).slice(0, -3).map(({ id }) => id);
          for (const id of gone) forgotten.add(id);
          await repository.removeSnapshots(gone, { signal: lock.signal });
        }
        const { packsRemoved } = await runPrune(repository, {
          lock: patient,
          maxUnused: { bytes: 0 },
        }).catch((error: unknown) => {
          // Nothing of it is done when backups leave no gap.
          if (!isAppError(error, 'REPOSITORY_LOCKED')) throw error;
          return { packsRemoved: -1 };
        });
        if (packsRemoved >= 0) prunes.done++;
        prunes.packs += Math.max(0, packsRemoved);
      }
    };
    await Promise.all([restic(), varve().finally(() => end.abort())]);

    const repository = await openRepository({ storage: folder.storage(), password });
    expect((await checkRepository(repository, { readData: true, workers: 0 })).errors).toEqual([]);
    const found = await find(repository);
    for (const { id, lines } of saved) {
      const isForgotten = [...forgotten].some((name) => name.startsWith(id));
      const snapshots = found.filter(({ snapshot }) => snapshot.id.startsWith(id));
      expect(snapshots.map((one) => one.lines)).toEqual(isForgotten ? [] : [lines]);
    }
    expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
    expect(prunes.packs).toBeGreaterThan(0);
    expect(saved.length).toBeGreaterThan(rounds);
  });
});
