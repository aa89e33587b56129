// Facts of WAL blocks and base backups: read once, kept in the catalogue, and gone when the repository no longer has them.

import { join } from 'node:path';
import { silentLogger } from '@varve/base';
import { manifestSchema, type Manifest } from '@varve/contract';
import { startArchive } from '@varve/repository';
import { FakeClock } from '@varve/testing';
import { expect, test } from 'vitest';
import { SnapshotStore } from '../src/apps/snapshot-store.ts';
import { openCatalogue } from '../src/catalogue/catalogue.ts';
import { AppTimelines } from '../src/timeline/app-timelines.ts';
import { FactStore } from '../src/timeline/fact-store.ts';
import { TimelineFacts } from '../src/timeline/timeline-facts.ts';
import { commitBlock } from '../src/wal-archive/commit-block.ts';
import type { StoredBlock } from '../src/wal-archive/wal-archive.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';
import { at, clock, systemId, walBlock } from './wal-history.ts';

const history = `1\t${at(4, 400)}\tno recovery target specified\n`;

async function* zeros(bytes: number): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(bytes);
}

function commit(fixture: RunFixture, shape: Parameters<typeof walBlock>[0], previous: StoredBlock | null = null) {
  const block = walBlock(shape);
  const before = new Map(previous?.block.segments.map(({ name, bytes }) => [name, bytes]));
  return commitBlock(fixture.repository, {
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

/** A snapshot of the app that has nothing but its manifest. */
async function saveBase(fixture: RunFixture): Promise<string> {
  const app = fixture.app([{ kind: 'code', name: 'addons', path: '/srv/addons' }]);
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
        walLsn: at(3, 40),
        walEndLsn: at(3, 600),
        timeline: 1,
        databases: [],
        globalsPath: null,
        bytes: 0,
      },
    ],
    problems: [],
  });
  await using session = await startArchive(fixture.repository, { workers: 1 });
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

test('facts follow the repository, and a new process takes them from the catalogue', async () => {
  await using fixture = await runFixture();
  await using catalogue = openCatalogue(join(fixture.folder, 'catalogue.sqlite'));
  const { repository } = fixture;
  await catalogue.queries
    .insertInto('repositories')
    .values({
      id: repository.id,
      name: 'local',
      location: fixture.repo,
      created_at: clock('09:00'),
      recovery_kit_confirmed_at: null,
    })
    .execute();
  const time = new FakeClock(clock('12:00'));
  const open = () => new TimelineFacts({ store: new FactStore(catalogue), clock: time, logger: silentLogger });
  await using facts = open();
  const request = { repository, appId: 'shop' };

  const first = await commit(fixture, { from: 3, times: [['10:00', '10:09']] });
  await commit(fixture, { from: 3, times: [['10:00', '10:09']], component: 'other' });
  await commit(fixture, { from: 3, times: [['10:00', '10:09']], appId: 'wiki' });
  const snapshotId = await saveBase(fixture);
  const before = await facts.read(request);
  expect(before.blocks.map(({ component }) => component).toSorted()).toEqual(['db', 'other']);
  expect(before.bases).toMatchObject([{ snapshotId, component: 'db', endLsn: 3n * 1_048_576n + 600n }]);

  // Replaced by a longer version, and the timeline changes behind it.
  await commit(fixture, { from: 3, times: [['10:00', '10:09'], { last: '10:10', bytes: 400 }] }, first);
  await commit(fixture, { from: 4, timeline: 2, times: [['10:10', '10:29']], updatedAt: clock('10:29') });
  expect((await facts.read(request)).version).toBe(before.version);
  time.advance(61_000);
  const after = await facts.read(request);
  expect(after.version).toBeGreaterThan(before.version);
  expect(after.blocks).toHaveLength(3);
  expect(after.blocks.find(({ timeline }) => timeline === 2)?.history?.ancestors).toMatchObject([{ timeline: 1 }]);
  const unchanged = await facts.read({ ...request, fresh: true });
  expect(unchanged.version).toBe(after.version);

  await using next = open();
  const again = await next.read(request);
  const sorted = (blocks: typeof after.blocks) => blocks.toSorted((a, b) => a.snapshotId.localeCompare(b.snapshotId));
  expect(sorted(again.blocks)).toEqual(sorted(after.blocks));
  expect(again.bases).toEqual(after.bases);

  const timelines = new AppTimelines({ facts, snapshots: new SnapshotStore({ catalogue, clock: time }) });
  const app = fixture.app([{ kind: 'code', name: 'addons', path: '/srv/addons' }]);
  const timeline = await timelines.read(app, repository, { at: clock('10:20') });
  expect(timeline.databases).toMatchObject([
    {
      component: 'db',
      captured: false,
      timeline: 2,
      ranges: [{ branch: 'current', baseSnapshotId: snapshotId, toAt: clock('10:29') }],
      nearest: { reachable: true },
    },
    { component: 'other', ranges: [], unreachable: [{ reason: 'capture-began' }], nearest: { reachable: false } },
  ]);
  const early = await timelines.read(app, repository, { to: clock('10:04') });
  expect(early.databases[0]?.ranges).toEqual([]);

  await repository.removeSnapshots([snapshotId]);
  expect((await facts.read({ ...request, fresh: true })).bases).toEqual([]);
  expect((await timelines.read(app, repository)).databases[0]?.ranges).toEqual([]);
});
