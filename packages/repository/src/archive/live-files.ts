// Files that a running program changes in place while they are read, such as those of a database server. What is read of them
// in between is repaired by the program's own log: that files vanish, grow, shrink or change meanwhile is no problem. What has
// to be right is which files are taken over from the parent snapshot without being read.
//
// Why `unchangedBeforeNs` makes that safe. A file that is taken over has the time of change (mtime and ctime) that it had when
// an earlier run read it. A change that this run had to see and that the other did not read can leave these times as they were
// only when its stamp is of the same tick of the clock as the last change before. So the earlier run read the file within the
// same tick, or while the call that wrote was already stamped and not yet done. Both need a time of change that is not older
// than the beginning of the earlier run. `unchangedBeforeNs` is a moment before that beginning, by the clock that stamps the
// files: what has a time of change from then on is read again, however it looks. The distance is the longest that a writing call
// is allowed to take between its stamp and its end. What an earlier run took over itself was, by the same rule, older still.

import { readSync, type BigIntStats } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { BadPage, Notice } from './worker-protocol.ts';

/** See the head of this file. */
export interface LiveFiles {
  /** Files whose mtime or ctime is not before this moment (Unix nanoseconds) are read in any case; all of them when null. */
  readonly unchangedBeforeNs: bigint | null;
  /** `_x`: where there is a file `N_x`, N being digits, the other files of that number (`N`, `N.1`, `N_y`) are left out. */
  readonly onlySuffix?: string | undefined;
  /** URL of a module that checks files of pages while they are read: it exports what {@link PageCheck} has. */
  readonly pageCheck?: string | undefined;
}

/** {@link LiveFiles} as they are told to threads. */
export interface LiveRules {
  readonly unchangedBeforeNs: string | null;
  readonly onlySuffix: string | null;
  readonly pageCheck: string | null;
}

/** What a module of page checks exports. It is loaded synchronously: no top-level await. */
export interface PageCheck {
  readonly pageBytes: number;
  /** Offset of the first page at or after `from` that is not right, -1 when there is none. `position` is that of `bytes` in the file. */
  findBadPage(bytes: Uint8Array, part: { readonly name: string; readonly position: number }, from: number): number;
  /** A text about a page that is not right, for whoever judges it. */
  describePage(page: Uint8Array): string;
}

export function liveRules(live: LiveFiles): LiveRules {
  return {
    unchangedBeforeNs: live.unchangedBeforeNs === null ? null : String(live.unchangedBeforeNs),
    onlySuffix: live.onlySuffix ?? null,
    pageCheck: live.pageCheck ?? null,
  };
}

/** Whether a file that looks as in the parent snapshot may be taken over. */
export function isTrusted(
  live: LiveRules | null,
  { mtimeNs, ctimeNs }: Pick<BigIntStats, 'mtimeNs' | 'ctimeNs'>,
): boolean {
  if (!live) return true;
  if (live.unchangedBeforeNs === null) return false;
  const limit = BigInt(live.unchangedBeforeNs);
  return mtimeNs < limit && ctimeNs < limit;
}

/** The names of a folder that stay. */
export function withoutUnneeded(live: LiveRules | null, names: readonly Buffer[]): readonly Buffer[] {
  const suffix = live?.onlySuffix ?? '';
  if (suffix === '') return names;
  const texts = names.map((name) => name.toString('latin1'));
  const marked = new Set(texts.filter((text) => text.endsWith(suffix)).map((text) => text.slice(0, -suffix.length)));
  if (marked.size === 0) return names;
  return names.filter((_, i) => {
    const [, number = '', rest = ''] = /^(\d+)(.*)$/.exec(texts[i]!) ?? [];
    return !marked.has(number) || rest === suffix || rest.startsWith(`${suffix}.`) || !/^$|^[._]/.test(rest);
  });
}

export function badPageNotice(path: string, page: BadPage): Notice {
  const message = `the page at byte ${page.position} did not pass its check`;
  return { kind: 'bad-page', path, message, page };
}

/** Loads checks, each once. */
export class PageChecks {
  readonly #require = createRequire(import.meta.url);
  readonly #loaded = new Map<string, PageCheck>();

  /** Undefined when there is nothing to check. */
  get(url: string | null | undefined): PageCheck | undefined {
    if (!url) return undefined;
    let check = this.#loaded.get(url);
    if (!check) this.#loaded.set(url, (check = this.#require(fileURLToPath(url)) as PageCheck));
    return check;
  }
}

/** How often a page is read again, and how long is waited before: a program that is writing it needs microseconds. */
const rereads = 3;
const rereadMs = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

export interface PagesRead {
  readonly fd: number;
  readonly name: string;
  /** Of `bytes` in the file. */
  readonly position: number;
}

/** Checks what was read. A page that is right when it is read again is put into `bytes`; the others are told. */
export function verifyPages(check: PageCheck, bytes: Uint8Array, { fd, name, position }: PagesRead): BadPage[] {
  const bad: BadPage[] = [];
  const { pageBytes } = check;
  for (let at = 0; ; at += pageBytes) {
    at = check.findBadPage(bytes, { name, position }, at);
    if (at < 0) return bad;
    const page = bytes.subarray(at, at + pageBytes);
    const again = Buffer.alloc(pageBytes);
    let isRight = false;
    for (let reads = 0; reads < rereads && !isRight; reads++) {
      if (reads > 0) Atomics.wait(pause, 0, 0, rereadMs);
      // A file that was cut off meanwhile has no such page any more: its log says so.
      isRight = readSync(fd, again, 0, pageBytes, position + at) < pageBytes;
      if (!isRight) {
        page.set(again);
        isRight = check.findBadPage(again, { name, position: position + at }, 0) < 0;
      }
    }
    if (!isRight) bad.push({ position: position + at, description: check.describePage(page) });
  }
}
