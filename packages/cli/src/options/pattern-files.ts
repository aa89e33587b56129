// Files with patterns, as restic's --include-file and --exclude-file take them.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';

/** Patterns of files, one a line; empty lines and those that begin with `#` are left out. USAGE_INVALID. */
export async function readPatternFiles(folder: string, files: readonly string[] = []): Promise<string[]> {
  const patterns: string[] = [];
  for (const file of files) {
    const path = resolve(folder, file);
    try {
      const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
      patterns.push(...lines.filter((line) => line !== '' && !line.startsWith('#')));
    } catch (error) {
      throw new AppError('USAGE_INVALID', `The file with patterns ${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  return patterns;
}
