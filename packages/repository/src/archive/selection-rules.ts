// From what callers ask to leave out to the rules that are told to the threads.

import { lstatSync } from 'node:fs';
import { AppError } from '@varve/base';
import { maxChunkBytes } from '../chunker/chunker.ts';
import { liveRules, type LiveFiles } from './live-files.ts';
import {
  defaultPageChunkBytes,
  noRules,
  prefixOf,
  Selection,
  type ExcludeRules,
  type PageFiles,
  type SelectionRules,
} from './selection.ts';

const sectorBytes = 512;

export interface RulesInput extends ExcludeRules {
  /** Patterns, with the place that their paths begin at. */
  readonly excludes: readonly {
    readonly patterns: readonly string[] | undefined;
    readonly place: string | Uint8Array;
  }[];
  /** Place of the paths of `excludesIgnoringCase`. */
  readonly place?: string | Uint8Array | undefined;
  readonly pages?: PageFiles | undefined;
  readonly live?: LiveFiles | undefined;
  readonly devices?: SelectionRules['devices'] | undefined;
}

/** USAGE_INVALID for patterns that cannot be understood and sizes of chunks that are none. */
export function makeRules(input: RulesInput): SelectionRules {
  const ignoringCase = input.excludesIgnoringCase ?? [];
  const rules: SelectionRules = {
    ...noRules,
    patterns: [
      ...input.excludes.flatMap(({ patterns, place }) =>
        patterns?.length ? [{ patterns, ignoreCase: false, prefix: prefixOf(place) }] : [],
      ),
      ...(ignoringCase.length > 0
        ? [{ patterns: ignoringCase, ignoreCase: true, prefix: prefixOf(input.place ?? '/') }]
        : []),
    ],
    marks: input.excludeIfPresent ?? [],
    largerThanBytes: input.excludeLargerThanBytes ?? null,
    devices: input.devices ?? null,
    pages: input.pages ? pageRules(input.pages) : null,
    live: input.live ? liveRules(input.live) : null,
  };
  // What cannot be understood fails here and not in a thread.
  void new Selection(rules);
  return rules;
}

/** The JSON of rules for the threads; empty when there is nothing to tell. */
export function encodeRules(rules: SelectionRules): string {
  const { patterns, marks, largerThanBytes, devices, pages, live } = rules;
  const isEmpty = patterns.length + marks.length === 0 && largerThanBytes === null && !devices && !pages && !live;
  return isEmpty ? '' : JSON.stringify(rules);
}

/** The device of a source, for `oneFileSystem`. A source that is gone is told by whoever reads it. */
export function deviceOf(source: Buffer): NonNullable<SelectionRules['devices']> | null {
  const stat = lstatSync(source, { bigint: true, throwIfNoEntry: false });
  return stat ? [{ below: '', device: String(stat.dev) }] : null;
}

/** A size of chunks of pages. USAGE_INVALID when it is no multiple of 512 from 512 bytes to 8 MiB. */
export function assertPageChunkBytes(chunkBytes: number): number {
  if (Number.isInteger(chunkBytes / sectorBytes) && chunkBytes >= sectorBytes && chunkBytes <= maxChunkBytes)
    return chunkBytes;
  throw new AppError('USAGE_INVALID', `Chunks of ${chunkBytes} bytes are not possible for database pages.`, {
    hint: `Choose a multiple of the page size, at most ${maxChunkBytes} bytes.`,
  });
}

function pageRules({ patterns, chunkBytes = defaultPageChunkBytes }: PageFiles): SelectionRules['pages'] {
  return { patterns, chunkBytes: assertPageChunkBytes(chunkBytes) };
}
