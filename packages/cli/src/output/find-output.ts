// What find prints while it searches: hits grouped by snapshot, as restic's text or JSON.

import type { FindHit, Snapshot } from '@varve/repository';
import type { Session } from '../session.ts';
import { jsonText } from './json.ts';
import { foundNodeJson, nodeLine, type NodeLineOptions } from './node-text.ts';
import { printable } from './text.ts';
import { absoluteTime } from './time.ts';

interface FindOutputOptions extends NodeLineOptions {
  /** Text of bytes that need not be UTF-8. */
  readonly text: (bytes: Uint8Array) => string;
}

export class FindOutput {
  /** Blobs and trees that were found. */
  readonly objects = new Map<string, 'blob' | 'tree'>();
  readonly #session: Session;
  readonly #options: FindOutputOptions;
  #snapshot: Snapshot | undefined;
  #hits = 0;
  #isBegun = false;

  constructor(session: Session, options: FindOutputOptions) {
    this.#session = session;
    this.#options = options;
  }

  add(hit: FindHit): void {
    if (hit.kind === 'object') this.objects.set(hit.id, hit.objectType);
    if (this.#session.json) this.#addJson(hit);
    else if (hit.kind === 'node') this.#addNode(hit, hit.snapshot);
    else this.#addObject(hit, hit.snapshot);
  }

  /** Completes the JSON. */
  end(): void {
    if (!this.#session.json) return;
    this.#endSnapshot();
    this.#write(this.#isBegun ? ']\n' : '[]\n');
  }

  #addJson(hit: FindHit): void {
    if (!this.#isBegun) this.#write('[');
    this.#isBegun = true;
    if (hit.kind === 'object') {
      if (this.#hits++ > 0) this.#write(',');
      this.#write(jsonText(objectJson(hit, hit.snapshot)));
      return;
    }
    if (this.#snapshot !== hit.snapshot) {
      const isFirst = this.#snapshot === undefined;
      this.#endSnapshot();
      this.#write(`${isFirst ? '' : ','}{"matches":[`);
      this.#snapshot = hit.snapshot;
      this.#hits = 0;
    }
    if (this.#hits++ > 0) this.#write(',');
    this.#write(jsonText(foundNodeJson(hit.jsonPath, hit.node, this.#options.text)));
  }

  #endSnapshot(): void {
    if (this.#snapshot) this.#write(`],"hits":${this.#hits},"snapshot":"${this.#snapshot.id}"}`);
  }

  #addNode({ path, node }: Extract<FindHit, { kind: 'node' }>, snapshot: Snapshot): void {
    if (this.#snapshot !== snapshot) {
      if (this.#snapshot) this.#session.say('');
      this.#session.say(
        `Found matching entries in snapshot ${snapshot.id.slice(0, 8)} from ${absoluteTime(snapshot.time)}`,
      );
      this.#snapshot = snapshot;
    }
    this.#write(`${nodeLine(path, node, this.#options)}\n`);
  }

  #addObject(hit: Extract<FindHit, { kind: 'object' }>, snapshot: Snapshot): void {
    const { objectType, id, path, parentTree } = hit;
    this.#write(`Found ${objectType} ${id}\n`);
    if (parentTree === undefined) this.#write(` ... path ${printable(path)}\n`);
    else this.#write(` ... in file ${printable(path)}\n     (tree ${parentTree})\n`);
    this.#write(` ... in snapshot ${snapshot.id.slice(0, 8)} (${absoluteTime(snapshot.time)})\n`);
  }

  #write(text: string): void {
    this.#session.io.out.write(text);
  }
}

function objectJson(hit: Extract<FindHit, { kind: 'object' }>, snapshot: Snapshot): Record<string, unknown> {
  const { objectType, id, jsonPath, parentTree } = hit;
  return {
    object_type: objectType,
    id,
    path: jsonPath,
    parent_tree: parentTree,
    snapshot: snapshot.id,
    time: snapshot.time,
  };
}
