// The settings with which a server copies its finished log into a folder by itself: one line of POSIX shell that images of
// PostgreSQL can run (cp, cmp, mv, sync of GNU or BusyBox), and no program of ours.
// Manual: "Continuous Archiving" (backup-archiving-wal) says what the command must do: succeed only when the file is safe, never
// overwrite another file, succeed again for the same file; runtime-config-wal, "Archiving".

import assert from 'node:assert';

/** What a folder's path may not have, so that it can stand in the command as it is. */
const unsafe = /["'`$\\%\n\r\0]/;

/** What is recommended: log of a quiet database leaves the server after so long. */
export const recommendedTimeoutSeconds = 60;

/** Whether a path can stand in {@link archiveCommand}: absolute, without quotes, `$`, backslashes, `%` and line breaks. */
export function isArchiveDirectory(path: string): boolean {
  return path.startsWith('/') && !unsafe.test(path);
}

/**
 * The command; `%p` and `%f` are the server's. A file gets its name when its bytes are durable, so what has its name is whole. When it
 * is there already, the same bytes are a success and others a failure.
 */
export function archiveCommand(directory: string): string {
  assert(isArchiveDirectory(directory), 'the folder can stand in a command');
  const folder = directory.replace(/\/+$/, '');
  return (
    `d="${folder}"; f="$d/%f"; t="$d/.%f.part"; ` +
    'if [ -e "$f" ]; then cmp -s "%p" "$f" && sync "$f"; ' +
    'else cp "%p" "$t" && sync "$t" && mv "$t" "$f"; fi && sync "$d"'
  );
}

/** The lines for `postgresql.conf`. */
export function archiveSettings(directory: string): readonly string[] {
  return [
    'archive_mode = on',
    `archive_command = '${archiveCommand(directory)}'`,
    `archive_timeout = ${recommendedTimeoutSeconds}`,
  ];
}
