// Checks the checksum of every page of a cluster that was shut down cleanly, by reading its files.

import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, throwIfAborted } from '@varve/base';
import { dataPageBytes, findBadPage } from '@varve/postgres';

const readBytes = 1024 * 1024;
/** What is named; the rest is counted. */
const mostNamed = 10;

export interface PagesChecked {
  readonly pages: number;
  readonly badPages: number;
  /** `base/16384/16385, page 7` */
  readonly named: readonly string[];
}

/** Reads `base` and `global` of a data folder. The system's error when a file cannot be read. */
export async function checkPages(
  dataDirectory: string,
  options: { readonly signal: AbortSignal; readonly onPages?: (pages: number) => void },
): Promise<PagesChecked> {
  const found = { pages: 0, badPages: 0, named: [] as string[] };
  for (const { path, name } of await relationFiles(dataDirectory)) {
    await checkFile({ dataDirectory, path, name, signal: options.signal }, found);
    options.onPages?.(found.pages);
  }
  return found;
}

interface RelationFile {
  readonly path: string;
  readonly name: string;
}

async function relationFiles(dataDirectory: string): Promise<RelationFile[]> {
  const databases = await readdir(join(dataDirectory, 'base'));
  const folders = ['global', ...databases.map((name) => `base/${name}`)];
  const files: RelationFile[] = [];
  for (const folder of folders) {
    const names = await readdir(join(dataDirectory, folder)).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOTDIR') return [];
      throw error;
    });
    for (const name of names.toSorted((a, b) => a.localeCompare(b)))
      if (/^\d+(_\w+)?(\.\d+)?$/.test(name)) files.push({ path: `${folder}/${name}`, name });
  }
  return files;
}

async function checkFile(
  {
    dataDirectory,
    path,
    name,
    signal,
  }: RelationFile & { readonly dataDirectory: string; readonly signal: AbortSignal },
  found: { pages: number; badPages: number; named: string[] },
): Promise<void> {
  await using file = await open(join(dataDirectory, path), 'r');
  const buffer = Buffer.from(new ArrayBuffer(readBytes));
  for (let position = 0; ;) {
    throwIfAborted(signal);
    const { bytesRead } = await file.read(buffer, 0, readBytes, position);
    const whole = bytesRead - (bytesRead % dataPageBytes);
    if (whole === 0) return;
    const bytes = buffer.subarray(0, whole);
    for (let at = findBadPage(bytes, { name, position }, 0); at !== -1;) {
      found.badPages += 1;
      if (found.named.length < mostNamed) found.named.push(`${path}, page ${(position + at) / dataPageBytes}`);
      at = at + dataPageBytes < whole ? findBadPage(bytes, { name, position }, at + dataPageBytes) : -1;
    }
    found.pages += whole / dataPageBytes;
    position += whole;
  }
}
