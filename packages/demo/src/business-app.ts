// A running business app that the demonstration protects, damages and brings back: the same story whether it runs in
// Docker or on a PostgreSQL that came with npm.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NewAppInput } from '@varve/contract';
import type { Client } from 'pg';
import { deployBadCommit, readCommit } from './business-data.ts';

/** What can be counted and compared; equal before and after means that nothing was lost. */
export interface BusinessFacts {
  readonly customers: number;
  readonly orders: number;
  readonly revenue: string;
  /** Digest over every row of every table. */
  readonly rowsDigest: string;
  readonly files: number;
  /** SHA-256 over the names and SHA-256 of all files. */
  readonly filesDigest: string;
  readonly commit: string;
  readonly commitSubject: string;
}

export interface BusinessApp extends AsyncDisposable {
  /** One sentence on where it runs. */
  readonly description: string;
  /** How it is added to Varve. */
  readonly newApp: NewAppInput;
  readonly codeFolder: string;
  /** To its database, or to a copy of it on another port of this machine. */
  connect(copy?: { readonly port: number }): Promise<Client>;
  /** A port of loopback that nobody uses now. */
  freePort(): Promise<number>;
  /** Names of the invoice files and their SHA-256. */
  hashFiles(): Promise<Map<string, string>>;
  removeFiles(): Promise<void>;
}

interface DatabaseRow {
  readonly customers: number;
  readonly orders: number;
  readonly revenue: string;
  readonly digest: string;
}

const factsQuery = `
SELECT (SELECT count(*)::int FROM customer) AS customers,
       (SELECT count(*)::int FROM sales_order) AS orders,
       (SELECT coalesce(sum(total), 0)::text FROM sales_order) AS revenue,
       md5(concat(
         (SELECT string_agg(c::text, '|' ORDER BY id) FROM customer c),
         (SELECT string_agg(o::text, '|' ORDER BY id) FROM sales_order o),
         (SELECT string_agg(i::text, '|' ORDER BY id) FROM invoice i))) AS digest`;

/** Counts and digests everything that the app holds now. */
export async function readFacts(app: BusinessApp): Promise<BusinessFacts> {
  const client = await app.connect();
  try {
    const { rows } = await client.query<DatabaseRow>(factsQuery);
    const row = rows[0];
    if (!row) throw new Error('the database answered without a row');
    const hashes = await app.hashFiles();
    const commit = await readCommit(app.codeFolder);
    const lines = [...hashes].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, hash]) => `${hash}  ${name}\n`);
    return {
      customers: row.customers,
      orders: row.orders,
      revenue: row.revenue,
      rowsDigest: row.digest,
      files: hashes.size,
      filesDigest: createHash('sha256').update(lines.join('')).digest('hex'),
      commit: commit.id,
      commitSubject: commit.subject,
    };
  } finally {
    await client.end();
  }
}

/** The bad afternoon: rows deleted, files gone, a commit that breaks the prices. */
export async function damage(app: BusinessApp): Promise<void> {
  const client = await app.connect();
  try {
    await client.query('DELETE FROM invoice; DELETE FROM sales_order WHERE id % 3 <> 0');
  } finally {
    await client.end();
  }
  await app.removeFiles();
  await deployBadCommit(app.codeFolder);
}

/** SHA-256 of every file below a folder, by its relative name. */
export async function hashFolder(folder: string): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    hashes.set(
      path.slice(folder.length + 1),
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return hashes;
}
