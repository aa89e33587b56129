// How ls shows nodes: as lines, as restic's JSON, for ncdu, or sorted first.

import type { Snapshot, WalkedNode } from '@varve/repository';
import type { Session } from '../session.ts';
import { jsonText } from './json.ts';
import { listedNodeJson, nodeLine } from './node-text.ts';
import { ncduNode } from './ncdu.ts';
import { snapshotJson } from './repository-json.ts';
import { printable } from './text.ts';
import { absoluteTime } from './time.ts';

export const sortModes = ['name', 'size', 'time', 'mtime', 'atime', 'ctime', 'extension'] as const;
export type SortMode = (typeof sortModes)[number];

export interface LsPrinter {
  begin(snapshot: Snapshot, folders: readonly string[]): void;
  node(step: WalkedNode): void;
  /** A folder that is only on the way to what was asked for. */
  passed(step: WalkedNode): void;
  /** The last folder that was shown or passed has ended. */
  leave(): void;
  end(): void;
}

interface LsPrinterOptions {
  readonly long?: boolean;
  readonly humanReadable?: boolean;
  readonly sort: SortMode;
  readonly reverse?: boolean;
  readonly ncdu?: boolean;
  /** Nanoseconds since 1970 of the time of a node. */
  readonly timeNs: (time: string) => bigint | undefined;
}

export function lsPrinter(session: Session, options: LsPrinterOptions): LsPrinter {
  if (options.ncdu) return new NcduPrinter(session);
  const printer = new LinePrinter(session, options);
  return options.sort === 'name' && !options.reverse ? printer : new SortedPrinter(printer, options);
}

class LinePrinter implements LsPrinter {
  readonly #session: Session;
  readonly #options: LsPrinterOptions;

  constructor(session: Session, options: LsPrinterOptions) {
    this.#session = session;
    this.#options = options;
  }

  begin(snapshot: Snapshot, folders: readonly string[]): void {
    if (this.#session.json) {
      this.#session.printJson({ ...snapshotJson(snapshot), message_type: 'snapshot', struct_type: 'snapshot' });
      return;
    }
    const paths = snapshot.paths.map(printable).join(' ');
    const filter = folders.length === 0 ? '' : ` filtered by [${folders.map(printable).join(' ')}]`;
    this.#session.say(`snapshot ${snapshot.id.slice(0, 8)} of [${paths}] at ${absoluteTime(snapshot.time)}${filter}:`);
  }

  node({ path, jsonPath, node }: WalkedNode): void {
    if (this.#session.json) this.#session.printJson(listedNodeJson(jsonPath, node));
    else {
      const { long = false, humanReadable = false } = this.#options;
      this.#session.io.out.write(`${nodeLine(path, node, { long, humanReadable })}\n`);
    }
  }

  passed(): void {}
  leave(): void {}
  end(): void {}
}

/** Holds all nodes until the end. */
class SortedPrinter implements LsPrinter {
  readonly #printer: LinePrinter;
  readonly #options: LsPrinterOptions;
  readonly #steps: WalkedNode[] = [];

  constructor(printer: LinePrinter, options: LsPrinterOptions) {
    this.#printer = printer;
    this.#options = options;
  }

  begin(snapshot: Snapshot, folders: readonly string[]): void {
    this.#printer.begin(snapshot, folders);
  }

  node(step: WalkedNode): void {
    this.#steps.push({ ...step, node: { ...step.node, content: null } });
  }

  passed(): void {}
  leave(): void {}

  end(): void {
    const { sort, reverse } = this.#options;
    if (sort !== 'name') {
      const keyed = this.#steps.map((step) => ({ step, key: sortKey(step, this.#options) }));
      keyed.sort((a, b) => compare(a.key, b.key) || compare(a.step.path, b.step.path));
      this.#steps.splice(0, keyed.length, ...keyed.map(({ step }) => step));
    }
    if (reverse) this.#steps.reverse();
    for (const step of this.#steps) this.#printer.node(step);
  }
}

/** In ncdu's export format 1.2 (dev.yorhel.nl/ncdu/jsonfmt). */
class NcduPrinter implements LsPrinter {
  readonly #session: Session;
  #depth = 1;

  constructor(session: Session) {
    this.#session = session;
  }

  begin(snapshot: Snapshot): void {
    const { id, short_id: shortId, ...stored } = snapshotJson(snapshot);
    void [id, shortId];
    this.#write(`[1, 2, ${jsonText(stored)}, [{"name":"/"}`);
  }

  node(step: WalkedNode): void {
    const text = jsonText(ncduNode(step));
    const indent = '  '.repeat(this.#depth);
    if (step.node.type !== 'dir') {
      this.#write(`,\n${indent}${text}`);
      return;
    }
    this.#write(`,\n${indent}[\n${indent}  ${text}`);
    this.#depth++;
  }

  passed(step: WalkedNode): void {
    this.node(step);
  }

  leave(): void {
    this.#depth--;
    this.#write(`\n${'  '.repeat(this.#depth)}]`);
  }

  end(): void {
    this.#write('\n]\n]\n');
  }

  #write(text: string): void {
    this.#session.io.out.write(text);
  }
}

type SortKey = number | bigint | string;

function sortKey({ path, node }: WalkedNode, { sort, timeNs }: LsPrinterOptions): SortKey {
  switch (sort) {
    case 'size':
      return node.size;
    case 'time':
    case 'mtime':
      return timeNs(node.mtime) ?? 0n;
    case 'atime':
      return timeNs(node.atime) ?? 0n;
    case 'ctime':
      return timeNs(node.ctime) ?? 0n;
    case 'extension': {
      const name = path.slice(path.lastIndexOf('/') + 1);
      const dot = name.lastIndexOf('.');
      return dot < 0 ? '' : name.slice(dot);
    }
    case 'name':
      return path;
  }
}

function compare(a: SortKey, b: SortKey): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
