// What of a database's log the repository has, as a committer needs to know it: where to go on, and whether there is a hole.

import type { WalBlock } from '@varve/contract';
import { parseLsn, segmentNameAt, segmentStart, type Lsn, type TimelineHistory } from '@varve/postgres';
import type { StoredBlock, WalArchive } from '../wal-archive/wal-archive.ts';

export interface WalPlace {
  readonly timeline: number;
  readonly lsn: Lsn;
}

export class ArchivedWal {
  readonly systemId: string;
  /** The block that was begun last, of whatever cluster. */
  newest: StoredBlock | undefined;
  /** The one before it that a block is behind a gap, or the first of all: from here on there is no hole. */
  runStart: WalBlock | undefined;
  /** Blocks that are there and cannot be read. */
  readonly unreadableCount: number;
  readonly #bytes: Map<string, number>;

  constructor(archive: WalArchive, systemId: string) {
    this.systemId = systemId;
    this.unreadableCount = archive.unreadable.length;
    const inOrder = [...archive.blocks].sort((a, b) => Date.parse(a.block.startedAt) - Date.parse(b.block.startedAt));
    this.newest = inOrder.at(-1);
    const mine = inOrder.filter(({ block }) => block.systemId === systemId);
    this.runStart = (mine.findLast(({ block }) => block.gap !== null) ?? mine[0])?.block;
    this.#bytes = new Map([...archive.segments(systemId)].map(([name, { bytes }]) => [name, bytes]));
  }

  /** How much of a segment is in the repository. */
  bytesOf(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  /** Takes note of what was stored. */
  add(stored: StoredBlock): void {
    const { block } = stored;
    if (block.startedAt !== this.newest?.block.startedAt && block.gap?.reason === 'diverged') this.#forgetFrom(block);
    if (this.runStart === undefined || (block.gap !== null && block.startedAt > this.runStart.startedAt))
      this.runStart = block;
    this.newest = stored;
    for (const { name, bytes } of block.segments) this.#bytes.set(name, bytes);
  }

  #forgetFrom({ timeline, startLsn, segmentBytes }: WalBlock): void {
    const first = segmentNameAt({ timeline, lsn: parseLsn(startLsn) }, segmentBytes);
    for (const name of this.#bytes.keys()) {
      if (name.slice(0, 8) === first.slice(0, 8) && name >= first) this.#bytes.delete(name);
    }
  }

  /**
   * Whether the log before a position, which is the start of a segment, is there on the timelines that wrote it. Where a timeline
   * begins, its first segment repeats what its parent wrote: it is enough that the parent's is there.
   */
  reaches(
    { timeline, lsn }: WalPlace,
    options: { readonly segmentBytes: number; readonly history?: TimelineHistory | undefined },
  ): boolean {
    const { segmentBytes, history } = options;
    const nameOf = (writer: number, at: bigint): string =>
      segmentNameAt({ timeline: writer, lsn: at as Lsn }, segmentBytes);
    const parent = history?.ancestors.find(({ switchLsn }) => lsn <= switchLsn);
    const before = lsn - BigInt(segmentBytes);
    if (before < 0n || this.bytesOf(nameOf(parent?.timeline ?? timeline, before)) === segmentBytes) return true;
    return parent !== undefined && this.bytesOf(nameOf(parent.timeline, lsn)) > 0;
  }
}

export function isAfter(a: WalPlace, b: WalPlace): boolean {
  return a.timeline === b.timeline ? a.lsn > b.lsn : a.timeline > b.timeline;
}

/** Whether a place lies before the segment in which a block ended. */
export function isBefore({ position }: { readonly position: WalPlace }, block: WalBlock): boolean {
  const lsn: Lsn = segmentStart(parseLsn(block.endLsn), block.segmentBytes);
  return isAfter({ timeline: block.timeline, lsn }, position);
}
