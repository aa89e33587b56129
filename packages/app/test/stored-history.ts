// Writes the imagined cluster of wal-history.ts into a real repository: blocks, and snapshots with a base backup.

import { silentLogger } from '@varve/base';
import { manifestSchema, type App, type Manifest } from '@varve/contract';
import { startArchive, type Repository } from '@varve/repository';
import { commitBlock } from '../src/wal-archive/commit-block.ts';
import type { StoredBlock } from '../src/wal-archive/wal-archive.ts';
import { at, clock, systemId, walBlock } from './wal-history.ts';

const history = `1\t${at(4, 400)}\tno recovery target specified\n`;

async function* zeros(bytes: number): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(bytes);
}

/** Stores a block of zeros; `previous` is the version that it takes the place of. */
export function storeBlock(
  repository: Repository,
  shape: Parameters<typeof walBlock>[0],
  previous: StoredBlock | null = null,
): Promise<StoredBlock> {
  const block = walBlock(shape);
  const before = new Map(previous?.block.segments.map(({ name, bytes }) => [name, bytes]));
  return commitBlock(repository, {
    block,
    previous,
    appended: block.segments.map(({ name, bytes }) => ({ name, source: zeros(bytes - (before.get(name) ?? 0)) })),
    histories: new Map(block.histories.map((timeline) => [timeline, Buffer.from(history)])),
    hostName: 'host',
    programVersion: 'varve test',
    lockOwner: {},
    logger: silentLogger,
  });
}

/** A snapshot of the app that has nothing but its manifest: a base backup that ends in a segment. */
export async function storeBase(repository: Repository, app: App, segment = 3): Promise<string> {
  const manifest: Manifest = manifestSchema.parse({
    format: 'varve-app-snapshot',
    formatVersion: 1,
    varveVersion: '0.0.0',
    app,
    kind: 'manual',
    name: null,
    description: null,
    consistency: 'live',
    startedAt: clock('10:00'),
    finishedAt: clock('10:05'),
    components: [
      {
        kind: 'database',
        name: 'db',
        method: 'base',
        path: '/databases/db/base',
        serverVersion: '17.2',
        systemId,
        walLsn: at(segment, 40),
        walEndLsn: at(segment, 600),
        timeline: 1,
        databases: [],
        globalsPath: null,
        bytes: 0,
      },
    ],
    problems: [],
  });
  await using session = await startArchive(repository, { workers: 1 });
  await session.addBytes({ target: '/manifest.json', data: Buffer.from(JSON.stringify(manifest)), mode: 0o600 });
  const { snapshot } = await session.commit({
    time: new Date(clock('10:05')),
    hostname: 'host',
    paths: ['/shop'],
    tags: ['varve', 'app:shop', 'kind:manual'],
    programVersion: 'varve test',
  });
  return snapshot.id;
}
