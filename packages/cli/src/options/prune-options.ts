// Options of `prune`, which `forget --prune` has too, named as restic's.

import type { MaxUnused, PruneRules } from '@varve/repository';
import { InvalidArgumentError, Option, type Command } from 'commander';

interface PruneCommandOptions {
  readonly maxUnused: MaxUnused;
  readonly maxRepackSize?: number;
  readonly repackCacheableOnly?: boolean;
  readonly repackSmall?: boolean;
  readonly repackSmallerThan?: number;
  readonly repackUncompressed?: boolean;
}

const group = 'Prune options:';
const unitBytes = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;

/** `500M`, `2G`, `1048576` → bytes. */
export function byteSize(text: string): number {
  const [, digits, unit = ''] = /^(\d+)([kmgt]?)$/i.exec(text) ?? [];
  const bytes = Number(digits) * unitBytes[unit.toLowerCase() as keyof typeof unitBytes];
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('It must be a number of bytes such as 1048576, 500M or 2G.');
}

/** `5%`, `500M` or `unlimited`. */
export function maxUnused(text: string): MaxUnused {
  if (text === 'unlimited') return text;
  if (!text.endsWith('%')) return { bytes: byteSize(text) };
  const percent = /^\d+(\.\d+)?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (percent <= 100) return { ratio: percent / 100 };
  throw new InvalidArgumentError('It must be a part from 0% to 100%, a number of bytes such as 500M, or unlimited.');
}

/** Adds `--max-unused` and the others. */
export function addPruneOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(
    new Option('--max-unused <limit>', 'tolerate this much unused data: bytes (500M), a part (5%) or unlimited')
      .argParser(maxUnused)
      .default({ ratio: 0.05 }, '5%'),
  );
  add(new Option('--max-repack-size <size>', 'repack no more than this, e.g. 10G; 0 for nothing').argParser(byteSize));
  add(new Option('--repack-cacheable-only', 'repack only packs with folders, which are kept in caches'));
  add(new Option('--repack-small', 'also repack packs below 80% of the size that packs should have'));
  add(new Option('--repack-smaller-than <size>', 'also repack packs below this size, e.g. 8M').argParser(byteSize));
  add(new Option('--repack-uncompressed', 'compress all data that is not compressed'));
}

/** What the options say. */
export function pruneRulesOf(command: Command): PruneRules {
  const options = command.opts<PruneCommandOptions>();
  return {
    maxUnused: options.maxUnused,
    maxRepackBytes: options.maxRepackSize,
    repackCacheableOnly: options.repackCacheableOnly,
    repackSmall: options.repackSmall,
    repackSmallerThanBytes: options.repackSmallerThan,
    repackUncompressed: options.repackUncompressed,
  };
}
