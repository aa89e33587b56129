// Checks the checksum of every page of a cluster that was shut down cleanly, by reading its files.

import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, throwIfAborted } from '@varve/base';
import { dataPageBytes, findBadPage, tablespacesFolder } from '@varve/postgres';

const readBytes = 1024 * 1024;
/** What is named; the rest is counted. */
const mostNamed = 10;

export interface PagesChecked {
  readonly pages: number;
  readonly badPages: number;
  /** `base/16384/16385, page 7` */
  readonly named: readonly string[];
}

/** Reads `base`, `global` and the tablespaces of a recovered data folder. The system's error when a file cannot be read. */
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
  const folders = ['global'];
  for (const parent of ['base', ...(await tablespaceFolders(dataDirectory))])
    folders.push(...(await readdir(join(dataDirectory, parent))).map((name) => `${parent}/${name}`));
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

/** The folders of server versions in the tablespaces of a recovered data folder. */
async function tablespaceFolders(dataDirectory: string): Promise<string[]> {
  const folder = join(dataDirectory, tablespacesFolder);
  const oids = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  });
  const versions = await Promise.all(
    oids.map(async (oid) => (await readdir(join(folder, oid))).map((name) => `${tablespacesFolder}/${oid}/${name}`)),
  );
  return versions.flat().filter((path) => /\/PG_[^/]+$/.test(path));
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
