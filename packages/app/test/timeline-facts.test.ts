// Facts of WAL blocks and base backups: read once, kept in the catalogue, and gone when the repository no longer has them.

import { join } from 'node:path';
import { silentLogger } from '@varve/base';
import { FakeClock } from '@varve/testing';
import { expect, test } from 'vitest';
import { SnapshotStore } from '../src/apps/snapshot-store.ts';
import { openCatalogue } from '../src/catalogue/catalogue.ts';
import { AppTimelines } from '../src/timeline/app-timelines.ts';
import { FactStore } from '../src/timeline/fact-store.ts';
import { TimelineFacts } from '../src/timeline/timeline-facts.ts';
import { runFixture } from './run-fixture.ts';
import { storeBase, storeBlock } from './stored-history.ts';
import { clock } from './wal-history.ts';

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

  const app = fixture.app([{ kind: 'code', name: 'addons', path: '/srv/addons' }]);
  const first = await storeBlock(repository, { from: 3, times: [['10:00', '10:09']] });
  await storeBlock(repository, { from: 3, times: [['10:00', '10:09']], component: 'other' });
  await storeBlock(repository, { from: 3, times: [['10:00', '10:09']], appId: 'wiki' });
  const snapshotId = await storeBase(repository, app);
  const before = await facts.read(request);
  expect(before.blocks.map(({ component }) => component).toSorted()).toEqual(['db', 'other']);
  expect(before.bases).toMatchObject([{ snapshotId, component: 'db', endLsn: 3n * 1_048_576n + 600n }]);

  // Replaced by a longer version, and the timeline changes behind it.
  await storeBlock(repository, { from: 3, times: [['10:00', '10:09'], { last: '10:10', bytes: 400 }] }, first);
  await storeBlock(repository, { from: 4, timeline: 2, times: [['10:10', '10:29']], updatedAt: clock('10:29') });
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
