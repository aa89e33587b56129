// The version of this program, read where npm keeps it: importing the app room for it would load everything else too.

import { readFileSync } from 'node:fs';

/** As in package.json, which all rooms keep in step. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
