// What a restore says about itself: what became of each object, numbers, progress, problems.

import type { OnProgress } from '@varve/base';
import type { Problem } from '../archive/worker-protocol.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { PlannedItem, RestorePlan } from './restore-plan.ts';

/** What became of an object: made or written; changed where it differed; left as it was; removed. */
export type RestoreAction = 'restored' | 'updated' | 'unchanged' | 'deleted';

export interface RestoredItem {
  readonly action: RestoreAction;
  /** In the snapshot; of what was deleted, on disk. */
  readonly path: string;
  /** Bytes of content of files, once for all names of a file. */
  readonly sizeBytes: number;
}

export interface RestoreCounts {
  /** Files, links and devices that were made or changed. */
  files: number;
  /** Folders, without the target itself. */
  dirs: number;
  /** Bytes of all content of the files that were made or changed. */
  restoredBytes: number;
  /** Files, links and devices that were left as they were. */
  unchanged: number;
  unchangedBytes: number;
  /** Objects that were removed because the snapshot does not have them. */
  deleted: number;
}

/** What a restore comes to, as far as it is known before it is planned. */
export interface ExpectedRestore {
  readonly files: number;
  readonly bytes: number;
}

export class RestoreReport {
  readonly counts: RestoreCounts = {
    files: 0,
    dirs: 0,
    restoredBytes: 0,
    unchanged: 0,
    unchangedBytes: 0,
    deleted: 0,
  };
  readonly problems: Problem[] = [];
  /** Failures that hold for the whole restore: message to first path and number. */
  readonly #general = new Map<string, { readonly path: string; count: number }>();
  readonly #onItem: ((item: RestoredItem) => void) | undefined;
  readonly #onProgress: OnProgress | undefined;
  readonly #expected: ExpectedRestore;
  /** What the parts so far come to. */
  readonly #planned = { files: 0, bytes: 0 };
  readonly #done = { filesDone: 0, bytesDone: 0 };

  constructor(options: {
    readonly onItem?: ((item: RestoredItem) => void) | undefined;
    readonly onProgress?: OnProgress | undefined;
    readonly expected?: ExpectedRestore | undefined;
  }) {
    this.#expected = options.expected ?? { files: 0, bytes: 0 };
    this.#onItem = options.onItem;
    this.#onProgress = options.onProgress;
  }

  /** Another part is going to be restored. */
  begin(part: RestorePlan): void {
    for (const problem of part.problems) this.problems.push(problem);
    this.#planned.files += part.files.length + part.links.length + part.specials.length;
    for (const { node } of part.files) this.#planned.bytes += node.size;
  }

  /** More of the totals is done. */
  readonly advance = ({ files, bytes }: { readonly files: number; readonly bytes: number }): void => {
    this.#done.filesDone += files;
    this.#done.bytesDone += bytes;
    const filesTotal = Math.max(this.#planned.files, this.#expected.files);
    const bytesTotal = Math.max(this.#planned.bytes, this.#expected.bytes);
    this.#onProgress?.({ ...this.#done, filesTotal, bytesTotal });
  };

  unchanged({ shown, node }: { readonly shown: string; readonly node: TreeNode }): void {
    this.counts.unchanged++;
    this.counts.unchangedBytes += node.size;
    this.#tell('unchanged', shown, node.size);
  }

  restored({ shown, compares }: PlannedItem, sizeBytes = 0): void {
    this.counts.files++;
    this.counts.restoredBytes += sizeBytes;
    this.#tell(compares ? 'updated' : 'restored', shown, sizeBytes);
  }

  /** A further name of a file. */
  linked(item: PlannedItem, isUnchanged: boolean): void {
    if (isUnchanged) {
      this.counts.unchanged++;
      this.#tell('unchanged', item.shown, 0);
    } else this.restored(item);
    this.advance({ files: 1, bytes: 0 });
  }

  folder({ shown, isTarget }: PlannedItem): void {
    if (isTarget) return;
    this.counts.dirs++;
    this.#tell('restored', shown, 0);
  }

  deleted(path: Buffer): void {
    this.counts.deleted++;
    this.#tell('deleted', printableName(path), 0);
  }

  problem(path: string, message: string): void {
    this.problems.push({ path, message });
  }

  /** A failure; one that holds for the whole restore is told once, by {@link RestoreReport.endGeneral}. */
  failed(path: string, { message, isGeneral }: { readonly message: string; readonly isGeneral: boolean }): void {
    const known = isGeneral ? this.#general.get(message) : undefined;
    if (!isGeneral) this.problem(path, message);
    else if (known) known.count++;
    else this.#general.set(message, { path, count: 1 });
  }

  endGeneral(): void {
    for (const [message, { path, count }] of this.#general) {
      this.problem(path, count === 1 ? message : `${message} (and ${count - 1} more)`);
    }
  }

  #tell(action: RestoreAction, path: string, sizeBytes: number): void {
    this.#onItem?.({ action, path, sizeBytes });
  }
}
