// Puts a PostgreSQL cluster back from its dumps: the roles, then each database beside the one that is there, and a swap of
// names at the end. A database that was made after the snapshot is left alone.

import type { OnProgress } from '@varve/base';
import type { SavedDatabase } from '@varve/contract';
import {
  dropRestoreLeftovers,
  listDatabases,
  parseDatabaseProperties,
  restoreDatabase,
  restoreGlobals,
  type DatabaseProperties,
} from '@varve/postgres';
import { readFileContent, type Repository } from '@varve/repository';
import type { Problem, RunContext } from '../../use-case.ts';
import { collectBytes } from '../collect-bytes.ts';
import type { DatabaseAccess } from './database-access.ts';

export interface RestoreDumpInput {
  readonly context: Pick<RunContext, 'log'>;
  readonly repository: Repository;
  readonly treeId: string;
  readonly saved: SavedDatabase;
  readonly access: DatabaseAccess;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
  /** Called after each database that is back. */
  readonly onDone?: ((database: string) => void) | undefined;
}

/** DATABASE_… when a part fails; databases restored before it stay restored, `onDone` told which. */
export async function restoreDump(input: RestoreDumpInput): Promise<readonly Problem[]> {
  const { repository, treeId, saved, signal } = input;
  const { runner, target } = input.access;
  const problems: Problem[] = [];
  await dropRestoreLeftovers(runner, target, { signal });
  if (saved.globalsPath !== null) {
    const dump = readFileContent(repository, { treeId, path: saved.globalsPath, signal });
    await restoreGlobals(runner, target, { dump, signal });
  }
  const properties = await readProperties(input);
  let before = 0;
  for (const { name, path, bytes } of saved.databases) {
    input.context.log('info', `Restoring the database ${name}.`);
    const result = await restoreDatabase(runner, target, {
      database: name,
      dump: readFileContent(repository, { treeId, path, signal }),
      properties: properties.get(name),
      signal,
      onProgress: (progress) =>
        input.onProgress?.({ ...progress, bytesDone: before + progress.bytesDone, bytesTotal: saved.bytes }),
    });
    before += bytes;
    input.onDone?.(name);
    if (result.leftoverReason !== undefined) {
      problems.push({
        path: `${saved.name}: ${result.replacedName}`,
        message: `the replaced database could not be dropped: ${result.leftoverReason}`,
      });
    }
  }
  const present = new Set((await listDatabases(runner, target, { signal })).map(({ name }) => name));
  for (const { name } of saved.databases) {
    if (!present.has(name))
      problems.push({ path: `${saved.name}: ${name}`, message: 'the database is not there after the restore' });
  }
  return problems;
}

async function readProperties({
  repository,
  treeId,
  saved,
  signal,
}: RestoreDumpInput): Promise<ReadonlyMap<string, DatabaseProperties>> {
  const bytes = await collectBytes(
    readFileContent(repository, { treeId, path: `${saved.path}/properties.json`, signal }),
  );
  const entries = Object.entries(JSON.parse(bytes.toString('utf8')) as Record<string, unknown>);
  return new Map(entries.map(([name, value]) => [name, parseDatabaseProperties(value)]));
}
