// `varve repo stats`: how much snapshots hold, counted in one of four ways.

import { formatBytes, type Progress } from '@varve/base';
import type { RepositoryStats, StatsMode } from '@varve/repository';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { selectSnapshots } from '../../options/snapshot-selection.ts';

interface Options extends LockCommandOptions {
  readonly mode: StatsMode;
}

const modes = [
  'restore-size',
  'files-by-contents',
  'blobs-per-file',
  'raw-data',
] as const satisfies readonly StatsMode[];

export const addStatsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('stats')
    .description('count what snapshots hold, of all of them or of some')
    .argument('[snapshot...]', 'ids, beginnings of ids, or latest')
    .addOption(
      new Option('--mode <mode>', 'restore-size: what restoring them writes; raw-data: what they take up when stored')
        .choices(modes)
        .default('restore-size'),
    )
    .addHelpText(
      'after',
      examples(
        ['What a restore needs', 'varve repo stats latest'],
        ['What the repository takes up', 'varve repo stats --mode raw-data'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { collectStats } = await import('@varve/repository');
    const options = command.opts<Options>();
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const snapshots = await selectSnapshots(repository, {
      names: command.args,
      filter: filterOf(command),
      signal,
      warn: session.logger().error,
    });
    await repository.loadIndex({ signal });
    using progress = session.progress();
    const { mode } = options;
    const onProgress = (state: Progress): void => {
      const { filesDone, bytesDone, current = null } = state;
      const unknown = { filesTotal: null, bytesTotal: null, bytesPerSecond: null, secondsLeft: null };
      progress.update({ label: 'stats', filesDone, bytesDone, current, ...unknown });
    };
    const stats = await collectStats(repository, { snapshots, mode, signal, onProgress });
    progress[Symbol.dispose]();
    session.print(statsJson(stats, mode), () => statsLines(stats, mode));
  });
};

/** As `restic stats --json`: what does not belong to the mode is left out. */
function statsJson(stats: RepositoryStats, mode: StatsMode): Record<string, unknown> {
  return {
    total_size: stats.totalSize,
    total_uncompressed_size: stats.totalUncompressedSize,
    compression_ratio: stats.compressionRatio,
    compression_progress: stats.compressionProgress || undefined,
    compression_space_saving: stats.compressionSpaceSaving || undefined,
    total_file_count: mode === 'raw-data' ? undefined : stats.totalFileCount || undefined,
    total_blob_count: stats.totalBlobCount || undefined,
    snapshots_count: stats.snapshotsCount,
  };
}

function statsLines(stats: RepositoryStats, mode: StatsMode): string[] {
  const percent = (value: number | undefined): string => (value ? `${value.toFixed(2)}%` : '');
  const { totalBlobCount, totalFileCount, totalUncompressedSize, compressionRatio } = stats;
  const facts = [
    ['Snapshots processed', String(stats.snapshotsCount)],
    ['Total Blob Count', totalBlobCount > 0 ? String(totalBlobCount) : ''],
    ['Total File Count', totalFileCount > 0 ? String(totalFileCount) : ''],
    ['Total Uncompressed Size', totalUncompressedSize ? formatBytes(Number(totalUncompressedSize)) : ''],
    ['Total Size', formatBytes(Number(stats.totalSize))],
    ['Compression Progress', percent(stats.compressionProgress)],
    ['Compression Ratio', compressionRatio ? `${compressionRatio.toFixed(2)}x` : ''],
    ['Compression Space Saving', percent(stats.compressionSpaceSaving)],
  ] as const;
  const shown = facts.filter(([, value]) => value !== '');
  return [`Stats in ${mode} mode:`, ...shown.map(([name, value]) => `${name.padStart(24)}:  ${value}`)];
}
