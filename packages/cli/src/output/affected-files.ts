// Which files damage has reached, as lines for people: by path, with the snapshots that hold it.

import type { AffectedFile, AffectedFiles } from '@varve/repository';
import { counted, grouped, printable } from './text.ts';

const mostPaths = 200;
const mostIds = 8;

/** Nothing when nothing is affected. `what` says what becomes of the files: `affected`, `lost`. */
export function affectedLines({ affected, affectedCount, affectedSnapshots }: AffectedFiles, what: string): string[] {
  if (affectedCount === 0) return [];
  const byPath = [...Map.groupBy(affected, ({ path }) => path).values()];
  const shown = byPath.slice(0, mostPaths);
  const listed = shown.reduce((sum, files) => sum + files.length, 0);
  const files = counted(affectedCount, 'file or folder', 'files and folders');
  const rest = affectedCount - listed;
  return [
    `${what}: ${files} of ${counted(affectedSnapshots.length, 'snapshot')}`,
    ...shown.map(pathLine),
    ...(rest > 0 ? [`  … and ${grouped(rest)} more; --json lists up to 10,000`] : []),
    ...snapshotLines(affectedSnapshots, affected),
  ];
}

function pathLine(files: readonly AffectedFile[]): string {
  const [first] = files;
  if (!first) return '';
  const ids = files.slice(0, mostIds).map(({ snapshotId }) => snapshotId.slice(0, 8));
  const rest = files.length > mostIds ? ` and ${files.length - mostIds} more` : '';
  const path = first.type === 'folder' && first.path !== '/' ? `${first.path}/` : first.path;
  return `  ${printable(path)}: ${printable(first.reason)} (${ids.join(', ')}${rest})`;
}

/** Counts of snapshots, when not every file is listed. */
function snapshotLines(snapshots: AffectedFiles['affectedSnapshots'], affected: readonly AffectedFile[]): string[] {
  const total = snapshots.reduce((sum, { count }) => sum + count, 0);
  if (total === affected.length) return [];
  return snapshots
    .slice(0, mostPaths)
    .map(
      ({ snapshotId, count }) =>
        `  snapshot ${snapshotId.slice(0, 8)}: ${counted(count, 'file or folder', 'files and folders')}`,
    );
}
