// What of a source is saved, by restic's rules: patterns, marked folders, sizes, file systems. The rules are plain data, told
// to the worker threads as JSON once per folder; each side compiles them once. Paths are binary strings (one character a byte).

import { closeSync, lstatSync, readSync, type BigIntStats } from 'node:fs';
import { joinPath } from '../filesystem/byte-path.ts';
import { binaryComponents, ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import { toBinary } from '../filesystem/glob.ts';
import { openForReading } from '../filesystem/open-file.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { printableName } from '../tree/go-quote.ts';
import type { LiveRules } from './live-files.ts';
import type { Notice } from './worker-protocol.ts';

/** Folders that hold a file of this name, which begins with `header`, are saved without their content. */
export interface FolderMark {
  readonly name: string;
  readonly header?: string | undefined;
}

/** What to leave out beside patterns. */
export interface ExcludeRules {
  /** As `excludes`, without regard to upper and lower case. */
  readonly excludesIgnoringCase?: readonly string[] | undefined;
  readonly excludeIfPresent?: readonly FolderMark[] | undefined;
  /** Files (not folders) that are larger than this are left out. */
  readonly excludeLargerThanBytes?: number | undefined;
  /** Stay on the file system of the source; folders where others are mounted are kept, empty. */
  readonly oneFileSystem?: boolean | undefined;
}

/** restic's `--exclude-caches`: https://bford.info/cachedir/ */
export const cacheMark: FolderMark = {
  name: 'CACHEDIR.TAG',
  header: 'Signature: 8a477f597d28d172789f06886806bc55',
};

/** Chunks of page files: see the README for how it was chosen. */
export const defaultPageChunkBytes = 16 * 1024;

/** Which files below a source consist of pages of a fixed size, so that they are cut at fixed borders. */
export interface PageFiles {
  /** Patterns (restic's syntax) that are matched against paths inside the source, `/` being the source itself. */
  readonly patterns: readonly string[];
  /** Size of a chunk, a multiple of the page size; {@link defaultPageChunkBytes} when absent. */
  readonly chunkBytes?: number | undefined;
}

export interface SelectionRules {
  readonly patterns: readonly {
    readonly patterns: readonly string[];
    readonly ignoreCase: boolean;
    /** What the paths that are matched begin with: the place of the source. */
    readonly prefix: string;
  }[];
  readonly marks: readonly FolderMark[];
  readonly largerThanBytes: number | null;
  /** Devices that may be read: that of the source (its path inside itself is empty), and of other sources below it. */
  readonly devices: readonly { readonly below: string; readonly device: string }[] | null;
  readonly pages: { readonly patterns: readonly string[]; readonly chunkBytes: number } | null;
  readonly live: LiveRules | null;
}

export const noRules: SelectionRules = {
  patterns: [],
  marks: [],
  largerThanBytes: null,
  devices: null,
  pages: null,
  live: null,
};

/** An entry's stat, as far as the rules look at it. */
type Facts = Pick<BigIntStats, 'dev' | 'size' | 'isDirectory'>;

/** The rules for the entries of one folder. */
export interface FolderSelection {
  /** Whether a name is left out for its path or because the folder is marked. */
  excludesName(name: Uint8Array): boolean;
  /** Whether an entry is saved; `mount-point`: as an empty folder. */
  keeps(name: Uint8Array, stat: Facts): boolean | 'mount-point';
  /** Size of the chunks of a file of pages; 0 for other files. */
  pageChunkBytes(name: Uint8Array): number;
}

export class Selection {
  readonly #rules: SelectionRules;
  readonly #patterns: readonly { readonly patterns: ExcludePatterns; readonly prefix: readonly string[] }[];
  readonly #marks: readonly { readonly name: string; readonly binary: string; readonly header: Buffer }[];
  readonly #pages: ExcludePatterns;

  /** USAGE_INVALID for patterns that cannot be understood. */
  constructor(rules: SelectionRules) {
    this.#rules = rules;
    this.#patterns = rules.patterns.map(({ patterns, ignoreCase, prefix }) => ({
      patterns: new ExcludePatterns(patterns, { ignoreCase }),
      prefix: prefix.split('/').filter((component) => component !== ''),
    }));
    this.#marks = rules.marks.map(({ name, header }) => ({
      name,
      binary: toBinary(name),
      header: Buffer.from(header ?? ''),
    }));
    this.#pages = new ExcludePatterns(rules.pages?.patterns ?? []);
  }

  get live(): LiveRules | null {
    return this.#rules.live;
  }

  /** Whether the source itself is left out for its path. */
  excludesSource(): boolean {
    return this.#patterns.some(({ patterns, prefix }) => patterns.matchesComponents(prefix));
  }

  /**
   * The rules for a folder at `path` of the host, `below` the source (`''`, `/a`, `/a/b`). Looks for marks: a file with a
   * mark's name and another beginning is told to `onNotice`.
   */
  folder(path: Buffer, below: string, onNotice: (notice: Notice) => void): FolderSelection {
    const components = below.split('/').filter((component) => component !== '');
    const lists = this.#patterns.map(({ patterns, prefix }) => ({ patterns, folder: [...prefix, ...components] }));
    const marks = this.#marks.filter((mark) => isMarked(path, mark, onNotice)).map(({ binary }) => binary);
    const { largerThanBytes, devices, pages } = this.#rules;
    const deviceRule = devices && deviceRuleAt(devices, path, below);
    return {
      excludesName: (name) => {
        if (lists.length === 0 && marks.length === 0) return false;
        const binary = toBinary(name);
        if (marks.some((mark) => mark !== binary)) return true;
        return lists.some(({ patterns, folder }) => patterns.matchesComponents([...folder, binary]));
      },
      keeps: (name, stat) => {
        if (largerThanBytes !== null && !stat.isDirectory() && stat.size > BigInt(largerThanBytes)) return false;
        return deviceRule ? deviceRule(name, stat) : true;
      },
      pageChunkBytes: (name) => (pages ? this.#pageChunkBytes([...components, toBinary(name)]) : 0),
    };
  }

  /** Size of the chunks of the file at a path inside the source; 0 for a file that is cut by content. */
  pageChunkBytes(path: readonly Uint8Array[]): number {
    return this.#rules.pages ? this.#pageChunkBytes(path.map(toBinary)) : 0;
  }

  #pageChunkBytes(path: readonly string[]): number {
    return this.#pages.matchesComponents(path) ? (this.#rules.pages?.chunkBytes ?? 0) : 0;
  }
}

/**
 * Entries on the device of the nearest source above are saved; of other devices, folders are, but empty: something is
 * mounted there. Folders on the way to a source below are entered on any device.
 */
function deviceRuleAt(
  devices: NonNullable<SelectionRules['devices']>,
  path: Buffer,
  below: string,
): (name: Uint8Array, stat: Facts) => boolean | 'mount-point' {
  const nearest = devices
    .filter((source) => `${below}/`.startsWith(`${source.below}/`))
    .reduce((best, source) => (source.below.length >= best.below.length ? source : best));
  // Such a folder is itself on another device: what is beside the way is not saved.
  const isOnTheWay = devices.length > 1 && lstatSync(path, { bigint: true }).dev !== BigInt(nearest.device);
  return (name, stat) => {
    const entry = `${below}/${toBinary(name)}`;
    const own = devices.find((source) => source.below === entry);
    if (stat.dev === BigInt((own ?? nearest).device)) return true;
    if (!stat.isDirectory()) return false;
    if (devices.some((source) => source.below.startsWith(`${entry}/`))) return true;
    return isOnTheWay ? false : 'mount-point';
  };
}

function isMarked(
  folder: Buffer,
  { name, header }: { readonly name: string; readonly header: Buffer },
  onNotice: (notice: Notice) => void,
): boolean {
  const path = joinPath(folder, Buffer.from(name));
  try {
    if (!lstatSync(path, { throwIfNoEntry: false })) return false;
    if (header.length === 0) return true;
    const fd = openForReading(path);
    try {
      const start = Buffer.alloc(header.length);
      const count = readSync(fd, start, 0, start.length, 0);
      if (count === header.length && start.equals(header)) return true;
    } finally {
      closeSync(fd);
    }
    onNotice(noMark(path, 'it does not begin as a mark of its name does, and its folder is saved'));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    onNotice(noMark(path, `it cannot be read as a mark, and its folder is saved: ${error.message}`));
  }
  return false;
}

function noMark(path: Buffer, message: string): Notice {
  return { kind: 'no-mark', path: printableName(path), message };
}

/** The place of a source as the prefix of {@link SelectionRules}. */
export function prefixOf(path: string | Uint8Array): string {
  return binaryComponents(path)
    .map((component) => `/${component}`)
    .join('');
}
