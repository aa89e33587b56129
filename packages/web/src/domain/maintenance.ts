// What is said about the care of the repository: what a check reads, what a prune came to.

import type { CheckScope, Job, JobResult, PrunePreview } from '@varve/contract';
import type { Format } from '../i18n/format.ts';
import type { Translate } from '../i18n/messages.ts';

/** `structure, and part 2 of 4 of the data` */
export function scopeText(scope: CheckScope, t: Translate): string {
  switch (scope.data) {
    case 'none':
      return t('check.scope.none');
    case 'all':
      return t('check.scope.all');
    case 'part':
      return t('check.scope.part', { part: scope.part, parts: scope.parts });
  }
}

/** The result of a check; undefined for other jobs and when it did not get that far. */
export function checkResultOf({ result }: Pick<Job, 'result'>): Extract<JobResult, { type: 'check' }> | undefined {
  return result?.type === 'check' ? result : undefined;
}

/** Bytes that a prune gave back; null for other jobs and when it did not get that far. */
export function freedBytesOf({ result }: Pick<Job, 'result'>): number | null {
  return result?.type === 'prune' ? Math.max(0, result.bytesRemoved - result.bytesWritten) : null;
}

export function hasNothingToFree({ remove, repack, unreferenced }: PrunePreview): boolean {
  return remove.packs + repack.packs + unreferenced.packs === 0;
}

/** A plan in plain words, one line for each thing that happens or does not. */
export function pruneLines(preview: PrunePreview, t: Translate, format: Format): string[] {
  const { remove, repack, unreferenced } = preview;
  const lines = [t('prune.stays', { count: preview.snapshots, bytes: format.bytes(preview.usedBytes) })];
  if (remove.packs > 0) lines.push(t('prune.removes', { count: remove.packs, bytes: format.bytes(remove.bytes) }));
  if (repack.packs > 0)
    lines.push(t('prune.rewrites', { count: repack.packs, bytes: format.bytes(repack.unusedBytes) }));
  if (unreferenced.packs > 0)
    lines.push(t('prune.leftOver', { count: unreferenced.packs, bytes: format.bytes(unreferenced.bytes) }));
  if (preview.unusedAfterBytes > 0) {
    const percent = format.percent(preview.maxUnusedPercent / 100);
    lines.push(t('prune.notWorthIt', { bytes: format.bytes(preview.unusedAfterBytes), percent }));
  }
  return lines;
}
