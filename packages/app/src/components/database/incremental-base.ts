// Whether a server may send only what changed since the base backup before, and what the rest is taken from: decision 9.
//
// The server decides by its WAL summaries which blocks changed. That is right as long as it is the same server on the same files:
// nobody brought back older files (which needs a start of the server) and nobody rewrote pages without WAL (pg_checksums does,
// and needs the server stopped). So everything is sent once after each start of the server, as for backups by reading.

import { isAppError, messageOf } from '@varve/base';
import { parseBackupManifest, type PgConnection, type ServerFacts } from '@varve/postgres';
import { listTree, readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { readManifest } from '../../snapshot/describe-snapshot.ts';
import { collectBytes } from '../collect-bytes.ts';
import { readStreamReport } from './stream-backup-report.ts';

/** Pages that do not change are not looked at by the server: after this many backups in a row everything is sent once. */
export const mostIncrementalInRow = 30;
const firstVersion = 170_000;

/** A base backup that another one can build on. */
export interface OlderBase {
  readonly snapshotId: string;
  /** Of the files as they are in the repository. */
  readonly manifest: Buffer;
  /** Of the new backup. */
  readonly inRow: number;
  /** Files by their path in the manifest. */
  readonly files: ReadonlyMap<string, OlderContent>;
}

/** A file in the repository. */
export interface OlderContent {
  readonly sizeBytes: number;
  /** Those of a file of a relation are all of the size of the report, but the last. */
  readonly chunks: readonly string[];
}

export interface FindOlderBaseInput {
  readonly component: { readonly name: string };
  readonly repository: Repository;
  readonly parent: Snapshot | undefined;
  readonly connection: PgConnection;
  readonly facts: ServerFacts;
  readonly serverStartedAt: string;
  /** Into which relation files are cut now. */
  readonly chunkBytes: number;
  readonly signal: AbortSignal;
}

/** What can be built on, or why everything has to be sent, as the end of a sentence. Null for servers that cannot do it. */
export async function findOlderBase(
  input: FindOlderBaseInput,
): Promise<OlderBase | { readonly reason: string } | null> {
  const { component, repository, parent, connection, facts, serverStartedAt, signal } = input;
  if (facts.versionNum < firstVersion) return null;
  const [setting] = await connection.query("select pg_catalog.current_setting('summarize_wal')", { signal });
  if (setting?.rows[0]?.[0] !== 'on') return { reason: 'the setting summarize_wal is off' };
  const report =
    parent && (await readStreamReport(repository, { snapshot: parent, component: component.name, signal }));
  if (parent === undefined || report === null || report === undefined)
    return { reason: 'the snapshot before has no base backup that the server sent' };
  if (report.systemId !== facts.systemId) return { reason: 'the base backup before is of another cluster' };
  if (report.timeline !== facts.timeline)
    return { reason: 'the timeline is another one than that of the backup before' };
  if (report.serverStartedAt !== serverStartedAt) return { reason: 'the server was started since the backup before' };
  if (report.hasChecksums !== facts.hasDataChecksums) return { reason: 'page checksums were turned on or off' };
  if (report.chunkBytes !== input.chunkBytes)
    return { reason: 'the cluster has another size, and its pages are cut anew' };
  if (report.incrementalInRow >= mostIncrementalInRow)
    return { reason: `${report.incrementalInRow} backups in a row had only changes sent` };
  try {
    const whole = await wholeFiles(input, parent);
    return 'reason' in whole ? whole : { ...whole, snapshotId: parent.id, inRow: report.incrementalInRow + 1 };
  } catch (error) {
    if (!isAppError(error) || error.code === 'CANCELLED') throw error;
    return { reason: `the backup before cannot be read: ${messageOf(error)}` };
  }
}

/** The manifest of the snapshot and its files, when every file is there and every chunk of them in the index. */
async function wholeFiles(
  { component, repository, signal }: FindOlderBaseInput,
  parent: Snapshot,
): Promise<Pick<OlderBase, 'manifest' | 'files'> | { readonly reason: string }> {
  const { problems } = await readManifest(repository, parent, { signal });
  if (problems.length > 0) return { reason: 'the snapshot before is not complete' };
  const root = `/databases/${component.name}`;
  const path = `${root}/backup_manifest`;
  const manifest = await collectBytes(readFileContent(repository, { treeId: parent.tree, path, signal }));
  const { files: wanted } = parseBackupManifest(manifest);
  const files = new Map<string, OlderContent>();
  for await (const { path: found, node } of listTree(repository, {
    treeId: parent.tree,
    path: root,
    recursive: true,
    signal,
  })) {
    const name = manifestPath(root, found);
    const chunks = node.content ?? [];
    if (node.type !== 'file' || wanted.get(name)?.sizeBytes !== node.size) continue;
    if (chunks.every((id) => repository.index.has('data', id))) files.set(name, { sizeBytes: node.size, chunks });
  }
  const missing = [...wanted.keys()].find((name) => !files.has(name));
  return missing === undefined ? { manifest, files } : { reason: `the snapshot before lacks data of ${missing}` };
}

/** Under which path the manifest has a file of the snapshot. */
function manifestPath(root: string, stored: string): string {
  const path = stored.slice(root.length + 1);
  return path.startsWith('tablespaces/')
    ? `pg_tblspc/${path.slice('tablespaces/'.length)}`
    : path.replace(/^base\//, '');
}
