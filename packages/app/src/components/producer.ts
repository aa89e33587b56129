// What every component's producer is given and yields while a snapshot is made.

import type { SavedComponent } from '@varve/contract';
import type { AddedItem, ArchiveSession } from '@varve/repository';
import type { Problem } from '../use-case.ts';

export interface ProducerInput {
  readonly session: ArchiveSession;
  readonly signal: AbortSignal;
  /** Says what is being read now: a path, a database. */
  readonly onStep: (current: string) => void;
}

export interface Produced<T extends SavedComponent = SavedComponent> {
  readonly saved: T;
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly Problem[];
}

/** Adds up what was added for one component. */
export class AddedTotal {
  files = 0;
  bytes = 0;
  readonly problems: Problem[] = [];

  add(item: AddedItem): AddedItem {
    this.files += item.files;
    this.bytes += item.bytes;
    this.problems.push(...item.problems);
    return item;
  }
}
