// What the timeline of an app costs with a year of WAL (a block an hour) and 10,000 snapshots: `timeline-year.ts [FOLDER]`. Prints
// the first answer of a new installation, that of a new process, and the 50th and 95th percentile of those that follow.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openVarve, type Varve } from '../../packages/app/src/index.ts';
import { Secret, mapConcurrently } from '../../packages/base/src/index.ts';
import { appSchema, type Manifest, type WalBlock } from '../../packages/contract/src/index.ts';
import { createRepository, findNode, startArchive } from '../../packages/repository/src/index.ts';
import { openStorage } from '../../packages/storage/src/index.ts';

const hours = 8760;
const segmentsPerBlock = 8;
const snapshotCount = 10_000;
const segmentBytes = 16 * 1024 * 1024;
const firstHour = Date.parse('2026-01-01T00:00:00Z');
const systemId = '7000000000000000001';

const folder = process.argv[2] ?? mkdtempSync(join(tmpdir(), 'varve-timeline-year-'));
const password = new Secret('a year of log');
const location = join(folder, 'repository');
try {
  if (!existsSync(location)) await makeYear();
  await measure();
} finally {
  if (process.argv[2] === undefined) rmSync(folder, { recursive: true, force: true });
}

function timeOf(hour: number, minute = 0): string {
  return new Date(firstHour + hour * 3_600_000 + minute * 60_000).toISOString();
}

function lsn(segment: number, offset = 0): string {
  const position = BigInt(segment) * BigInt(segmentBytes) + BigInt(offset);
  return `${(position >> 32n).toString(16)}/${(position & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

function blockOf(hour: number): WalBlock {
  const first = hour * segmentsPerBlock;
  return {
    format: 'varve-wal-block',
    formatVersion: 1,
    varveVersion: 'bench',
    appId: 'shop',
    component: 'db',
    systemId,
    serverVersion: '17.2',
    segmentBytes,
    timeline: 1,
    startLsn: lsn(first),
    endLsn: lsn(first + segmentsPerBlock),
    replayableLsn: lsn(first + segmentsPerBlock),
    sealed: hour < hours - 1,
    startedAt: timeOf(hour),
    updatedAt: timeOf(hour, 59),
    gap: null,
    segments: Array.from({ length: segmentsPerBlock }, (_, index) => ({
      name: (first + index).toString(16).toUpperCase().padStart(24, '0'),
      bytes: segmentBytes,
      commits: 1000,
      firstCommitAt: timeOf(hour, index * 7),
      lastCommitAt: timeOf(hour, index * 7 + 6),
      latestAt: timeOf(hour, index * 7 + 6),
    })),
    restorePoints: hour % 24 === 0 ? [{ name: `day ${hour / 24}`, lsn: lsn(first, 100), at: timeOf(hour, 1) }] : [],
    parameterChanges: [],
    restarts: hour % 168 === 0 ? [{ lsn: lsn(first, 200), at: timeOf(hour, 1) }] : [],
    tablespacesCreated: [],
    histories: [],
  };
}

function manifestOf(repositoryId: string, hour: number): Manifest {
  const source = { type: 'url' as const, urlSecret: 'url', display: 'postgresql://db' };
  const component = { kind: 'database' as const, name: 'db', method: 'base' as const, source, wal: true };
  return {
    format: 'varve-app-snapshot',
    formatVersion: 1,
    varveVersion: 'bench',
    app: appSchema.parse({
      id: 'shop',
      name: 'Shop',
      origin: { type: 'host' },
      components: [component],
      policy: {},
      repositoryId,
      createdAt: timeOf(0),
    }),
    kind: 'scheduled',
    name: null,
    description: null,
    consistency: 'live',
    startedAt: timeOf(hour),
    finishedAt: timeOf(hour, 5),
    components: [
      {
        kind: 'database',
        name: 'db',
        method: 'base',
        path: '/databases/db/base',
        serverVersion: '17.2',
        systemId,
        walLsn: lsn(hour * segmentsPerBlock, 100),
        walEndLsn: lsn(hour * segmentsPerBlock, 4000),
        timeline: 1,
        databases: [],
        globalsPath: null,
        bytes: 1,
      },
    ],
    problems: [],
  };
}

/** All content in one archive; each block and snapshot is a folder of it. */
async function makeYear(): Promise<void> {
  console.log(`making ${hours} blocks and ${snapshotCount} snapshots in ${folder}`);
  const storage = openStorage(location);
  await using repository = await createRepository({ storage, password });
  await using archive = await startArchive(repository);
  const add = (target: string, value: unknown) =>
    archive.addBytes({ target, data: Buffer.from(JSON.stringify(value)), mode: 0o600 });
  for (let hour = 0; hour < hours; hour++) await add(`${folderOf('wal', hour)}/wal.json`, blockOf(hour));
  for (let index = 0; index < snapshotCount; index++)
    await add(
      `${folderOf('app', index)}/manifest.json`,
      manifestOf(repository.id, Math.floor((index * hours) / snapshotCount)),
    );
  const { snapshot } = await archive.commit({
    time: new Date(firstHour),
    paths: ['/all'],
    programVersion: 'bench',
    hostname: 'bench',
  });
  await repository.loadIndex();
  const { id: _id, ...rest } = snapshot;
  const save = async (path: string, time: string, tags: string[]): Promise<void> => {
    const { subtree } = await findNode(repository, { treeId: snapshot.tree, path });
    await repository.saveSnapshot({ ...rest, tree: subtree ?? '', time, tags });
  };
  await forEach(hours, (hour) => save(folderOf('wal', hour), timeOf(hour, 59), ['wal', 'app:shop', 'component:db']));
  await forEach(snapshotCount, (index) =>
    save(folderOf('app', index), timeOf(Math.floor((index * hours) / snapshotCount), index % 60), [
      'varve',
      'app:shop',
      'kind:scheduled',
    ]),
  );
  await storage.close();
}

/** A hundred a folder: a tree of thousands of entries would be read for each of them. */
function folderOf(kind: string, index: number): string {
  return `/${kind}/${Math.floor(index / 100)}/${index}`;
}

function forEach(count: number, work: (index: number) => Promise<void>): Promise<unknown> {
  return mapConcurrently(
    Array.from({ length: count }, (_, index) => index),
    16,
    work,
  );
}

async function measure(): Promise<void> {
  const dataDirectory = join(folder, 'data');
  rmSync(dataDirectory, { recursive: true, force: true });
  {
    await using varve = await openVarve({ dataDirectory });
    await varve.connectRepository({ location, password, create: false });
    await varve.rebuildCatalogue();
    await report('first answer', () => varve.timeline('shop'));
  }
  await using varve = await openVarve({ dataDirectory });
  await report('first answer of a new process', () => varve.timeline('shop'));
  await report('with the repository listed anew', () => varve.timeline('shop', { fresh: true }));
  const month = { from: timeOf(hours - 720), to: timeOf(hours) };
  await percentiles('a year', () => varve.timeline('shop'));
  await percentiles('a month of it', () => varve.timeline('shop', month));
}

async function report(name: string, ask: () => ReturnType<Varve['timeline']>): Promise<void> {
  const startedAt = performance.now();
  const { databases, snapshots } = await ask();
  const ms = (performance.now() - startedAt).toFixed(1);
  console.log(`${name}: ${ms} ms (${databases[0]?.ranges[0]?.commits} commits, ${snapshots.length} snapshots)`);
}

async function percentiles(name: string, ask: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let run = 0; run < 200; run++) {
    const startedAt = performance.now();
    JSON.stringify(await ask());
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.floor(times.length * share)] ?? 0).toFixed(1);
  console.log(`${name}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, with its JSON`);
}
