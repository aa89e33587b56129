// Options that say which snapshots `repo forget` keeps, named as restic's.

import type { GroupBy, RetentionPolicy } from '@varve/repository';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { collect, wholeNumber } from './numbers.ts';

type KeepOptions = Omit<RetentionPolicy, 'keepTags'> & { readonly keepTag?: readonly string[] };

const group = 'Policy options:';
const counts = [
  ['l', 'last'],
  ['H', 'hourly'],
  ['d', 'daily'],
  ['w', 'weekly'],
  ['m', 'monthly'],
  ['y', 'yearly'],
] as const;
const groupings: ReadonlySet<string> = new Set<GroupBy>(['host', 'paths', 'tags']);

/** A number of snapshots, or `unlimited`, which is -1. */
function keepCount(text: string): number {
  return text === 'unlimited' ? -1 : wholeNumber({ min: 0, max: 1_000_000 })(text);
}

/** `host,paths` → the list; nothing for no groups. */
export function parseGroupBy(text: string): GroupBy[] {
  const names = text.split(',').map((name) => name.trim());
  const known = names.filter((name): name is GroupBy => groupings.has(name));
  if (text.trim() === '') return [];
  if (known.length === names.length) return known;
  throw new InvalidArgumentError('It must be a list of host, paths and tags, or empty.');
}

/** Adds `--keep-last` and the others, and `--group-by`. */
export function addKeepOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  for (const [short, name] of counts) {
    add(
      new Option(`-${short}, --keep-${name} <n>`, `keep the last n ${name} snapshots, or unlimited`).argParser(
        keepCount,
      ),
    );
  }
  add(
    new Option('--keep-within <duration>', 'keep what is younger than this, e.g. 1y5m7d2h, than the latest snapshot'),
  );
  for (const [, name] of counts.slice(1)) {
    add(new Option(`--keep-within-${name} <duration>`, `keep ${name} snapshots that are younger than this`));
  }
  add(
    new Option('--keep-tag <tag,…>', 'keep snapshots with all these tags (may be given several times)').argParser(
      collect,
    ),
  );
  add(
    new Option('-g, --group-by <list>', 'apply the policy to each host, paths and/or tags; empty for no groups')
      .argParser(parseGroupBy)
      .default(['host', 'paths'], 'host,paths'),
  );
}

/** What the options say. */
export function keepPolicyOf(command: Command): RetentionPolicy {
  const options = command.opts<KeepOptions>();
  return {
    keepLast: options.keepLast,
    keepHourly: options.keepHourly,
    keepDaily: options.keepDaily,
    keepWeekly: options.keepWeekly,
    keepMonthly: options.keepMonthly,
    keepYearly: options.keepYearly,
    keepWithin: options.keepWithin,
    keepWithinHourly: options.keepWithinHourly,
    keepWithinDaily: options.keepWithinDaily,
    keepWithinWeekly: options.keepWithinWeekly,
    keepWithinMonthly: options.keepWithinMonthly,
    keepWithinYearly: options.keepWithinYearly,
    keepTags: options.keepTag?.map((list) => list.split(',').map((name) => name.trim())),
  };
}
