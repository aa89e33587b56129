// Plans and results of a prune: sizes for people as restic shows them, everything for programs.

import { formatBytes, formatDuration } from '@varve/base';
import type { Amount, PrunePlan, PruneResult } from '@varve/repository';
import { factLines } from './table.ts';
import { counted } from './text.ts';

/** The lines of `restic prune`, without the ids of packs. */
export function prunePlanLines(plan: PrunePlan): string[] {
  const total = { blobs: plan.delete.blobs + plan.repackedRemoved.blobs, bytes: plan.freedBytes };
  return factLines([
    ['used', amount(plan.used)],
    ...row(plan.duplicate.blobs > 0, 'duplicates', amount(plan.duplicate)),
    ['unused', amount(plan.unused)],
    ...row(plan.unreferenced.length > 0, 'unreferenced', packs(plan.unreferenced)),
    ['all packs', formatBytes(plan.sizeBytes)],
    ['to repack', `${amount(plan.repacked)} in ${counted(plan.repack.length, 'pack')}`],
    ['this removes', amount(plan.repackedRemoved)],
    ['to delete', `${amount(plan.delete)} in ${counted(plan.remove.length, 'pack')}`],
    ...row(plan.missing.length > 0, 'missing, not needed', counted(plan.missing.length, 'pack')),
    ['total prune', amount(total)],
    ['remaining', amount(plan.remaining)],
    ['unused size after prune', `${formatBytes(plan.unusedAfterBytes)} (${percent(plan)} of remaining size)`],
  ]);
}

/** What was done. */
export function pruneResultLines(result: PruneResult): string[] {
  const { plan, packsRemoved, bytesRemoved, packsWritten, bytesWritten, packsKept, exclusiveMs } = result;
  if (packsRemoved === 0 && packsWritten === 0 && plan.missing.length === 0) return ['nothing to remove'];
  return [
    `removed ${counted(packsRemoved, 'pack')} (${formatBytes(bytesRemoved)}), wrote ${counted(packsWritten, 'pack')} ` +
      `(${formatBytes(bytesWritten)}): ${formatBytes(Math.max(0, bytesRemoved - bytesWritten))} freed`,
    ...(packsKept.length > 0 ? [`kept ${counted(packsKept.length, 'pack')} that came into use meanwhile`] : []),
    `others had to wait for ${formatDuration(exclusiveMs)}`,
  ];
}

/** The plan in JSON, with names as in the rest of restic's output. */
export function prunePlanJson(plan: PrunePlan): Record<string, unknown> {
  const pack = ({ packId, sizeBytes }: { packId: string; sizeBytes: number }): object => ({
    id: packId,
    size: sizeBytes,
  });
  return {
    repository: plan.repositoryId,
    snapshots: plan.snapshots,
    blobs: {
      used: plan.used.blobs,
      duplicate: plan.duplicate.blobs,
      unused: plan.unused.blobs,
      remove: plan.delete.blobs,
      repack: plan.repacked.blobs,
      repack_remove: plan.repackedRemoved.blobs,
      remaining: plan.remaining.blobs,
    },
    size: {
      used: plan.used.bytes,
      duplicate: plan.duplicate.bytes,
      unused: plan.unused.bytes,
      remove: plan.delete.bytes,
      repack: plan.repacked.bytes,
      repack_remove: plan.repackedRemoved.bytes,
      remaining: plan.remaining.bytes,
      unused_after: plan.unusedAfterBytes,
      packs: plan.sizeBytes,
      packs_after: plan.sizeAfterBytes,
      freed: plan.freedBytes,
    },
    packs: {
      used: plan.packs.used,
      partly_used: plan.packs.partlyUsed,
      unused: plan.packs.unused,
      keep: plan.packs.keep,
      remove: plan.remove.length,
      repack: plan.repack.length,
      unreferenced: plan.unreferenced.length,
    },
    remove_packs: plan.remove.map(pack),
    unreferenced_packs: plan.unreferenced.map(pack),
    missing_packs: plan.missing,
    repack_packs: plan.repack.map((repacked) => ({
      ...pack(repacked),
      reason: repacked.reason,
      used: repacked.usedBytes,
      unused: repacked.unusedBytes,
    })),
  };
}

export function pruneResultJson(result: PruneResult): Record<string, unknown> {
  return {
    packs_removed: result.packsRemoved,
    bytes_removed: result.bytesRemoved,
    packs_written: result.packsWritten,
    bytes_written: result.bytesWritten,
    packs_kept: result.packsKept,
    seconds_exclusive: result.exclusiveMs / 1000,
    problems: result.problems,
  };
}

function amount({ blobs, bytes }: Amount): string {
  return `${counted(blobs, 'blob')} / ${formatBytes(bytes)}`;
}

function packs(list: readonly { readonly sizeBytes: number }[]): string {
  return `${counted(list.length, 'pack')} / ${formatBytes(list.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))}`;
}

function percent({ unusedAfterBytes, remaining }: PrunePlan): string {
  return `${(remaining.bytes === 0 ? 0 : (100 * unusedAfterBytes) / remaining.bytes).toFixed(2)}%`;
}

function row(isShown: boolean, name: string, value: string): [string, string][] {
  return isShown ? [[name, value]] : [];
}
