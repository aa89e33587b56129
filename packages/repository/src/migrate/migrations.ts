// Changes of a whole repository to a newer format, by name, as `restic migrate` has them. There is one: format 1 becomes format 2,
// by another number in the config; everything else of format 1 is good in format 2.

import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf, throwIfAborted, type OnProgress } from '@varve/base';
import { checkRepository } from '../check/check-repository.ts';
import type { Repository } from '../repository.ts';
import { decodeConfig } from '../store/config.ts';
import { encodeGoJson, parseJsonObject } from '../store/go-json.ts';

/** The names of the migrations. */
export type MigrationName = 'upgrade_repo_v2';

export interface Migration {
  readonly name: MigrationName;
  readonly description: string;
  /** Why it cannot be applied to this repository; null when it can. */
  readonly obstacle: string | null;
}

export interface MigrateOptions {
  /** Keeps a copy of the config while it is replaced; made if missing. The copy goes when all is well. */
  readonly backupFolder: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

const configHandle = { type: 'config', name: '' } as const;
const configName = 'The config of the repository';

/** Every migration, and whether it can be applied. */
export function listMigrations(repository: Repository): Migration[] {
  return [
    {
      name: 'upgrade_repo_v2',
      description: 'upgrade a repository to version 2',
      obstacle: repository.version === 1 ? null : `repository is already upgraded to version ${repository.version}`,
    },
  ];
}

/**
 * Makes a repository of format 1 one of format 2. The caller holds an exclusive lock and opens the repository again
 * afterwards. It is checked first: REPOSITORY_DAMAGED when that finds errors, and nothing was changed. Where the storage can
 * replace a file at once, there is no moment without a config; elsewhere it is removed and saved anew, the old one is put
 * back when that fails, and an error names the copy of it in `backupFolder`. USAGE_INVALID when it cannot be applied.
 */
export async function migrateRepository(
  repository: Repository,
  name: MigrationName,
  options: MigrateOptions,
): Promise<void> {
  const { signal, onProgress } = options;
  const { obstacle } = listMigrations(repository).find((migration) => migration.name === name) ?? {
    obstacle: 'unknown',
  };
  if (obstacle !== null) throw new AppError('USAGE_INVALID', `Migration ${name} cannot be applied: ${obstacle}.`);
  const report = await checkRepository(repository, { signal, onProgress });
  if (report.errorCount > 0) {
    throw new AppError(
      'REPOSITORY_DAMAGED',
      `The repository has ${report.errorCount} error(s) and was not changed. The first: ${report.errors[0]?.message ?? ''}`,
      { hint: 'Repair it first; check says everything that is wrong.' },
    );
  }
  const { storage, cipher } = repository;
  const sealed = await storage.load(configHandle, { signal });
  const json = parseJsonObject(cipher.open(sealed, configName));
  // The order of the fields, and those of other programs, stay.
  const upgraded = cipher.seal(encodeGoJson({ ...json, version: 2 }));
  const backup = await keepCopy(options.backupFolder, sealed);
  throwIfAborted(signal);
  const isReplaced = (await storage.replace?.(configHandle, upgraded, { signal })) ?? false;
  if (!isReplaced) await removeAndSave(repository, { sealed, upgraded, backup });
  // Reads it back as the next program will.
  const stored = decodeConfig(cipher.open(await storage.load(configHandle), configName));
  if (stored.version !== 2) throw new AppError('REPOSITORY_DAMAGED', `The config still has version ${stored.version}.`);
  await unlink(backup);
}

/** Not to be stopped half-way: takes no signal. */
async function removeAndSave(
  { storage }: Repository,
  config: { readonly sealed: Uint8Array; readonly upgraded: Uint8Array; readonly backup: string },
): Promise<void> {
  const { sealed, upgraded, backup } = config;
  const holds = async (content: Uint8Array): Promise<boolean> => {
    const stored = await storage.load(configHandle).catch(() => null);
    return stored !== null && Buffer.compare(stored, content) === 0;
  };
  try {
    await storage.remove(configHandle);
    await storage.save(configHandle, upgraded);
  } catch (error) {
    // The answer may have been lost; and what is good is not touched.
    if (await holds(upgraded)) return;
    if (!(await holds(sealed))) {
      await storage.remove(configHandle).catch(() => {});
      await storage.save(configHandle, sealed).catch(() => {});
    }
    const isBack = await holds(sealed);
    const state = isBack ? 'The old one is in its place.' : 'The repository may have no config now.';
    const remedy = `When the storage answers again, put ${backup} into its place: the file “config” at the top of the repository.`;
    throw new AppError('STORAGE_UNREACHABLE', `The config could not be replaced: ${messageOf(error)} ${state}`, {
      hint: isBack ? 'Try again later.' : remedy,
      cause: error,
    });
  }
}

async function keepCopy(folder: string, sealed: Uint8Array): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'config');
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(sealed);
  await file.sync();
  return path;
}
