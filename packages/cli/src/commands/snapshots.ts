// `varve snapshots APP`: the snapshots of an app, newest first.

import { formatBytes, formatDuration } from '@varve/base';
import type { AppSnapshot } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { tableLines } from '../output/table.ts';
import { counted } from '../output/text.ts';
import { absoluteTime, relativeTime } from '../output/time.ts';

export const addSnapshotsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('snapshots')
    .description('list the snapshots of an app')
    .argument('<app>', 'id of the app')
    .addHelpText('after', examples(['Newest first', 'varve snapshots shop']));
  register(command, async (session) => {
    const appId = command.args[0] ?? '';
    await using varve = await session.openVarve();
    const snapshots = await varve.listSnapshots(appId);
    session.print(snapshots, () =>
      snapshots.length === 0
        ? [`${appId} has no snapshot yet. Take one: varve snapshot ${appId}`]
        : [...snapshotLines(snapshots, session.now), counted(snapshots.length, 'snapshot')],
    );
  });
};

function snapshotLines(snapshots: readonly AppSnapshot[], now: Date): string[] {
  return tableLines(
    [
      { title: 'SNAPSHOT' },
      { title: 'TIME' },
      { title: 'AGE' },
      { title: 'KIND' },
      { title: 'SIZE', align: 'right' },
      { title: 'ADDED', align: 'right' },
      { title: 'TOOK', align: 'right' },
      { title: 'COMMIT' },
      { title: 'NAME' },
    ],
    snapshots.map((snapshot) => [
      snapshot.id.slice(0, 8),
      absoluteTime(snapshot.time),
      relativeTime(snapshot.time, now),
      snapshot.partial ? `${snapshot.kind} (partial)` : snapshot.kind,
      formatBytes(snapshot.bytes),
      formatBytes(snapshot.bytesAdded),
      formatDuration(snapshot.durationMs),
      snapshot.commit?.slice(0, 8) ?? '-',
      snapshot.name ?? '',
    ]),
  );
}
