// An installation that captures a real server, a client that notes what was acknowledged, and a look into the repository that is
// independent of how it got there.

import { join } from 'node:path';
import { Secret } from '@varve/base';
import { newAppSchema, type NewAppInput, type WalCapture } from '@varve/contract';
import { connectPostgres, parseLsn, WalReader, type Lsn, type PgConnection } from '@varve/postgres';
import type { Repository } from '@varve/repository';
import { openRepository } from '@varve/repository';
import { openStorage } from '@varve/storage';
import type { PostgresServer } from '@varve/testing';
import { expect } from 'vitest';
import type { Varve } from '../src/index.ts';
import { WalArchive } from '../src/wal-archive/wal-archive.ts';

export const shop = { appId: 'shop', component: 'db' };

export function connect(server: PostgresServer): Promise<PgConnection> {
  const { host, port, user, password } = server;
  return connectPostgres({ host, port, user, password: new Secret(password), database: 'postgres' });
}

export async function query(server: PostgresServer, sql: string): Promise<string> {
  await using connection = await connect(server);
  return (await connection.query(sql)).at(-1)?.rows[0]?.[0] ?? '';
}

/** An app of one server whose log is captured, committed every second. */
export async function addCapturedApp(
  varve: Varve,
  server: PostgresServer,
  database: Partial<
    Extract<NewAppInput, { type: 'host' }>['databases'] extends (infer D)[] | undefined ? D : never
  > = {},
): Promise<void> {
  await varve.addApp(
    newAppSchema.parse({
      type: 'host',
      id: shop.appId,
      databases: [{ url: server.url, method: 'dump', wal: true, ...database }],
      policy: { schedule: { enabled: false }, pointInTime: { commitSeconds: 1 } },
    }),
  );
  // Without base backups, unless they are asked for: no job of the capture's own is in the way of the test.
  if ((database.method ?? 'dump') === 'dump') await varve.updateDatabase(shop.appId, 'db', { method: 'dump' });
}

export async function captureOf(varve: Varve): Promise<WalCapture> {
  const [capture] = await varve.listWalCaptures(shop.appId);
  if (!capture) throw new Error('nothing is captured');
  return capture;
}

/** Waits until everything that the server has now is in the repository. */
export async function reachCommit(varve: Varve, server: PostgresServer): Promise<Lsn> {
  const lsn = parseLsn(await query(server, 'select pg_current_wal_flush_lsn()'));
  await expect
    .poll(async () => isReached((await captureOf(varve)).committedLsn, lsn), { timeout: 60_000, interval: 100 })
    .toBe(true);
  return lsn;
}

function isReached(committed: string | null, lsn: Lsn): boolean {
  return committed !== null && parseLsn(committed) >= lsn;
}

/** Opens the repository of an installation beside it. */
export async function withRepository<T>(
  { location, password }: { readonly location: string; readonly password: string },
  look: (repository: Repository) => Promise<T>,
): Promise<T> {
  const storage = openStorage(location);
  try {
    await using repository = await openRepository({ storage, password: new Secret(password) });
    await repository.loadIndex();
    return await look(repository);
  } finally {
    await storage.close();
  }
}

export interface ArchivedLog {
  readonly archive: WalArchive;
  /** Transactions whose commit can be replayed, with their position. */
  readonly commits: ReadonlyMap<number, Lsn>;
  /** How far the log of each timeline can be replayed from its first block on. */
  readonly ends: ReadonlyMap<number, Lsn>;
}

/**
 * Reads the log of the newest cluster back from the repository, all of it or from a segment on; holes are found because a reader does
 * not go on behind them.
 */
export async function readArchive(
  repository: Repository,
  { from = '' }: { readonly from?: string } = {},
): Promise<ArchivedLog> {
  const archive = await WalArchive.open(repository, shop);
  const wanted = archive.blocks.at(-1)?.block.systemId ?? '';
  const commits = new Map<number, Lsn>();
  const ends = new Map<number, Lsn>();
  let reader: WalReader | undefined;
  let timeline = 0;
  const segments = [...archive.segments(wanted).values()].filter(({ name }) => name >= from);
  for (const segment of segments.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { segmentBytes } = segment.stored.block;
    const start = startOf(segment.name, segmentBytes);
    const { gap, startLsn } = segment.stored.block;
    const isBehindGap = gap !== null && parseLsn(startLsn) === start;
    if (segment.timeline !== timeline || reader?.inputLsn !== start || isBehindGap) {
      timeline = segment.timeline;
      reader = new WalReader({ lsn: start, maximumTimeline: timeline });
    }
    let bytes = 0;
    for await (const part of archive.read(segment)) {
      bytes += part.length;
      for (const event of reader.push(part)) if (event.type === 'commit') commits.set(event.xid, event.lsn);
    }
    expect(bytes).toBe(segment.bytes);
    if (reader.end) throw new Error(`${segment.name}: ${reader.end.detail}`);
    ends.set(timeline, reader.nextLsn);
  }
  return { archive, commits, ends };
}

function startOf(name: string, segmentBytes: number): Lsn {
  const perHigh = 0x1_0000_0000 / segmentBytes;
  const [high, low] = [name.slice(8, 16), name.slice(16)].map((part) => Number.parseInt(part, 16)) as [number, number];
  return (BigInt(high * perHigh + low) * BigInt(segmentBytes)) as Lsn;
}

export const spoolFolder = (dataDirectory: string): string => join(dataDirectory, 'wal', shop.appId, shop.component);
