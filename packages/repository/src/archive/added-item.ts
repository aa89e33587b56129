// What is told of an input of a session.

import { printableName } from '../tree/go-quote.ts';
import type { AddedItem } from './archive-options.ts';
import type { Counts, Item } from './worker-protocol.ts';

/** What an input came to. */
export function added(
  counts: Counts,
  { dirs, problems = [], notices = [] }: { dirs: number } & Partial<Pick<AddedItem, 'problems' | 'notices'>>,
): AddedItem {
  const { filesNew, filesChanged, filesUnmodified, bytes, bytesAdded } = counts;
  return { files: filesNew + filesChanged + filesUnmodified, dirs, bytes, bytesAdded, problems, notices };
}

/** Takes items with paths on the host, below a source that is shown as `shown`, and tells them with those in the snapshot. */
export function itemsInSnapshot(
  onItem: ((item: Item) => void) | undefined,
  { shown, components }: { readonly shown: string; readonly components: readonly Buffer[] },
): ((item: Item) => void) | undefined {
  const place = components.map((component) => `/${printableName(component)}`).join('');
  const start = shown === '/' ? 0 : shown.length;
  return onItem && ((item) => onItem({ ...item, path: place + item.path.slice(start) || '/' }));
}
