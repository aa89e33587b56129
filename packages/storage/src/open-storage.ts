// From a location in restic's syntax to a storage, with its wrappers.

import { isAbsolute, resolve } from 'node:path';
import { AppError, redact } from '@varve/base';
import type { Storage } from './contract.ts';
import { openAzure } from './azure/open-azure.ts';
import { openGcs } from './gcs/open-gcs.ts';
import { LocalStorage } from './local/local-storage.ts';
import { connectionsOf, invalidLocation, settingsOf, type OpenStorageOptions } from './open-options.ts';
import { openRclone } from './rclone/open-rclone.ts';
import { openRest } from './rest/open-rest.ts';
import { openSftp } from './sftp/open-sftp.ts';
import { openS3 } from './s3/open-s3.ts';
import { GuardedStorage } from './wrappers/guarded-storage.ts';
import { LimitedStorage } from './wrappers/limited-storage.ts';
import { RetryingStorage } from './wrappers/retrying-storage.ts';
import { ThrottledStorage } from './wrappers/throttled-storage.ts';

const schemePattern = /^([a-z][a-z0-9+.-]*):/i;
const defaultStallMs = 5 * 60 * 1000;
const hint =
  'Give a folder (/path, a relative path, local:/path), or a location that begins with rest:, rclone:, sftp:, s3:, azure: or gs:.';

const remotes: Readonly<Record<string, (location: string, options: OpenStorageOptions) => Storage>> = {
  rest: openRest,
  rclone: openRclone,
  sftp: openSftp,
  s3: openS3,
  azure: openAzure,
  gs: openGcs,
};

/**
 * Opens a storage by its location: `/path`, `relative/path`, `./path`, `local:path`, or a remote one (docs/storages.md).
 * Touches nothing: what is missing or wrong there shows when it is used. STORAGE_LOCATION_INVALID for what cannot be a
 * location, USAGE_INVALID for options that do not exist.
 */
export function openStorage(location: string, options: OpenStorageOptions = {}): Storage {
  checkSettingKinds(options);
  if (location.includes('\0')) throw invalidLocation('The location contains a zero byte.', hint);
  const isPath = isAbsolute(location) || location.startsWith('./') || location.startsWith('../');
  const scheme = isPath ? undefined : schemePattern.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === 'local') return openLocal(location, scheme, options);
  const open = Object.hasOwn(remotes, scheme) ? remotes[scheme] : undefined;
  if (!open)
    throw invalidLocation(`“${redact(location)}” is not supported: there is no kind of storage “${scheme}”.`, hint);
  const environment = options.environment ?? process.env;
  const storage = open(location, { ...options, environment });
  const guarded = new GuardedStorage(throttled(storage, options), options.stallMs ?? defaultStallMs);
  return new RetryingStorage(new LimitedStorage(guarded, storage.connections), options.retry);
}

/** A slip in a kind would otherwise be an option that does nothing. */
function checkSettingKinds({ settings = {} }: OpenStorageOptions): void {
  const kinds = ['local', ...Object.keys(remotes)];
  for (const name of Object.keys(settings)) {
    if (kinds.includes(name.split('.')[0] ?? '')) continue;
    const hint = `Options begin with ${kinds.map((kind) => `${kind}.`).join(', ')}.`;
    throw new AppError('USAGE_INVALID', `There is no storage option “${name}”.`, { hint });
  }
}

function openLocal(location: string, scheme: string | undefined, options: OpenStorageOptions): Storage {
  const path = scheme === undefined ? location : location.slice('local:'.length);
  if (path.trim() === '') throw invalidLocation('The location is empty.', hint);
  const storage = throttled(new LocalStorage(resolve(options.workingFolder ?? process.cwd(), path)), options);
  const setting = settingsOf('local', ['connections'], options)['connections'];
  if (options.connections === undefined && setting === undefined) return storage;
  return new LimitedStorage(storage, connectionsOf(options, setting, storage.connections));
}

function throttled(storage: Storage, options: OpenStorageOptions): Storage {
  const { uploadBytesPerSecond, downloadBytesPerSecond } = options;
  if (uploadBytesPerSecond === undefined && downloadBytesPerSecond === undefined) return storage;
  return new ThrottledStorage(storage, { uploadBytesPerSecond, downloadBytesPerSecond });
}
