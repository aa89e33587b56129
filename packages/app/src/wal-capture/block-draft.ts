// A WAL block while it grows: takes the log's bytes in order, keeps the facts that its `/wal.json` will have, and says how far it
// can be stored. Facts belong to the segment in which their record begins. Pure but for the reader that it holds.

import { parseLsn, formatLsn, formatUnixMicros, segmentStart, WalReader, segmentNameAt } from '@varve/postgres';
import type { Lsn, WalEnd, WalEvent, WalParameters } from '@varve/postgres';
import type { WalBlock, WalSegmentFacts } from '@varve/contract';

type EventLists = Pick<WalBlock, 'restorePoints' | 'parameterChanges' | 'restarts' | 'tablespacesCreated'>;

export interface DraftPlace {
  readonly timeline: number;
  readonly segmentBytes: number;
  /** The start of a segment. */
  readonly startLsn: Lsn;
}

export class BlockDraft {
  readonly timeline: number;
  readonly segmentBytes: number;
  readonly startLsn: Lsn;
  readonly #reader: WalReader;
  /** Their `bytes` count when the block is stored. */
  readonly #segments: WalSegmentFacts[];
  readonly #events: EventLists;

  private constructor(
    place: DraftPlace,
    known: { readonly segments: WalSegmentFacts[]; readonly events: EventLists; from: Lsn },
  ) {
    this.timeline = place.timeline;
    this.segmentBytes = place.segmentBytes;
    this.startLsn = place.startLsn;
    this.#segments = known.segments;
    this.#events = known.events;
    this.#reader = new WalReader({ lsn: known.from, maximumTimeline: place.timeline });
  }

  static begin(place: DraftPlace): BlockDraft {
    const events = { restorePoints: [], parameterChanges: [], restarts: [], tablespacesCreated: [] };
    return new BlockDraft(place, { segments: [], events, from: place.startLsn });
  }

  /**
   * Goes on with a stored block: bytes are wanted again from the start of the segment with its last whole record on, because the
   * facts behind are found anew.
   */
  static resume(block: WalBlock): BlockDraft {
    const { timeline, segmentBytes } = block;
    const from = segmentStart(parseLsn(block.replayableLsn), segmentBytes);
    const isBefore = ({ lsn }: { readonly lsn: string }): boolean => parseLsn(lsn) < from;
    const firstAgain = segmentNameAt({ timeline, lsn: from }, segmentBytes);
    return new BlockDraft(
      { timeline, segmentBytes, startLsn: parseLsn(block.startLsn) },
      {
        segments: structuredClone(block.segments.filter(({ name }) => name < firstAgain)),
        events: {
          restorePoints: block.restorePoints.filter(isBefore),
          parameterChanges: block.parameterChanges.filter(isBefore),
          restarts: block.restarts.filter(isBefore),
          tablespacesCreated: block.tablespacesCreated.filter(isBefore),
        },
        from,
      },
    );
  }

  /** Where the next byte that is pushed stands. */
  get inputLsn(): Lsn {
    return this.#reader.inputLsn;
  }

  /** How far it can be stored: whole segments as they are, of the last one whole records only. */
  get endLsn(): Lsn {
    const { inputLsn } = this;
    const border = segmentStart(inputLsn, this.segmentBytes);
    const whole = this.#reader.nextLsn < inputLsn ? this.#reader.nextLsn : inputLsn;
    return whole > border ? whole : border;
  }

  /** End of the last whole record. */
  get replayableLsn(): Lsn {
    const { nextLsn } = this.#reader;
    const { endLsn } = this;
    return nextLsn < endLsn ? nextLsn : endLsn;
  }

  /** Set when what was pushed is not valid: nothing behind it is read. */
  get fault(): WalEnd | undefined {
    return this.#reader.end;
  }

  get wholeSegments(): number {
    return Number((this.endLsn - this.startLsn) / BigInt(this.segmentBytes));
  }

  /** Takes the next bytes of the log. */
  push(bytes: Uint8Array): void {
    for (const event of this.#reader.push(bytes)) this.#note(event);
  }

  /** What of the block comes from the log. */
  facts(): Pick<WalBlock, 'segments' | 'startLsn' | 'endLsn' | 'replayableLsn'> & EventLists {
    const { endLsn } = this;
    const segments: WalSegmentFacts[] = [];
    for (let lsn = this.startLsn; lsn < endLsn; lsn = (lsn + BigInt(this.segmentBytes)) as Lsn) {
      const bytes = Math.min(this.segmentBytes, Number(endLsn - lsn));
      segments.push({ ...this.#factsAt(lsn), bytes });
    }
    return {
      startLsn: formatLsn(this.startLsn),
      endLsn: formatLsn(endLsn),
      replayableLsn: formatLsn(this.replayableLsn),
      segments,
      restorePoints: [...this.#events.restorePoints],
      parameterChanges: [...this.#events.parameterChanges],
      restarts: [...this.#events.restarts],
      tablespacesCreated: [...this.#events.tablespacesCreated],
    };
  }

  #factsAt(lsn: Lsn): WalSegmentFacts {
    const index = Number((lsn - this.startLsn) / BigInt(this.segmentBytes));
    for (let next = this.#segments.length; next <= index; next++) {
      const at = (this.startLsn + BigInt(next) * BigInt(this.segmentBytes)) as Lsn;
      const name = segmentNameAt({ timeline: this.timeline, lsn: at }, this.segmentBytes);
      this.#segments.push({ name, bytes: 0, commits: 0, firstCommitAt: null, lastCommitAt: null, latestAt: null });
    }
    const facts = this.#segments[index];
    if (facts === undefined) throw new RangeError(`${formatLsn(lsn)} lies before the block.`);
    return facts;
  }

  #noteTransaction({ lsn, type, unixMicros }: Extract<WalEvent, { type: 'commit' | 'abort' }>): void {
    const facts = this.#factsAt(lsn);
    const at = formatUnixMicros(unixMicros);
    if (type === 'commit') {
      facts.commits++;
      facts.firstCommitAt ??= at;
      facts.lastCommitAt = at;
    }
    // All are written the same way, so that texts compare as times do.
    if (facts.latestAt === null || at > facts.latestAt) facts.latestAt = at;
  }

  #note(event: WalEvent): void {
    const lsn = formatLsn(event.lsn);
    switch (event.type) {
      case 'commit':
      case 'abort':
        this.#noteTransaction(event);
        return;
      case 'restore-point':
        this.#events.restorePoints.push({ name: event.name, lsn, at: formatUnixMicros(event.unixMicros) });
        return;
      case 'parameter-change':
        this.#events.parameterChanges.push({ lsn, parameters: parametersOf(event.parameters) });
        return;
      case 'checkpoint':
        if (event.isShutdown) this.#events.restarts.push({ lsn, at: formatUnixMicros(event.unixMicros) });
        return;
      case 'end-of-recovery':
        this.#events.restarts.push({ lsn, at: formatUnixMicros(event.unixMicros) });
        return;
      case 'tablespace-create':
        if (event.path !== '') this.#events.tablespacesCreated.push({ lsn, path: event.path });
        return;
      default:
    }
  }
}

/** The settings of a parameter change that a block keeps. */
export function parametersOf(
  parameters: WalBlock['parameterChanges'][number]['parameters'] | WalParameters,
): WalBlock['parameterChanges'][number]['parameters'] {
  const {
    maxConnections,
    maxWorkerProcesses,
    maxWalSenders,
    maxPreparedTransactions,
    maxLocksPerTransaction,
    walLevel,
  } = parameters;
  return {
    maxConnections,
    maxWorkerProcesses,
    maxWalSenders,
    maxPreparedTransactions,
    maxLocksPerTransaction,
    walLevel,
  };
}
