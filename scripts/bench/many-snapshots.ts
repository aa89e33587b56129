// A repository with many snapshots of little: what opening and listing cost.

import { existsSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, mapConcurrently } from '../../packages/base/src/index.ts';
import { createRepository, openRepository, startArchive } from '../../packages/repository/src/index.ts';
import { openStorage } from '../../packages/storage/src/index.ts';

/** Makes the repository unless it is there already, whole. */
export async function makeSnapshots(
  location: string,
  options: { readonly password: string; readonly count: number },
): Promise<void> {
  const marker = join(location, `complete-${options.count}`);
  if (existsSync(marker)) return;
  rmSync(location, { recursive: true, force: true });
  await mkdir(location, { recursive: true });
  const password = new Secret(options.password);
  const storage = openStorage(location);
  await (await createRepository({ storage, password }))[Symbol.asyncDispose]();
  await using repository = await openRepository({ storage, password });
  await using archive = await startArchive(repository);
  await archive.addBytes({ target: '/one', data: Buffer.from('one file') });
  const first = new Date('2020-01-01T00:00:00Z').getTime();
  const { snapshot } = await archive.commit({
    time: new Date(first),
    hostname: 'bench',
    paths: ['/one'],
    programVersion: 'bench',
  });
  const { id: _id, ...rest } = snapshot;
  await mapConcurrently(
    Array.from({ length: options.count - 1 }, (_, i) => i + 1),
    16,
    async (i) => {
      const time = new Date(first + i * 4 * 3600_000).toISOString();
      await repository.saveSnapshot({ ...rest, time, tags: ['varve', `app:app-${i % 20}`, 'kind:scheduled'] });
    },
  );
  await storage.close();
  await writeFile(marker, '');
}
