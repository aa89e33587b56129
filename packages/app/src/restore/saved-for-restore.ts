// Which of the two forms in which a database may be saved is put back in place.

import type { DatabaseComponent, SavedDatabase } from '@varve/contract';

/**
 * The database as it is put back: by its files where Varve can swap its data folder, otherwise by its dumps where there are
 * some. What is neither stays by its files, and is refused when the restore is planned.
 */
export function savedForRestore(saved: SavedDatabase, component: DatabaseComponent): SavedDatabase {
  const { dump, ...files } = saved;
  const mayUseFiles = component.source.type === 'url' && component.dataDirectory !== undefined;
  if (saved.method === 'dump' || dump === undefined || mayUseFiles) return files;
  return { ...files, ...dump, method: 'dump', walEndLsn: null };
}
