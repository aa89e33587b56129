// The tablespaces of a base backup: which it has, and where they were.

import { isAppError } from '@varve/base';
import { parseTablespaceMap, tablespacesFolder } from '@varve/postgres';
import { listTree, readFileContent, type Repository } from '@varve/repository';
import { collectBytes } from '../collect-bytes.ts';
import { tablespacesPath } from './save-base.ts';

export interface SavedTablespace {
  readonly oid: string;
  /** In the snapshot. */
  readonly path: string;
  /** Where its server had it; null for one inside the data folder (`allow_in_place_tablespaces`). */
  readonly location: string | null;
}

/** Those outside of the data folder when the backup of the cluster `name` was made. REPOSITORY_DAMAGED. */
export async function savedTablespaces(
  repository: Repository,
  { treeId, name, signal }: { readonly treeId: string; readonly name: string; readonly signal: AbortSignal },
): Promise<SavedTablespace[]> {
  const found: SavedTablespace[] = [];
  try {
    const map = await tablespaceMap(repository, { treeId, name, signal });
    for await (const { path, node } of listTree(repository, { treeId, path: tablespacesPath(name), signal })) {
      const oid = path.slice(path.lastIndexOf('/') + 1);
      if (node.type === 'dir' && /^\d+$/.test(oid)) found.push({ oid, path, location: map.get(oid) ?? null });
    }
  } catch (error) {
    if (!isAppError(error, 'PATH_NOT_FOUND')) throw error;
  }
  return found;
}

async function tablespaceMap(
  repository: Repository,
  { treeId, name, signal }: { readonly treeId: string; readonly name: string; readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, string>> {
  try {
    const path = `/databases/${name}/base/tablespace_map`;
    const bytes = await collectBytes(readFileContent(repository, { treeId, path, signal }));
    return new Map(parseTablespaceMap(bytes.toString('utf8')).map(({ oid, location }) => [oid, location]));
  } catch (error) {
    if (isAppError(error, 'PATH_NOT_FOUND')) return new Map();
    throw error;
  }
}

/** What people are told before tablespaces get another place; undefined when there are none. */
export function tablespacesWarning(
  tablespaces: readonly SavedTablespace[],
  { isInPlace }: { readonly isInPlace: boolean },
): string | undefined {
  if (tablespaces.length === 0) return undefined;
  const outside = tablespaces.flatMap(({ location }) => (location === null ? [] : [location])).join(', ');
  const where = `The tablespaces (${outside === '' ? `${tablespaces.length} in the data folder` : outside}) are put into the data folder, below ${tablespacesFolder}.`;
  if (!isInPlace || outside === '') return where;
  return `${where} What is in their present folders is not used any more and stays there.`;
}
