// Makes a restored data folder ready to recover, and clean again afterwards: no leftovers of the server that was backed up or
// of an earlier recovery, none of ours. Manual: "Recovering Using a Continuous Archive Backup", "Standby Server Operation".

import { chmod, chown, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';

/** The main server file of settings that ALTER SYSTEM writes; always read, after everything else. */
const autoFile = 'postgresql.auto.conf';
const signalFile = 'recovery.signal';
const leftovers = [
  'standby.signal',
  'recovery.signal',
  'recovery.conf',
  'recovery.done',
  'promote',
  'fallback_promote',
  'postmaster.pid',
  'postmaster.opts',
  'backup_label.old',
  'tablespace_map.old',
];
/** Settings of an earlier recovery or of a standby: they would count again at the next one. */
const staleSettings =
  /^\s*(recovery_target(_\w+)?|restore_command|archive_cleanup_command|recovery_end_command|recovery_min_apply_delay|primary_conninfo|primary_slot_name|promote_trigger_file)\s*(=|\s)/i;

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Cleans the folder, moves the cluster's own ALTER SYSTEM settings to `keepSettingsAt` (cleaned), and marks the folder for
 * recovery. RESTORE_TARGET_INVALID when there is no backup_label (then nothing says where recovery has to begin), and when there is
 * a map of tablespaces: `placeTablespaces` comes before.
 */
export async function prepareDataFolder(options: {
  readonly dataDirectory: string;
  readonly keepSettingsAt: string;
  /** Who the server runs as; undefined: whoever this process runs as. */
  readonly owner: FileOwner | undefined;
}): Promise<void> {
  const { dataDirectory, keepSettingsAt, owner } = options;
  if (!(await exists(join(dataDirectory, 'backup_label')))) {
    throw new AppError('RESTORE_TARGET_INVALID', `${dataDirectory} is no base backup: it has no backup_label.`, {
      hint: 'Without it a server would begin at a wrong place. Take another base backup.',
    });
  }
  // The server would link to, and write to, the folders of the original. A cluster without any may have an empty map.
  const map = await readFile(join(dataDirectory, 'tablespace_map'), 'utf8').catch(absent(''));
  if (map.trim() !== '') {
    throw new AppError('RESTORE_TARGET_INVALID', `${dataDirectory} has tablespaces outside of itself.`, {
      hint: 'The server would write into the folders of the original. Recover with a version of Varve that places them.',
    });
  }
  for (const name of leftovers) await rm(join(dataDirectory, name), { force: true, recursive: true });
  const settings = await readFile(join(dataDirectory, autoFile), 'utf8').catch(absent(''));
  await writeDurably(keepSettingsAt, cleaned(settings), owner);
  await writeDurably(join(dataDirectory, autoFile), '', owner);
  await writeDurably(join(dataDirectory, signalFile), '', owner);
}

/** Puts the cluster's own settings back, after the server of the recovery was shut down. Idempotent. */
export async function finishDataFolder(options: {
  readonly dataDirectory: string;
  readonly keepSettingsAt: string;
  readonly owner: FileOwner | undefined;
}): Promise<void> {
  const { dataDirectory, keepSettingsAt, owner } = options;
  if (await exists(join(dataDirectory, signalFile))) {
    throw new AppError('RECOVERY_FAILED', `The recovery of ${dataDirectory} has not come to its end.`);
  }
  const settings = await readFile(keepSettingsAt, 'utf8').catch(absent(''));
  await writeDurably(join(dataDirectory, autoFile), settings, owner);
  for (const name of ['postmaster.opts', 'backup_label.old', 'tablespace_map.old', 'postmaster.pid'])
    await rm(join(dataDirectory, name), { force: true });
}

/** Lines of ALTER SYSTEM without those of an earlier recovery. Pure. */
export function cleaned(settings: string): string {
  return settings
    .split('\n')
    .filter((line) => !staleSettings.test(line))
    .join('\n');
}

/** The last value of a setting in files in the order in which they count; undefined when none sets it. Pure. */
export function settingIn(files: readonly string[], name: string): string | undefined {
  const line = new RegExp(`^\\s*${name}\\s*(?:=|\\s)\\s*(?:'((?:[^']|'')*)'|([^\\s#]+))`, 'i');
  const values = files.flatMap((text) =>
    text.split('\n').flatMap((one) => {
      const match = line.exec(one);
      return match === null ? [] : [(match[1] ?? match[2] ?? '').replaceAll("''", "'")];
    }),
  );
  return values.at(-1);
}

async function writeDurably(path: string, content: string, owner: FileOwner | undefined): Promise<void> {
  const temporary = `${path}.varve-new`;
  {
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(content);
    await file.sync();
  }
  await chmod(temporary, 0o600);
  if (owner !== undefined && process.getuid?.() === 0) await chown(temporary, owner.uid, owner.gid);
  await rename(temporary, path);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return false;
      throw error;
    },
  );
}

function absent<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (systemErrorCode(error) === 'ENOENT') return value;
    throw error;
  };
}
