// The process of kill.test.ts that is killed: backs up a source that changes, forgets and prunes, again and again, and says on
// stdout, in lines of JSON, what it has saved and what it is about to forget.

import { mkdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { backupPaths, lockRepository, openRepository, runPrune } from '@varve/repository';
import { openStorage } from '@varve/storage';
import { noise } from './odd-tree.ts';
import { password, quick } from './prune-lab.ts';
import { linesOfFolder } from './snapshot-contents.ts';

/** A line of the worker's output. */
export type Report =
  | { readonly saved: string; readonly lines: readonly string[] }
  | { readonly forgets: readonly string[] }
  | { readonly pruned: number };

const { REPOSITORY = '', HOME_FOLDER = '', RUN = '0', ROUNDS } = process.env;
/** Until it is killed, when not said otherwise. */
const rounds = Number(ROUNDS) || Infinity;

// Written at once, so that nothing happens that was not told before.
function tell(report: Report): void {
  writeSync(1, `${JSON.stringify(report)}\n`);
}

const kept = 3;
const repository = await openRepository({ storage: openStorage(REPOSITORY), password });
for (let round = 1; round <= rounds; round++) {
  const changed = join(HOME_FOLDER, 'source', `folder-${round % 3}`);
  rmSync(changed, { recursive: true, force: true });
  mkdirSync(changed, { recursive: true });
  for (let file = 0; file < 12; file++) {
    writeFileSync(join(changed, `file-${file}`), noise(file * 6_000, `${RUN} ${round} ${file}`));
  }
  const paths = { paths: ['source'], cwd: HOME_FOLDER, hostname: 'host', workers: 1, packSizeBytes: 60_000 };
  const { snapshot } = await backupPaths(repository, paths);
  tell({ saved: snapshot.id, lines: linesOfFolder(HOME_FOLDER) });
  {
    await using lock = await lockRepository(repository, { ...quick.lock, exclusive: true });
    const ids = (await repository.listSnapshots()).slice(0, -kept).map(({ id }) => id);
    if (ids.length > 0) tell({ forgets: ids });
    await repository.removeSnapshots(ids, { signal: lock.signal });
  }
  const { packsRemoved } = await runPrune(repository, { ...quick, maxUnused: { bytes: 0 } });
  tell({ pruned: packsRemoved });
}
