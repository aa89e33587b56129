// Which packs a check reads when it is not to read all of them, as restic's --read-data-subset says it.

import { randomInt } from 'node:crypto';
import { AppError } from '@varve/base';

/** `part`: the packs of one of `parts` groups, always the same ones; `percent` and `size`: as many at random. */
export type DataSubset =
  | { readonly kind: 'part'; readonly part: number; readonly parts: number }
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'size'; readonly sizeBytes: number };

/** The groups are made by the first byte of the names. */
const mostParts = 256;
const sizeUnits: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `n/t`, `x%`, `x.y%`, or a number of bytes with the suffixes k, m, g, t. USAGE_INVALID for anything else. */
export function parseDataSubset(text: string): DataSubset {
  const group = /^(\d{1,6})\/(\d{1,6})$/.exec(text);
  if (group) {
    const [part, parts] = [Number(group[1]), Number(group[2])];
    if (part >= 1 && part <= parts && parts <= mostParts) return { kind: 'part', part, parts };
    throw invalid(text, `of n/t, n is from 1 to t, and t is at most ${mostParts}`);
  }
  const share = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (share) {
    const percent = Number(share[1]);
    if (percent > 0 && percent <= 100) return { kind: 'percent', percent };
    throw invalid(text, 'a percentage is above 0 and at most 100');
  }
  const size = /^(\d{1,15})([kmgt]?)$/i.exec(text);
  const sizeBytes = size ? Number(size[1]) * (sizeUnits[(size[2] ?? '').toLowerCase()] ?? 0) : 0;
  if (sizeBytes > 0) return { kind: 'size', sizeBytes };
  throw invalid(text, 'it is not a part (1/5), a percentage (2.5%) or a size (500M)');
}

/**
 * The names of the packs to read; at least one unless there are none. `stored` maps packs to sizes, `random(n)` yields a
 * whole number from 0 to below n.
 */
export function choosePacks(
  stored: ReadonlyMap<string, number>,
  subset: DataSubset,
  random: (below: number) => number = randomInt,
): Set<string> {
  if (subset.kind === 'part') {
    const { part, parts } = subset;
    return new Set(stored.keys().filter((name) => Number.parseInt(name.slice(0, 2), 16) % parts === part - 1));
  }
  const bytes = stored.values().reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  const percent = subset.kind === 'percent' ? subset.percent : Math.min(100, (subset.sizeBytes / bytes) * 100);
  const count = Math.min(stored.size, Math.max(1, Math.floor((stored.size * percent) / 100)));
  const names = [...stored.keys()];
  // The beginning of a random order is a random choice.
  for (let i = 0; i < count; i++) {
    const j = i + random(names.length - i);
    [names[i], names[j]] = [names[j] as string, names[i] as string];
  }
  return new Set(names.slice(0, count));
}

function invalid(text: string, why: string): AppError {
  return new AppError('USAGE_INVALID', `“${text}” does not say which data to read: ${why}.`, {
    hint: 'Give a part such as 1/5, a percentage such as 2.5%, or a size such as 500M.',
  });
}
