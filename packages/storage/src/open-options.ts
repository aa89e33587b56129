// What a storage is opened with besides its location: the environment's credentials, restic's extended options, limits.

import { AppError } from '@varve/base';
import type { RetryPolicy } from './wrappers/retrying-storage.ts';

/** Values by name, as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface OpenStorageOptions {
  /** What relative paths are relative to; the process' folder when absent. */
  readonly workingFolder?: string | undefined;
  /** Where credentials and their kin are looked up, by the names that restic uses; `process.env` when absent. */
  readonly environment?: Environment | undefined;
  /** restic's extended options (`-o name=value`), such as `s3.storage-class`. Unknown names are refused. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** How many calls may run at once; what suits the kind of storage when absent. */
  readonly connections?: number | undefined;
  readonly uploadBytesPerSecond?: number | undefined;
  readonly downloadBytesPerSecond?: number | undefined;
  /** How long a call may go without any progress. Default 5 minutes. Not for local folders. */
  readonly stallMs?: number | undefined;
  /** How failures that may pass are tried again. Not for local folders. */
  readonly retry?: RetryPolicy | undefined;
}

/** All settings of one kind of storage, by what follows `<kind>.`; those of other kinds are left alone. */
export function settingsOf(
  kind: string,
  known: readonly string[],
  options: OpenStorageOptions,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.settings ?? {})) {
    if (!name.startsWith(`${kind}.`)) continue;
    const key = name.slice(kind.length + 1);
    if (!known.includes(key)) {
      const all = known.map((each) => `${kind}.${each}`).join(', ');
      throw new AppError('USAGE_INVALID', `There is no storage option “${name}”.`, { hint: `There are ${all}.` });
    }
    found[key] = value;
  }
  return found;
}

/** The number of connections: the option, else the setting, else the default of the kind. */
export function connectionsOf(options: OpenStorageOptions, setting: string | undefined, byDefault: number): number {
  const count = options.connections ?? (setting === undefined ? byDefault : Number(setting));
  if (Number.isInteger(count) && count >= 1 && count <= 1000) return count;
  throw new AppError('USAGE_INVALID', `The number of connections cannot be ${setting ?? String(count)}.`, {
    hint: 'Give a whole number from 1 to 1000.',
  });
}

/** A setting that is on or off. */
export function flagOf(name: string, value: string | undefined): boolean {
  if (value === undefined || value === 'false') return false;
  if (value === 'true') return true;
  throw new AppError('USAGE_INVALID', `The option ${name} cannot be “${value}”.`, { hint: 'Give true or false.' });
}

export function invalidLocation(message: string, hint: string): AppError {
  return new AppError('STORAGE_LOCATION_INVALID', message, { hint });
}
