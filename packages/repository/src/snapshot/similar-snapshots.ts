// When two snapshot files are about the same thing, as restic's copy decides it: everything but parent, original, and what merely
// describes the program that wrote them.

import { snapshotTimeNs, type NewSnapshot } from './snapshot.ts';

/** Whether time, tree, host, user, paths, excludes and tags are the same; the order of paths and tags does not count. */
export function isSameSnapshot(a: NewSnapshot, b: NewSnapshot): boolean {
  return (
    a.tree === b.tree &&
    snapshotTimeNs(a) === snapshotTimeNs(b) &&
    (a.hostname ?? '') === (b.hostname ?? '') &&
    (a.username ?? '') === (b.username ?? '') &&
    (a.uid ?? 0) === (b.uid ?? 0) &&
    (a.gid ?? 0) === (b.gid ?? 0) &&
    isSameSet(a.paths, b.paths) &&
    isSameSet(a.tags ?? [], b.tags ?? []) &&
    isSameList(a.excludes ?? [], b.excludes ?? [])
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, position) => item === b[position]);
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return isSameList(a.toSorted(), b.toSorted());
}
